"""Lines of a guess: the question with its choices, and once one is chosen the answer with its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from lab.views.guess_question import GuessChoice, GuessQuestion
from screens.blocks.bars_and_shades import bar
from screens.widgets.piece_lines import PieceLine, words_lines
from screens.widgets.text_fitting import fit

LETTERS = "abcdef"
"""Keys of the choices: digits change the mode."""
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
    score: str = ""
    """The running score in words, once it is known."""
    note: str = ""
    """A sentence below the choices, before the reveal and after it."""

    @property
    def is_open(self) -> bool:
        """True while a choice can be made."""
        return self.chosen is None and bool(self.question.choices)

    @property
    def is_right(self) -> bool:
        return self.chosen in self.question.right


@dataclass(frozen=True)
class GuessLines:
    lines: Sequence[PieceLine]
    first_choice: int
    """Index of the line of the first choice."""


def guess_lines(state: GuessState, width: int, height: int) -> GuessLines:
    """The lines for a window of this size. Where it is low, blank lines go first; at the reveal then the prompt,
    the question, and choices without a number that are neither right nor chosen."""
    question = state.question
    prompt = [_tokens(question, width)] if question.tokens else []
    asked = words_lines(question.question, width, "title")
    choices = [_choice(state, at, width) for at in range(len(question.choices))]
    if state.chosen is not None and question.others is not None:
        choices.append(_row("  ", "", question.others, width, question, "dim"))
    before: list[PieceLine] = _outcome(state, width) if state.chosen is not None else []
    after: list[PieceLine] = []
    for words, kind in ((question.why if state.chosen is not None else "", "text"), (state.note, "dim"), (state.score, "key")):
        if words:
            after += words_lines(words, width, kind)
    blank: list[PieceLine] = [[]]
    groups = [each for each in (prompt, asked, before, choices, after) if each]
    spare = height - sum(map(len, groups))
    if state.chosen is not None:
        for gone in (prompt, asked):
            if spare < 0 and gone in groups:
                groups.remove(gone)
                spare += len(gone)
        if spare < 0 and question.others is None and all(each.value is None for each in question.choices):
            marked = {*question.right, state.chosen}
            choices[:] = [line for at, line in enumerate(choices) if at in marked]
            spare += len(question.choices) - len(choices)
    lines: list[PieceLine] = []
    first = 0
    for group in groups:
        if lines and spare > 0 and group is not asked:
            lines += blank
            spare -= 1
        if group is choices:
            first = len(lines)
        lines += group
    return GuessLines(lines, first)


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
    word = f"{RIGHT} Right." if state.is_right else f"{WRONG} Not so."
    lines = words_lines(f"{word} {state.question.answer}", width, "title")
    first = str(lines[0][0][0])
    return [[(word, "right" if state.is_right else "wrong"), (first[len(word) :], "title")], *lines[1:]]


def _choice(state: GuessState, at: int, width: int) -> PieceLine:
    question, choice = state.question, state.question.choices[at]
    if state.chosen is None:
        is_here = state.is_open and at == state.cursor
        kind = "cursor" if is_here else "text"
        label = fit(choice.label, min(cell_len(choice.label), max(1, width - 6)))
        return [(f"{CURSOR if is_here else ' '} ", "key"), (f"{LETTERS[at]}", "key"), ("  ", "text"), (label, kind)]
    mark = RIGHT if at in question.right else WRONG if at == state.chosen else " "
    kind = "right" if mark == RIGHT else "wrong" if mark == WRONG else "text"
    return _row(f"{mark} ", LETTERS[at], choice, width, question, kind, note=YOURS if at == state.chosen else "")


def _row(
    mark: str, letter: str, choice: GuessChoice, width: int, question: GuessQuestion, kind: str, note: str = ""
) -> PieceLine:
    """A choice at the reveal: its mark, letter, label, share and bar."""
    everything = [*question.choices, *([question.others] if question.others is not None else [])]
    label = min(LONGEST_LABEL, max(cell_len(each.label) for each in everything))
    number = max(cell_len(each.text) for each in everything)
    if choice.value is None:
        room = max(1, width - 5)
        text = f"{choice.label} ({note})" if note else choice.label
        return [(mark, kind), (f"{letter:1}  ", "key"), (fit(text, min(cell_len(text), room)), kind)]
    cells = min(LONGEST_BAR, width - label - number - 8 - len(YOURS))
    pieces = [(mark, kind), (f"{letter:1}  ", "key"), (fit(choice.label, label), kind)]
    pieces += [(f" {choice.text:>{number}} ", "text"), (bar(choice.value, max(0, cells)), "dim" if not letter else "bar")]
    return [*pieces, (f" {note}" if note else "", kind)]
