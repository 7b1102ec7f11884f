"""Output to the terminal: escape sequences and control characters in text from outside are made visible, never executed.

Texts, file names, run folders and samples may hold escape sequences, C1 controls and bidirectional controls; Textual and Rich
remove five characters.
"""

import io
import os
import signal
import sys
from typing import Any

import rich.text
import textual.content
from rich.console import Console
from rich.segment import Segment
from textual.driver import Driver
from textual.strip import Strip

from lab.core.terminal import has_utf8, write_ascii
from lab.core.visible_text import visible, without_hidden
from screens.painting.terminal_cells import forget_cells


def shown(text: str) -> str:
    """The text as a widget may show it, line breaks and tabs kept."""
    return visible(text.replace("\r\n", "\n"), keep="\n\t")


def make_text_visible() -> None:
    """Make control characters visible in all text that Textual and Rich lay out, and remove them from what is drawn otherwise.

    Both clean a text before they measure it, by a function of their module. A widget that draws its own segments makes their text
    visible itself; if one forgets to, the characters are missing on the screen.
    """
    vars(rich.text)["strip_control_codes"] = shown
    vars(textual.content)["_strip_control_codes"] = shown
    Strip.render = _render  # type: ignore[assignment, method-assign]


_draw = Strip.render


def _render(strip: Strip, console: Console) -> str:
    if all(segment.text.isprintable() for segment in strip):
        return _draw(strip, console)
    return _draw(Strip([Segment(without_hidden(text), style) for text, style, _ in strip]), console)


def write_to_stdout(driver: type[Driver]) -> type[Driver]:
    """The driver, writing to stdout. Textual's for Unix writes to stderr, which may be redirected."""

    class ToStdout(driver):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            out = sys.__stdout__
            if isinstance(out, io.TextIOWrapper):
                if has_utf8(os.environ, out.encoding):
                    out.reconfigure(errors="backslashreplace")
                else:
                    write_ascii(out)
            self._file = out

        def start_application_mode(self) -> None:
            forget_cells()
            super().start_application_mode()

        def on_meta(self, packet_type: str, payload: dict[str, object]) -> None:
            if packet_type == "redraw":  # of `llmlab serve`, once a page has found its lab again
                self._app.call_later(self._app.run_action, "redraw")
            else:
                super().on_meta(packet_type, payload)

        def run_input_thread(self) -> None:
            super().run_input_thread()
            if self.is_web and not self.exit_event.is_set():
                os.kill(os.getpid(), signal.SIGTERM)  # the web server is gone; Textual's driver would wait for ever

    return ToStdout
