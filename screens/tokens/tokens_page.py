"""The base class of the pages of Tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.containers import Vertical
from textual.reactive import var

from screens.app_state import AppState
from screens.base_screen import Page
from screens.widgets.page_bar import PageLink

if TYPE_CHECKING:
    from lab.tokenization.named_tokenizer import NamedTokenizer, TokenizerCache


class TokensPage(Page, Vertical):
    """One page, told of the current tokenizer and of the text in the box.

    A subclass watches `named` (and `text`) with `watch_named`; both may change while the page is hidden, which `is_shown` tells.
    """

    LINK: ClassVar[PageLink]
    TAKES_TEXT: ClassVar[bool] = False
    """True where the text box stands above the page."""
    FOLLOWS_TOKENIZER: ClassVar[bool] = True
    """True where the page is about the current tokenizer, so that the choice of it stands above the page."""
    REST: ClassVar[str] = ""
    """Selector of the widget that has the focus when the keys are free; empty for none."""
    DEFAULT_CSS = """
    TokensPage { height: 1fr; display: none; }
    TokensPage.-shown { display: block; }
    """

    tokenizers: TokenizerCache
    """The tokenizers that the screen has opened, or opens for a page in a thread; set by the screen."""
    named: var[NamedTokenizer | None] = var(None)
    """The current tokenizer; None until it has been read, or where it cannot be."""
    text: var[str] = var("")
    """The text in the box, or the example while the box is empty."""
    is_shown: var[bool] = var(False, toggle_class="-shown")
    """True while the page is in sight."""

    @property
    def lab(self) -> AppState:
        """The state that all modes share: the text in use, the current run."""
        return cast(AppState, self.app)

    @property
    def is_settled(self) -> bool:
        """True if everything asked for has been answered."""
        return True

    @property
    def is_ready(self) -> bool:
        """True if its actions do something now, as far as they ever will."""
        return self.is_settled

    def go_back(self) -> bool:
        """Go back one place inside the page. False if there is none."""
        return False
