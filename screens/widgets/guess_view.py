"""The widget for a guess: a question and its choices, then the reveal and the score; and its lines."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual import events, on, work
from textual.binding import Binding
from textual.message import Message

from lab.views.blocks import GuessChoice, GuessQuestion
from screens.blocks.block_layout import bar
from screens.widgets.piece_lines import PieceLine, PieceLinesView, words_lines
from screens.widgets.text_fitting import fit, wrap

if TYPE_CHECKING:
    from lab.lessons.guess_score import Score


RIGHT, WRONG, CURSOR = "✓", "✗", "▸"
YOURS = "your guess"
LONGEST_BAR = 30
LONGEST_LABEL = 40
ASKED = "?"
"""Stands for the token that is asked for."""


@dataclass(frozen=True)
class GuessState:
    """A question as it stands on screen."""

    question: GuessQuestion
    cursor: int = 0
    chosen: int | None = None
    """Index of the choice made; None before."""
    is_sure: bool = False
    score: str = ""
    """The running score in words, once it is known."""
    note: str = ""
    """A sentence below the choices, before the reveal and after it."""

    @property
    def is_open(self) -> bool:
        """True while a choice can be made."""
        return self.chosen is None and bool(self.question.choices)


def guess_lines(state: GuessState, width: int, height: int) -> tuple[list[PieceLine], list[int]]:
    """The lines for a window of this size, and of each the index of the choice that stands there; −1 for none.

    Where it is low, blank lines go first; at the reveal then the prompt, the question, and choices without a number that are
    neither right nor chosen.
    """
    question = state.question
    prompt = _outside([_tokens(question, width)] if question.tokens else [])
    asked = _outside(words_lines(question.question, width, "title"))
    choices = [(at, line) for at in range(len(question.choices)) for line in _choice(state, at, width)]
    if state.chosen is not None and question.others is not None:
        choices += [(-1, line) for line in _row("  ", question.others, width, state, "dim")]
    before = _outside(_outcome(state, width) if state.chosen is not None else [])
    after: list[tuple[int, PieceLine]] = []
    for words, kind in ((question.why if state.chosen is not None else "", "text"), (state.note, "dim"), (state.score, "key")):
        if words:
            after += _outside(words_lines(words, width, kind))
    blank = _outside([[]])
    groups = [each for each in (prompt, asked, before, choices, after) if each]
    spare = height - sum(map(len, groups))
    if state.chosen is not None:
        for gone in (prompt, asked):
            if spare < 0 and gone in groups:
                groups.remove(gone)
                spare += len(gone)
        if spare < 0 and question.others is None and all(each.value is None for each in question.choices):
            marked = {*question.right, state.chosen}
            spare += sum(at not in marked for at, _ in choices)
            choices[:] = [(at, line) for at, line in choices if at in marked]
    lines: list[tuple[int, PieceLine]] = []
    for group in groups:
        if lines and spare > 0 and group is not asked:
            lines += blank
            spare -= 1
        lines += group
    return [line for _, line in lines], [at for at, _ in lines]


def _outside(lines: list[PieceLine]) -> list[tuple[int, PieceLine]]:
    """Lines that belong to no choice."""
    return [(-1, line) for line in lines]


def _tokens(question: GuessQuestion, width: int) -> PieceLine:
    """The end of the prompt that fits, its tokens set apart, and a question mark for the token asked for."""
    tail = f"▸ {ASKED}" if question.asks_next else ""
    room = width - cell_len(tail) - 2
    shown: list[str] = []
    for token in reversed(question.tokens):
        room -= cell_len(token) + 1
        if room < 0:
            break
        shown.append(token)
    cut = "…│" if len(shown) < len(question.tokens) else ""
    *rest, last = list(reversed(shown)) or [fit(question.tokens[-1], max(1, width - cell_len(tail) - 3))]
    pieces = [(cut + "".join(f"{token}│" for token in rest), "dim"), (last, "title"), ("│", "dim"), (tail, "key")]
    return [piece for piece in pieces if piece[0]]


def _outcome(state: GuessState, width: int) -> list[PieceLine]:
    is_right = state.chosen in state.question.right
    said = "Right." if is_right else "Not so, and you were sure." if state.is_sure else "Not so."
    word = f"{RIGHT if is_right else WRONG} {said}"
    lines = words_lines(f"{word}{'' if word.endswith('。') else ' '}{state.question.answer}", width, "title")
    first = str(lines[0][0][0])
    return [[(word, "right" if is_right else "wrong"), (first[len(word) :], "title")], *lines[1:]]


def _choice(state: GuessState, at: int, width: int) -> list[PieceLine]:
    question, choice = state.question, state.question.choices[at]
    if state.chosen is None:
        is_here = state.is_open and at == state.cursor
        return _marked(f"{CURSOR if is_here else ' '} ", "key", choice.label, "cursor" if is_here else "text", width)
    mark = RIGHT if at in question.right else WRONG if at == state.chosen else " "
    kind = "right" if mark == RIGHT else "wrong" if mark == WRONG else "text"
    return _row(f"{mark} ", choice, width, state, kind, note=YOURS if at == state.chosen else "")


def _marked(mark: str, mark_kind: str, text: str, kind: str, width: int) -> list[PieceLine]:
    """A text with its mark before the first line."""
    lines = wrap(text, max(1, width - 3))
    return [[(mark if at == 0 else "  ", mark_kind), (line, kind)] for at, line in enumerate(lines)]


def _row(mark: str, choice: GuessChoice, width: int, state: GuessState, kind: str, note: str = "") -> list[PieceLine]:
    """A choice at the reveal: its mark, label, share and bar."""
    question = state.question
    everything = [*question.choices, *([question.others] if question.others is not None else [])]
    label = min(LONGEST_LABEL, max(cell_len(each.label) for each in everything))
    number = max(cell_len(each.text) for each in everything)
    if choice.value is None:
        return _marked(mark, kind, f"{choice.label} ({note})" if note else choice.label, kind, width)
    cells = min(LONGEST_BAR, width - label - number - 5 - cell_len(YOURS))
    pieces = [(mark, kind), (fit(choice.label, label), kind)]
    pieces += [(f" {choice.text:>{number}} ", "text"), (bar(choice.value, max(0, cells)), "dim" if kind == "dim" else "bar")]
    return [[*pieces, (f" {note}" if note else "", kind)]]


INSPECT = "Inspect"
"""The source of a guess whose place the user has chosen."""
WAITING = "The question is being computed…"
IN_SIGHT = "Its answer was on screen before: this guess does not count. space asks about another place."
LOTTERY = "The largest shares are close together here. space asks about another place."
ANSWERED = "You have guessed this before: only the first guess counts."


class GuessView(PieceLinesView):
    """Shows a question by `show`; the rest is between it and the user. The answer is drawn only once a choice is made."""

    TITLE: ClassVar[str] = "guess"
    COMPONENT_CLASSES = {"lines--right"}
    DEFAULT_CSS = """
    GuessView > .lines--right { color: $text-success; text-style: bold; }
    """
    HELP = (
        "**A guess.** Choose before the answer is revealed: the arrows lead to a choice, `enter` takes it. The score is "
        "kept, beside the number that would be right by chance. Only the first guess at a question counts. `a` says that you are "
        "sure; a lesson's guess that you were sure of and wrong about comes back in the list of lessons."
    )
    BINDINGS = [
        Binding("down,j", "move(1)", "Choice", id="guess.down", key_display="↑↓", tooltip="The next choice"),
        Binding("up,k", "move(-1)", "Choice above", id="guess.up", show=False, tooltip="The choice above"),
        Binding("enter", "choose", "Guess", id="guess.choose", tooltip="Guess this; then the answer is revealed"),
        Binding("a", "sure", "Sure", id="guess.sure", tooltip="Say that you are sure, or not, before you guess"),
    ]

    class Revealed(Message):
        """A choice was made, and the answer is in sight."""

    @dataclass
    class Scored(Message):
        """The guess is recorded. `problem` says why it could not be."""

        identity: str
        score: Score
        counts: bool
        problem: str

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.state: GuessState | None = None
        self._source = ""
        self._was_in_sight = False
        self._choices: list[int] = []
        self._is_recorded = True
        self.border_title = self.TITLE

    @property
    def is_open(self) -> bool:
        """True while a choice can be made."""
        return self.state is not None and self.state.is_open

    @property
    def is_settled(self) -> bool:
        """True when no guess is being recorded."""
        return self._is_recorded

    def show(self, question: GuessQuestion, source: str, *, was_in_sight: bool = False, cursor: int = 0) -> None:
        """Ask. `source` is the place that the record names; `was_in_sight`: the answer was on screen before. The cursor begins at
        the choice `cursor`."""
        self._source, self._was_in_sight = source, was_in_sight
        note = IN_SIGHT if was_in_sight and question.choices else ""
        if question.is_lottery and source == INSPECT:
            note = note or LOTTERY
        self._set(GuessState(question, cursor, note=note))
        self.top = 0

    def wait(self) -> None:
        """Show no question until the next one comes."""
        self.state = None
        self.border_title = self.TITLE
        self.set_lines([[(WAITING, "dim")]])
        self.refresh_bindings()

    def clear(self) -> None:
        """Show no question."""
        self.wait()
        self.set_lines(())

    def _set(self, state: GuessState) -> None:
        self.state = state
        sure = " · sure" if state.is_sure else " · a if you are sure"
        self.border_title = f"{self.TITLE}{sure if state.is_open else ' · answer' if state.question.choices else ''}"
        self.lay_out()
        self.refresh_bindings()

    def lay_out(self) -> None:
        if self.state is None:
            return
        state = self.state
        lines, self._choices = guess_lines(state, self.room, self.window)
        self.set_lines(lines)
        if self.state.is_open:
            self.show_line(self._choices.index(self.state.cursor))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.is_open if action in ("choose", "move", "sure") else True

    def action_move(self, by: int) -> None:
        if self.state is not None and self.is_open:
            self._set(replace(self.state, cursor=(self.state.cursor + by) % len(self.state.question.choices)))

    def action_sure(self) -> None:
        if self.state is not None:
            self._set(replace(self.state, is_sure=not self.state.is_sure))

    def action_choose(self, at: int | None = None) -> None:
        if self.state is None or not self.is_open:
            return
        chosen = self.state.cursor if at is None else at
        self._set(replace(self.state, cursor=chosen, chosen=chosen))
        self.top = 0
        self._is_recorded = False
        self._record(self.state.question, chosen, self.state.is_sure)
        self.post_message(self.Revealed())

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and self.state is not None and self.is_open:
            line = offset.y + self.top
            if line < len(self._choices) and self._choices[line] >= 0:
                self.action_choose(self._choices[line])

    @work(thread=True, group="guess", exit_on_error=True)
    def _record(self, question: GuessQuestion, chosen: int, is_sure: bool) -> None:
        from lab.core.errors import UserError
        from lab.lessons.guess_score import LearnerPrediction, counts, read_predictions, record_prediction, score_of
        from lab.runs.home_folder import home

        made = LearnerPrediction(
            time=time.time(),
            kind=question.kind,
            question=question.question,
            choices=tuple(choice.label for choice in question.choices),
            chosen=chosen,
            right=question.right,
            source=self._source,
            run=question.run,
            identity=question.identity,
            was_in_sight=self._was_in_sight,
            is_sure=is_sure,
        )
        before, problem = read_predictions(home())
        try:
            record_prediction(home(), made)
        except UserError as error:
            problem = str(error)
        self.post_message(self.Scored(question.identity, score_of([*before, made]), counts(before, made), problem))

    @on(Scored)
    def _tell_score(self, message: Scored) -> None:
        self._is_recorded = True
        if message.problem:
            self.notify(message.problem, severity="warning", markup=False)
        state = self.state
        if state is None or state.chosen is None or state.question.identity != message.identity:
            return
        words = message.score.text
        score = " · ".join(filter(None, (words[:1].upper() + words[1:], message.score.recent_text)))
        note = state.note or ("" if message.counts else ANSWERED)
        self._set(replace(state, score=score, note=note))
