"""Vocabulary: all tokens of the current tokenizer."""

from textual.app import ComposeResult
from textual.widgets import Static

from screens.tokens.tokens_page import TokensPage
from screens.widgets.page_bar import PageLink


class VocabularyPage(TokensPage):
    """The tokens of the vocabulary, to browse and search."""

    LINK = PageLink("vocabulary", "v", "vocabulary")

    def compose(self) -> ComposeResult:
        yield Static("All tokens of this tokenizer.", markup=False)
