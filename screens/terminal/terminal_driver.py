"""The driver of the terminal: writes to stdout, shows invalid UTF-8 as �, reads escape soon, ends the app where input ends."""

import io
import os
import signal
import sys
from codecs import IncrementalDecoder, getincrementaldecoder
from selectors import EVENT_READ, SelectorKey, SelectSelector
from types import SimpleNamespace
from typing import Any

from textual import constants
from textual.app import App
from textual.driver import Driver

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
