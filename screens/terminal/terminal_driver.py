"""The driver of the terminal: writes to stdout, shows invalid UTF-8 as �, reads escape soon, ends the app where input ends.

And the queue that hands keys on one at a time.
"""

import asyncio
import io
import os
import signal
import sys
from codecs import IncrementalDecoder, getincrementaldecoder
from collections import deque
from selectors import EVENT_READ, SelectorKey, SelectSelector
from types import SimpleNamespace
from typing import Any

from textual import constants, events
from textual.app import App
from textual.driver import Driver
from textual.message_pump import MessagePump
from textual.widget import Widget

from lab.core.terminal import has_utf8, is_remote, write_ascii
from screens.terminal.terminal_cells import forget_cells
from screens.terminal.textual_internals import write_to


def write_to_stdout(driver: type[Driver]) -> type[Driver]:
    """The driver, writing to stdout. Textual's for Unix writes to stderr, which may be redirected."""

    class ToStdout(driver):  # type: ignore[misc, valid-type]
        def __init__(self, app: App[Any], **settings: Any) -> None:
            super().__init__(app, **settings)
            self._lab = app
            out = sys.__stdout__
            if isinstance(out, io.TextIOWrapper):
                if has_utf8(os.environ, out.encoding):
                    out.reconfigure(errors="backslashreplace")
                else:
                    write_ascii(out)
            write_to(self, out)

        def start_application_mode(self) -> None:
            forget_cells()
            super().start_application_mode()

        def on_meta(self, packet_type: str, payload: dict[str, object]) -> None:
            if packet_type == "redraw":  # of `llmlab serve`, once a page has found its lab again
                self._lab.call_later(self._lab.run_action, "redraw")
            else:
                super().on_meta(packet_type, payload)

        def run_input_thread(self) -> None:
            super().run_input_thread()
            if self.is_web and not self.exit_event.is_set():
                os.kill(os.getpid(), signal.SIGTERM)  # the web server is gone; Textual's driver would wait for ever

    return ToStdout


def _lenient(encoding: str) -> type[IncrementalDecoder]:
    found = getincrementaldecoder(encoding)

    class Lenient(found):  # type: ignore[misc, valid-type]
        def __init__(self, errors: str = "replace") -> None:
            super().__init__(errors)

        def decode(self, input: bytes, final: bool = False) -> str:
            if not input and not final:
                # The terminal is gone. Where a shell sends SIGHUP, this is never reached.
                os.kill(os.getpid(), signal.SIGTERM)
            return str(super().decode(input, final))

    return Lenient


SECONDS_OF_ESCAPE = 0.02
"""Time in which the rest of a key that begins with an escape comes, on the machine itself; over SSH Textual's 0.1 stay."""


class SoonAgain(SelectSelector):
    """A selector that looks again soon after a key: where nothing has followed an escape by then, that was the key."""

    is_after_key = False

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        found = super().select(constants.ESCAPE_DELAY if self.is_after_key else timeout)
        self.is_after_key = bool(found)
        return found


def adapt_input(driver: type[Driver]) -> None:
    """Make `driver` show bytes that are not UTF-8 as �, end the lab when its terminal is gone, and read the escape key soon.

    Textual's drivers for Unix decode strictly, so that half a character in a pasted text would end the app; they take their
    decoder from a name of their module. After the end they would read nothing, again and again, with a whole core. They look for
    what follows an escape after 0.1 s, whatever ESCDELAY says. Windows hands over characters, and its driver has no such names.
    """
    names = vars(sys.modules[driver.__module__])
    if "getincrementaldecoder" in names:
        names["getincrementaldecoder"] = _lenient
        names["selectors"] = SimpleNamespace(SelectSelector=SoonAgain, EVENT_READ=EVENT_READ)
    if "ESCDELAY" not in os.environ and not is_remote(os.environ):
        vars(constants)["ESCAPE_DELAY"] = SECONDS_OF_ESCAPE


ROUNDS = 2
"""Rounds through the queues: the first handles the key, the second the messages that it caused, such as `Submitted`."""

SECONDS_BETWEEN_LOOKS = 0.005
"""Interval of the check that a widget still runs: one that has ended does not empty its queue."""

Typed = events.Key | events.Paste


class KeyQueue:
    """Keys and pastes that wait until the one before has done what it does: first come, first handed on.

    Textual hands a key to the focused widget when it arrives. A key that this leaves alone comes back to the app, which looks up
    what it is bound to, only after a round through the queues of all the widgets around; a letter typed meanwhile would go where
    the focus was before.
    """

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
