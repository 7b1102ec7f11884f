"""Side by side: the same text as bytes, as the run's tokens and as GPT-2's."""

from textual.app import ComposeResult
from textual.widgets import Static

from screens.tokens.tokens_page import TokensPage
from screens.widgets.page_bar import PageLink


class SideBySidePage(TokensPage):
    """Three tokenizers, one under another."""

    LINK = PageLink("side", "c", "side by side")
    TAKES_TEXT = True

    def compose(self) -> ComposeResult:
        yield Static("The same text as bytes, the run's tokens and GPT-2's.", markup=False)
