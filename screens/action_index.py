"""Index of the actions of all modes and of their pages, by their classes, and how well one answers what people type."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import cast

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import format_key

from screens.about_key import KEYLESS
from screens.base_screen import LabScreen
from screens.terminal.textual_internals import bindings_by_key
from screens.widgets.top_bars import MODES

OVER_TRAIN = (
    ("screens.train.one_step_screen", "OneStepScreen", "one_step"),
    ("screens.train.compare_screen", "CompareScreen", "compare"),
)
"""Module, class and opening action of each screen that opens from Train; its place in the palette is named by that action."""


SCROLLS = {"down", "up", "pagedown", "pageup", "home", "end"}
MOVES = SCROLLS | {"left", "right", "ctrl+f", "ctrl+b"}
"""Keys that move inside a part of a page, which is no action to look for unless the key bar shows it."""


@dataclass(frozen=True)
class Action:
    """An action of a mode, as its screen's bindings have it, or those of a page of the screen."""

    mode: str
    screen: str
    """Name of the screen's class."""
    opener: str
    """The mode's action that opens the screen; "" for the mode's own screen."""
    binding: Binding
    page: str = ""
    """Name of the page whose action it is; "" for the screen's own."""
    page_title: str = ""
    holder: str = ""
    """Name of the class of the page, or of its part, that has the binding."""

    @property
    def id(self) -> str:
        return self.binding.id or ""

    @property
    def words(self) -> str:
        return self.binding.tooltip or self.binding.description

    @property
    def place(self) -> str:
        """The mode and the page, or the screen over the mode."""
        inside = self.page_title if self.page else self.opener.replace("_", " ")
        return f"{self.mode.title()} · {inside}" if inside else self.mode.title()


@cache
def all_actions() -> tuple[Action, ...]:
    """The actions of all modes, mode by mode, those of their pages behind their own. Imports their screens."""
    screens = [(f"screens.{mode}.{mode}_screen", f"{mode.title()}Screen", "") for mode in MODES]
    found: list[Action] = []
    for module, name, opener in (*screens, *OVER_TRAIN):
        screen = cast(type[LabScreen], getattr(import_module(module), name))
        found += (*own_actions(screen, opener), *page_actions(screen, opener))
    return tuple(found)


def own_actions(screen: type[LabScreen], opener: str = "") -> Iterator[Action]:
    """The actions of a screen itself."""
    for id, bindings in bindings_of(screen).items():
        if not id.startswith("screen."):
            yield Action("train" if opener else screen.MODE, screen.__name__, opener, bindings[-1])


def page_actions(screen: type[LabScreen], opener: str = "") -> Iterator[Action]:
    """The actions of a screen's pages, page by page, without those that only move the cursor or scroll."""
    for page in screen.PAGES:
        link = page.LINK
        for holder in (page, *page.PARTS):
            for bindings in bindings_of(holder).values():
                keys = {each.key for each in bindings if len(each.key) > 1}
                if not keys or not keys <= (SCROLLS if bindings[0].show else MOVES):
                    yield Action(screen.MODE, screen.__name__, opener, bindings[0], link.name, link.title, holder.__name__)


def bindings_of(owner: type[DOMNode]) -> dict[str, list[Binding]]:
    """The bindings that we have given an id, one for each key of an action."""
    found: dict[str, list[Binding]] = {}
    for each in bindings_by_key(owner).values():
        for binding in each:
            if binding.id and not binding.system:
                found.setdefault(binding.id, []).append(binding)
    return found


NAMED_KEY = re.compile(r"\{key:([\w.]+)\}")
"""An action by its id, where a text names its key."""


def with_keys(text: str) -> str:
    """Markdown with the key of an action in place of `{key:inspect.sample}`, so that prose follows the bindings."""
    bindings = {action.id: action.binding for action in (all_actions() if NAMED_KEY.search(text) else ())}
    return NAMED_KEY.sub(lambda found: _key_in_words(bindings[found[1]]) if found[1] in bindings else found[0], text)


def _key_in_words(binding: Binding) -> str:
    """The key as a sentence names it; the way to an action that has none."""
    if binding.key.startswith(KEYLESS):
        return f"`ctrl+p` and “{binding.tooltip}”"
    shown = format_key(binding.key)
    return f"`{shown if shown.isascii() or binding.key in SCROLLS | MOVES else binding.key}`"


BY_SYNONYM, BY_WORD, BY_LETTERS = 0.9, 0.8, 0.5
"""Scores of a command found by the beginnings of its synonyms, of words of its description, or by single letters at most."""


FILLERS = {
    *("a", "an", "are", "can", "do", "does", "how", "i", "is", "it"),
    *("make", "me", "my", "of", "other", "see", "show", "the", "to", "two", "want", "what", "where", "which"),
}
"""Words of a question that name nothing."""


def score_of(query: str, words: str, synonyms: str, by_letters: float) -> float:
    """Score of a command for what is typed, 0 where it does not answer; `by_letters` is that of a fuzzy search in its words."""
    terms = asked_for(query)
    if not terms:
        return 0.0
    own, others = _words(words), _words(synonyms)
    if all(_begins(term, own) for term in terms):
        return BY_WORD + 0.2 * sum(term in own for term in terms) / len(terms)
    if all(_begins(term, others + own) for term in terms):
        return BY_SYNONYM
    return BY_LETTERS * by_letters / (1 + by_letters)


def asked_for(query: str) -> list[str]:
    """The words of a query that name something."""
    words = _words(query)
    return [word for word in words if word not in FILLERS] or words


def _words(text: str) -> list[str]:
    return re.findall(r"[\w\-]+", text.casefold())


def _begins(term: str, words: Sequence[str]) -> bool:
    return any(word.startswith(term) for word in words)
