"""Background work of widgets."""

from __future__ import annotations

from collections.abc import Callable

from textual.dom import DOMNode
from textual.message_pump import MessagePump
from textual.timer import Timer


def is_working(node: DOMNode, group: str) -> bool:
    """True if one of the workers that this widget has started in the group runs."""
    return any(worker.node is node and worker.group == group and worker.is_running for worker in node.workers)


class DelayedCall:
    """Calls once, after a delay, unless it is cancelled or started again before.

    A Textual timer that has run out only posts an event; `Timer.stop` does not take that back. Here it does nothing.
    """

    def __init__(self, owner: MessagePump) -> None:
        self._owner = owner
        self._timer: Timer | None = None

    def start(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call `callback` after so many seconds, in place of what was to be called."""
        self.cancel()

        def ran_out() -> None:
            if self._timer is timer:
                self._timer = None
                callback()

        timer = self._timer = self._owner.set_timer(seconds, ran_out)

    def cancel(self) -> None:
        """Call nothing."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
