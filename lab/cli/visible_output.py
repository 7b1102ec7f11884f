"""Terminal output of the commands with escape sequences of foreign text made visible; files and pipes get the text as it is."""

import codecs
import io
import os
import sys
from typing import TextIO

from lab.core.terminal import has_utf8, in_ascii, places_text, write_ascii
from lab.core.visible_text import visible, visible_json

CONTEXT = 2
"""Characters before a joiner that decide whether it stays: an emoji and its variation selector."""

JOINERS = ("\u200c", "\u200d")


def _is_ascii(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "ascii"


class VisibleStream(io.TextIOWrapper):
    """A terminal stream without escape sequences: control characters other than line breaks and tabs are spelled out.

    Where the terminal has no UTF-8, it gets ASCII marks. `under` is the stream itself, for the sequences that the lab writes on
    purpose.
    """

    def __init__(self, under: io.TextIOWrapper) -> None:
        self.is_ascii = not has_utf8(os.environ, under.encoding)
        # UTF-8 as click does, which would else write around this stream.
        encoding = "utf-8" if _is_ascii(under.encoding) else under.encoding
        super().__init__(under.buffer, encoding=encoding, errors="replace", line_buffering=True, write_through=True)
        self.under = under
        if self.is_ascii:
            write_ascii(under)
        self._before = ""
        self._joiner = ""

    def write(self, text: str) -> int:
        """Write the text; a joiner at its end waits for what it joins."""
        whole = self._joiner + text
        self._joiner = whole[-1:] if whole.endswith(JOINERS) else ""
        whole = whole.removesuffix(self._joiner)
        before = self._before
        self._before = (before + whole)[-CONTEXT:]
        new = visible(before + whole, keep="\n\t")[len(visible(before, keep="\n\t")) :]
        super().write(in_ascii(new) if self.is_ascii else new)
        return len(text)


def make_terminals_visible() -> None:
    """Replace stdout and stderr by a `VisibleStream` where they are a terminal. Files and pipes whose encoding would be ASCII get
    UTF-8, so that no character is lost, nor ends a command."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, VisibleStream) or not isinstance(stream, io.TextIOWrapper):
            continue
        if stream.isatty():
            setattr(sys, name, VisibleStream(stream))
        elif _is_ascii(stream.encoding):
            stream.reconfigure(encoding="utf-8", errors="replace")
        else:
            stream.reconfigure(errors="replace")


def redraws(stream: TextIO) -> bool:
    """True where the stream is a terminal that can draw over what it shows, such as a progress bar."""
    return stream.isatty() and places_text(os.environ)


def json_to_show(text: str) -> str:
    """JSON for stdout; on a terminal, characters that it would not show as JSON's own escapes: the same data."""
    stream = sys.stdout
    if not stream.isatty():
        return text
    return visible_json(text, ascii_only=isinstance(stream, VisibleStream) and stream.is_ascii)


def own_sequences(stream: TextIO) -> TextIO:
    """The stream for the lab's own escape sequences, such as those of a progress bar."""
    return stream.under if isinstance(stream, VisibleStream) else stream
