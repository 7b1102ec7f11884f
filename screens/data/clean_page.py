"""Clean: the changes that cleaning makes to the chosen text."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from screens.data.data_page import ChosenText, DataPage


class CleanPage(DataPage):
    """The changes in words."""

    def compose(self) -> ComposeResult:
        yield Static(id="clean-words", markup=False)

    def show(self, text: ChosenText | None) -> None:
        self.query_one("#clean-words", Static).update(text.facts.cleaning if text else "no text is chosen yet")
