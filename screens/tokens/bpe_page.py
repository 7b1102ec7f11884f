"""Learn BPE: the merges of a byte-pair encoding being learned on the user's own text."""

from textual.app import ComposeResult
from textual.widgets import Static

from screens.tokens.tokens_page import TokensPage
from screens.widgets.page_bar import PageLink


class BpePage(TokensPage):
    """Merges, one at a time."""

    LINK = PageLink("bpe", "b", "learn BPE")

    def compose(self) -> ComposeResult:
        yield Static("BPE learned from a text, merge by merge.", markup=False)
