"""Keys one at a time: the next one is handed on when the one before has done what it does.

Textual hands a key to the focused widget when it arrives. A key that this leaves alone comes back to the app, which looks up what
it is bound to, only after a round through the queues of all the widgets around; a letter typed meanwhile would go where the focus
was before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from textual import events
from textual.message_pump import MessagePump
from textual.widget import Widget

if TYPE_CHECKING:
    from textual.app import App

ROUNDS = 2
"""Rounds through the queues: the first handles the key, the second the messages that it caused, such as `Submitted`."""

SECONDS_BETWEEN_LOOKS = 0.005
"""Interval of the check that a widget still runs: one that has ended does not empty its queue."""

Typed = events.Key | events.Paste


class KeyQueue:
    """Keys and pastes that wait for the one before: first come, first handed on."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._waiting: deque[Typed] = deque()
        self._next: Typed | None = None
        """Posted to the app, which has not handled it yet."""
        self._round: asyncio.Task[None] | None = None
        """Waits for the key that was handed on last."""
        self._is_open = False

    def holds(self, event: Typed) -> bool:
        """Keep an event while another is being handled; it is posted to the app again. False if it can be handed on now."""
        if event is self._next:
            self._next = None
        elif not self._is_open or self._next is not None or self._round is not None:
            self._waiting.append(event)
            return True
        return False

    def open(self) -> None:
        """Hand on what has been typed so far: there is something to type at."""
        if not self._is_open:
            self._is_open = True
            self._hand_on_next()

    def handed_on(self, target: MessagePump) -> None:
        """Follow an event that was handed to `target`, and then give the app the next one."""
        self._round = asyncio.create_task(self._follow(target))

    def close(self) -> None:
        """Drop what waits: the app ends."""
        self._waiting.clear()
        if self._round is not None:
            self._round.cancel()

    async def _follow(self, target: MessagePump) -> None:
        pumps = [node for node in target.ancestors_with_self if node is not self._app] if isinstance(target, Widget) else []
        for _ in range(ROUNDS):
            for pump in (*pumps, self._app):
                await all_handled(pump)
        self._round = None
        self._hand_on_next()

    def _hand_on_next(self) -> None:
        if self._waiting:
            self._next = self._waiting.popleft()
            self._app.post_message(self._next)


async def all_handled(pump: MessagePump) -> None:
    """Wait until a widget, a screen or the app has handled all that is in its queue now, or has ended."""
    handled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waits = pump.call_later(lambda: handled.set_result(None))
    while waits:
        await asyncio.wait([handled], timeout=SECONDS_BETWEEN_LOOKS)
        waits = pump.is_running and not handled.done()
