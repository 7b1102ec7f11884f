"""Look: statistics of the chosen text."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from lab.core.number_format import whole
from screens.data.data_page import ChosenText, DataPage


class LookPage(DataPage):
    """Size of the text."""

    def compose(self) -> ComposeResult:
        yield Static(id="look-words", markup=False)

    def show(self, text: ChosenText | None) -> None:
        words = f"{whole(text.facts.bytes)} bytes, {whole(text.facts.characters)} characters" if text else "no text is chosen yet"
        self.query_one("#look-words", Static).update(words)
