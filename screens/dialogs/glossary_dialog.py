"""The glossary: the terms on the screen first; and a place of the lab in words, as a note has it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from lab.core.visible_text import shortened, visible
from lab.inspect.stages.stage_registry import IN_LAYERS, OF_ANY_LAYER, STAGES
from lab.lessons.glossary import Term, find_terms, glossary
from lab.lessons.lesson import CLAIMS, Lesson, lessons_and_problems, titles
from lab.lessons.translation import language
from lab.training.one_step.step_stages import STAGES as STEP_STAGES
from lab.views.screen_state import ScreenState
from screens.base_screen import LabScreen
from screens.messages import OpenState
from screens.widgets.key_bar import KeyBar
from screens.widgets.top_bars import ModeBar, PageBar

LONGEST_TEXT = 48

ASIDES = {
    "attribution": "direct logit attribution",
    "evidence": "evidence in the training text",
    "effect": "effect of the interventions",
    "compare": "two prompts compared",
    "patches": "every patch from a second prompt",
    "built_head": "a head built by hand",
    "code": "source code",
    "features": "features of the residual stream",
}
TRAIN_PAGES = {
    "new": "a new run",
    "words": "loss",
    "curves": "learning rate and gradient norm",
    "machine": "machine usage",
    "heads": "head scores",
    "probe": "next token",
    "updates": "update sizes",
    "one step": "one step",
}


def describe_place(state: ScreenState) -> str:
    """The mode, then from the whole to the part; layers, heads, positions and steps of a lesson are counted from 1."""
    of_mode = {"inspect": _inspect, "train": _train, "data": _data, "tokens": _tokens, "learn": _learn}.get(state.mode, _run)
    return " · ".join([state.mode.title(), *filter(None, of_mode(state))])


def _inspect(state: ScreenState) -> Iterator[str]:
    yield _name(state.run)
    if state.checkpoint not in ("", "best"):
        yield f"step {state.checkpoint}" if state.checkpoint.isdecimal() else f"{_name(state.checkpoint)} checkpoint"
    in_layer = state.stage in (*IN_LAYERS, *OF_ANY_LAYER)
    stage = STAGES.get(state.stage)
    yield ASIDES.get(state.aside, stage.title if stage else "")
    if not state.aside:
        yield f"layer {state.layer + 1}" if in_layer and state.layer is not None else ""
        yield f"head {state.head + 1}" if stage and stage.of_head and state.head is not None else ""
    if state.explained:
        yield f"explained: {_name(state.explained)}"
    yield f"token {state.position + 1}" if state.position is not None else ""
    if state.interventions:
        yield f"{state.interventions} intervention{'s' if state.interventions > 1 else ''}"
    yield _quoted(state.prompt)


def _train(state: ScreenState) -> Iterator[str]:
    yield _name(state.run)
    if state.page == "compare":
        yield "compared with " + ", ".join(map(_name, state.others))
    yield TRAIN_PAGES.get(state.page, "")
    if state.page == "one step":
        yield STEP_STAGES.get(state.stage, "")
        yield _quoted(state.prompt)
    elif state.layer is not None and state.head is not None:
        yield f"head {state.layer + 1}.{state.head + 1}"
    yield f"evaluation of step {state.step:,}" if state.step is not None else ""


def _data(state: ScreenState) -> Iterator[str]:
    yield _name(Path(state.text).name if state.text else "")
    yield _name(state.page)


def _tokens(state: ScreenState) -> Iterator[str]:
    yield _name(state.page)
    yield {"run": f"tokenizer of {_name(state.run)}", "gpt2": "GPT-2", "bytes": "bytes"}.get(state.tokenizer, "")
    yield f"token {state.position + 1}" if state.position is not None else ""
    yield _quoted(state.prompt)


def _learn(state: ScreenState) -> Iterator[str]:
    yield (
        f"lesson {_title(state.lesson, {lesson.name: lesson.title for lesson in lessons_in(language())})}"
        if state.lesson
        else f"claim {_title(state.claim, claims_in(language()))}"
        if state.claim
        else _name(state.page)
    )
    yield f"step {state.step + 1}" if state.lesson and state.step is not None else ""
    yield _name(state.run)


def _title(name: str, titles: Mapping[str, str]) -> str:
    """The title of a lesson or a claim in quotation marks; of one that there is no more, its name."""
    title = titles.get(name, "")
    return f"“{visible(title)}”" if title else _name(name)


@cache
def lessons_in(language: str) -> tuple[Lesson, ...]:
    """The lessons in the language in use."""
    return tuple(lessons_and_problems()[0])


@cache
def claims_in(language: str) -> dict[str, str]:
    """The titles of the claims by name, in the language in use."""
    return titles(CLAIMS)


def _run(state: ScreenState) -> Iterator[str]:
    yield _name(state.run)


def _name(text: str) -> str:
    return visible(shortened(text, LONGEST_TEXT))


def _quoted(text: str) -> str:
    return f"“{visible(text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + '…')}”" if text else ""


class GlossaryDialog(ModalScreen[None]):
    """All terms, or those that answer what is typed."""

    BINDINGS = [
        Binding("escape,ctrl+r", "dismiss", "Close", id="glossary.close", tooltip="Close the glossary"),
        Binding("down", "move('cursor_down')", "Down", id="glossary.down", show=False, tooltip="The next term"),
        Binding("up", "move('cursor_up')", "Up", id="glossary.up", show=False, tooltip="The term before"),
        Binding("pagedown", "move('page_down')", "Page down", id="glossary.page_down", show=False, tooltip="A page further"),
        Binding("pageup", "move('page_up')", "Page up", id="glossary.page_up", show=False, tooltip="A page back"),
    ]

    def __init__(self, query: str = "", first: Sequence[Term] = ()) -> None:
        """Begin with a query, such as a term; where nothing is typed some terms come first, such as those on the screen."""
        super().__init__()
        self._query, self._first, self.listed = query, first, list[Term]()

    def compose(self) -> ComposeResult:
        with Vertical(id="glossary") as box:
            box.border_subtitle = "↑↓ term · Enter go there · Esc close"
            yield Input(self._query, placeholder="type a term, or a word about it", compact=True, select_on_focus=False)
            terms = OptionList(id="glossary-list", markup=False)
            terms.can_focus = False
            yield terms
            yield Static(id="glossary-text", markup=False)

    @property
    def terms(self) -> OptionList:
        return self.query_one(OptionList)

    def on_mount(self) -> None:
        self.query_one(Input).cursor_position = len(self._query)
        self._list()

    @on(Input.Changed)
    def _list(self) -> None:
        query = self.query_one(Input).value
        first = () if query.strip() else self._first
        self.listed = [*first, *(term for term in find_terms(query, glossary()) if term not in first)]
        self.terms.clear_options().add_options(Option(_line(term)) for term in self.listed)
        self.terms.highlighted = 0 if self.listed else None
        on_screen = f" · {len(first)} on this screen come first" if first else ""
        self.query_one("#glossary").border_title = Text(f"glossary · {len(self.listed)} of {len(glossary())} terms{on_screen}")
        if not self.listed:
            self.query_one("#glossary-text", Static).update("No term has these words.")

    @on(OptionList.OptionHighlighted)
    def _show(self, event: OptionList.OptionHighlighted) -> None:
        term = self.listed[event.option_index]
        self.query_one("#glossary-text", Static).update(
            Content.assemble((term.name, "bold"), f"\n{term.text}\n", ("→ ", "bold"), describe_place(term.place))
        )

    @on(Input.Submitted)
    def _enter(self) -> None:
        if self.terms.highlighted is not None:
            self._go(self.listed[self.terms.highlighted])

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self._go(self.listed[event.option_index])

    def _go(self, term: Term) -> None:
        self.dismiss()
        self.app.post_message(OpenState(term.place))

    def action_move(self, action: str) -> None:
        getattr(self.terms, f"action_{action}")()


def terms_in_sight(screen: LabScreen) -> list[Term]:
    """The terms that a screen shows: those of its mode, in Learn of all modes."""
    parts = [part for part in screen.query("*") if part.is_on_screen and not isinstance(part, (ModeBar, PageBar, KeyBar))]
    leaves = [part for part in parts if not part.children]
    text = "\n".join(line.text for part in leaves for line in part.render_lines(part.size.region)).casefold()
    terms = [term for term in glossary() if screen.MODE in (term.place.mode, "learn")]
    return [term for term in terms if any(re.search(_as_word(name), text) for name in term.names)]


def _as_word(name: str) -> str:
    """Pattern of a name as a word of its own; Chinese has no spaces between words."""
    return rf"\b{re.escape(name)}s?\b" if name.isascii() else re.escape(name)


def _line(term: Term) -> Text:
    others = ", ".join(term.also)
    return Text.assemble((term.name, "bold"), f"  {others}" if others else "", no_wrap=True, overflow="ellipsis")
