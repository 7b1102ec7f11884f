"""Split: the training part and the validation part of the chosen text."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from lab.core.number_format import bytes_
from screens.data.data_page import ChosenText, DataPage


class SplitPage(DataPage):
    """Sizes of the two parts."""

    def compose(self) -> ComposeResult:
        yield Static(id="split-words", markup=False)

    def show(self, text: ChosenText | None) -> None:
        size = text.facts.bytes if text else 0
        words = f"{bytes_(size * 0.9)} training, {bytes_(size * 0.1)} validation" if text else "no text is chosen yet"
        self.query_one("#split-words", Static).update(words)
