"""The texts that BPE can be learned from, side by side, the current one marked; a click chooses another."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.cells import cell_len
from textual import on
from textual.message import Message

from screens.tokens.bpe.learning import Source
from screens.widgets.status_line import StatusLine

CHOOSE = "learn from  "


class SourceLine(StatusLine):
    """`learn from  ‹ text notes.txt ›   run demo's text     the text box`."""

    @dataclass
    class Chosen(Message):
        """A text was clicked on."""

        source: Source

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._words: list[tuple[Source, str]] = []

    def show(self, names: Mapping[Source, str], current: Source | None) -> None:
        """Show these texts by name."""
        self._words = [(source, f"‹ {name} ›" if source == current else f"  {name}  ") for source, name in names.items()]
        self.left = CHOOSE + " ".join(words for _, words in self._words)

    @on(StatusLine.TextClicked)
    def _clicked(self, event: StatusLine.TextClicked) -> None:
        event.stop()
        start = cell_len(CHOOSE)
        for source, words in self._words:
            if start <= event.at < start + cell_len(words):
                self.post_message(self.Chosen(source))
            start += cell_len(words) + 1
