"""Terminal output of the commands with escape sequences of foreign text made visible; files and pipes get the text as it is."""

import codecs
import io
import sys
from typing import TextIO

from lab.core.visible_text import visible

CONTEXT = 2
"""Characters before a joiner that decide whether it stays: an emoji and its variation selector."""

JOINERS = ("\u200c", "\u200d")


class VisibleStream(io.TextIOWrapper):
    """A terminal stream without escape sequences: control characters other than line breaks and tabs are spelled out.

    `under` is the stream itself, for the sequences that the lab writes on purpose.
    """

    def __init__(self, under: io.TextIOWrapper) -> None:
        ascii_only = codecs.lookup(under.encoding).name == "ascii"
        encoding = "utf-8" if ascii_only else under.encoding  # as click does, which would else write around this stream
        super().__init__(under.buffer, encoding=encoding, errors="replace", line_buffering=True, write_through=True)
        self.under = under
        self._before = ""
        self._joiner = ""

    def write(self, text: str) -> int:
        """Write the text; a joiner at its end waits for what it joins."""
        whole = self._joiner + text
        self._joiner = whole[-1:] if whole.endswith(JOINERS) else ""
        whole = whole.removesuffix(self._joiner)
        before = self._before
        self._before = (before + whole)[-CONTEXT:]
        super().write(visible(before + whole, keep="\n\t")[len(visible(before, keep="\n\t")) :])
        return len(text)


def make_terminals_visible() -> None:
    """Replace stdout and stderr by a `VisibleStream` where they are a terminal; no unencodable character ends a command."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, VisibleStream) or not isinstance(stream, io.TextIOWrapper):
            continue
        stream.reconfigure(errors="replace")
        if stream.isatty():
            setattr(sys, name, VisibleStream(stream))


def own_sequences(stream: TextIO) -> TextIO:
    """The stream for the lab's own escape sequences, such as those of a progress bar."""
    return stream.under if isinstance(stream, VisibleStream) else stream
