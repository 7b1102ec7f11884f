"""Data: from a text to a sequence of tokens, a page for each step."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.reactive import var

from lab.core.number_format import bytes_, count
from lab.data.builtin_texts import BUILTINS
from lab.planning.default_hyperparameters import default_vocabulary
from lab.runs.run_schema import DEFAULT_RULES
from lab.views.screen_state import ScreenState
from models.config import DEFAULT_PRESET
from screens.about_key import About, described
from screens.base_screen import PagedScreen, page_bindings, turn_bindings
from screens.data.choose_page import ChoosePage
from screens.data.clean_page import CleanPage
from screens.data.data_page import ChosenText, DataPage
from screens.data.look_page import LookPage
from screens.data.split_page import SplitPage
from screens.messages import TextChosen
from screens.widgets.top_bars import PageBar


class DataScreen(PagedScreen):
    """A bar of pages, and the page in sight. The chosen text is the screen's; pages are told of it."""

    AUTO_FOCUS = "#texts"
    MODE = "data"
    PAGES = (ChoosePage, LookPage, CleanPage, SplitPage)
    HEADINGS = ("Text", "Pages")
    HELP = """
From a text to a sequence of tokens, a page for each step. Choose the text to train on: any plain text file, or one of the two
built-in texts; look at it; see how it is **cleaned**; see how it is split.

A **token** is a piece of text with a number. `bytes`: each byte is a token; `bpe`: frequent pieces learned from your text;
`gpt2`: OpenAI's 50,257 tokens. The first nine tenths of the text are for training, the last tenth for validation.
"""
    BINDINGS = described(
        Binding("n", "use", "New run", id="data.use", tooltip="New run on this text"),
        About("Text", synonyms="train use choose pick corpus dataset"),
        Binding("e", "type", "Edit path", id="data.type", tooltip="Edit the path of the text"),
        About("Text", synonyms="type open own file load folder glob completion", rank=110),
        *page_bindings("data", PAGES),
        *turn_bindings("data"),
    )

    page: var[str] = var("choose", init=False)
    text: var[ChosenText | None] = var(None, init=False)
    """The text as it has been read; None while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._rules = self._facts_rules = DEFAULT_RULES
        """The rules that are on, and those that the text's facts were read with."""
        self._measured: CleanPage.Measured | None = None
        self._tokens = ""
        self._tokens_rules: tuple[str, ...] | None = None
        """The rules of that number; None while it is not known."""

    def compose_body(self) -> ComposeResult:
        yield self.page_bar()
        with Container(id="data-page"):
            yield ChoosePage()

    def on_mount(self) -> None:
        self.show_page()
        self._rules = self.choose_page.rules = self.lab.text_cleaning
        self._show_steps()
        if self.lab.text_source:
            self.choose_page.take_encoding(self.lab.text_encoding)
            self.choose_page.choose(self.lab.text_source)

    _restored = ""
    """Source of the text of the state that was shown last."""

    def on_screen_suspend(self) -> None:
        """Choose the text that was looked at last, as for the next run, unless it was in view unasked: the first in the list, or
        that of a place the lab went back to."""
        unasked = (self.lab.text_source, next(iter(BUILTINS)), self._restored)
        if (text := self.text) is not None and text.source not in unasked:
            self.post_message(TextChosen(text.source, text.encoding, None, self._rules))

    @property
    def choose_page(self) -> ChoosePage:
        return self.query_one(ChoosePage)

    @property
    def current(self) -> DataPage:
        return cast(DataPage, super().current)

    def help_picture(self) -> str:
        return f"▕{'█' * 45}▒▒▒▒▒▏\n {'training, the first nine tenths':<45}validation, the last"

    def go_back(self) -> bool:
        if super().go_back():
            return True
        if self.page == "choose":
            return False
        self.page = "choose"
        return True

    def _page_of(self, name: str) -> type[DataPage]:
        return next(page for page in self.PAGES if page.LINK.name == name)

    async def watch_page(self, before: str, now: str) -> None:
        old, new = self._page_of(before), self._page_of(now)
        self.query_one(old).hide()
        if not self.query(new):
            await self.query_one("#data-page").mount(page := new())
            if not page.children:
                return  # the lab has been closed meanwhile
        if now != self.page:
            return  # another page was turned to meanwhile
        self.show_page()
        self.query_one(PageBar).step = new.STEP
        self.set_focus(self.query_one(new.REST) if new.REST else None)
        self.current.show(self.text)

    def watch_text(self) -> None:
        self._show_steps()
        for page in self.query(DataPage):
            if page.is_shown:
                page.show(self.text)
        self.refresh_bindings()

    def _show_steps(self) -> None:
        facts = self.text.facts if self.text else None
        bar = self.query_one(PageBar)
        raw = cleaned = tokens = ""
        if facts and self._measured is not None:
            funnel = self._measured.funnel
            raw, cleaned = bytes_(funnel.raw_bytes), bytes_(funnel.kept_bytes)
            cleaned = cleaned if cleaned != raw else ""
        elif facts and self._facts_rules == self._rules:
            cleaned = bytes_(facts.bytes)
        if facts and self._tokens_rules == self._rules:
            tokens = self._tokens
        named = (("text", raw), ("cleaned", cleaned), ("tokens", tokens))
        bar.steps = tuple(f"{name} {size}".rstrip() for name, size in named)
        bar.short_steps = (raw or "text", cleaned or "cleaned", bar.steps[-1])
        bar.step = self._page_of(self.page).STEP

    @on(ChoosePage.TextRead)
    def _text_read(self, message: ChoosePage.TextRead) -> None:
        text = message.text
        if text is None:
            self._tokens_rules = self.text = None
            return
        self._facts_rules = text.cleaning
        if self._measured is not None and text.as_read != self._measured.text.as_read:
            self._measured = None
        self.text = replace(text, cleaning=self._rules)
        if message.taken:
            self.post_message(TextChosen(text.source, text.encoding, None, self._rules))

    @on(ChoosePage.Counted)
    def _tokens_counted(self, message: ChoosePage.Counted) -> None:
        if message.kind == "bpe" and message.count is not None and message.key == self.choose_page.key:
            about = "" if message.count.exact else "≈"
            self._tokens, self._tokens_rules = f"{about}{count(message.count.tokens)} bpe", self._rules
            self._show_steps()

    @on(ChoosePage.Used)
    def _text_used(self, message: ChoosePage.Used) -> None:
        self.post_message(TextChosen(message.source, message.encoding, "train", self._rules))
        if self.page == "choose":
            self.set_focus(self.query_one("#texts"))  # for the next visit

    @on(CleanPage.RulesChanged)
    def _rules_changed(self, message: CleanPage.RulesChanged) -> None:
        if message.number != self.query_one(CleanPage).changes:
            return  # the next key has changed them again, and tells so
        self._rules = self.choose_page.rules = message.rules
        self._measured = None
        if self.text is not None:
            self.text = replace(self.text, cleaning=message.rules)
            if self.text.source == self.lab.text_source:
                self.post_message(TextChosen(self.text.source, self.text.encoding, None, message.rules))
        else:
            self.choose_page.show(None)  # the rules before may have left nothing of it

    @on(CleanPage.Measured)
    def _text_measured(self, message: CleanPage.Measured) -> None:
        if self.text is None or message.text.as_read != self.text.as_read or message.rules != self._rules:
            return
        self._measured = message
        self._show_steps()
        if self._tokens_rules != self._rules:
            vocabulary = default_vocabulary(DEFAULT_PRESET, message.funnel.kept_bytes)
            self.choose_page.count(self.choose_page.key, ("bpe",), vocabulary)

    def screen_state(self) -> ScreenState:
        return ScreenState(mode=self.MODE, page=self.page, text=self.choose_page.source, encoding=self.choose_page.encoding)

    def restore_state(self, state: ScreenState) -> None:
        self._restored = state.text
        if state.text and (state.text, state.encoding) != (self.choose_page.source, self.choose_page.encoding):
            self.choose_page.take_encoding(state.encoding)
            self.choose_page.choose(state.text)

    def action_use(self) -> None:
        self.choose_page.use()

    def action_type(self) -> None:
        if self.page == "choose":
            self.choose_page.type_path()  # at once: the next key is part of the path
        else:
            self.page = "choose"
            self.call_after_refresh(self.choose_page.type_path)
