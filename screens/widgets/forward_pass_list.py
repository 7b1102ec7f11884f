"""Forward pass as a list or, where there is room, a drawing of its steps, the current one marked; the logit lens beside each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import ClassVar

from msgspec.structs import replace as replace_fields
from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual import events
from textual.message import Message
from textual.reactive import reactive

from lab.core.number_format import probability, whole
from lab.views.blocks import Prediction, StageEntry
from screens.blocks.block_layout import bar
from screens.colour import Heat
from screens.widgets.forward_pass_layout import Drawing, drawing_of, fits, parts_of, short_name
from screens.widgets.piece_lines import PieceView
from screens.widgets.text_fitting import Piece, fit

NAME_WIDTHS = (8, 16)
"""Room for a group's name beside its lens in a narrow column and in a wider one: `KV cache`, `logits → softmax`."""
WIDE_FROM = 28
MARK = 2
RANK_FROM = 20
"""Room from which the rank of the final answer is shown as well."""


@dataclass(frozen=True)
class ForwardPassRow:
    """One line of the column: a group of steps, or under the current group one of its steps."""

    name: str
    step: int
    """Index of the step that the line leads to."""
    is_group: bool
    lens: Prediction | None = None
    rank: int | None = None
    stream: float | None = None
    """Norm of the residual stream after the group or the step; None beside the stream."""


def rows_of(steps: Sequence[StageEntry], current: int) -> list[ForwardPassRow]:
    """Every group once, the current one with its steps beneath if it has several."""
    rows: list[ForwardPassRow] = []
    stream: float | None = None
    for _, found in groupby(range(len(steps)), key=lambda index: steps[index].group):
        members = list(found)
        first = steps[members[0]]
        last = next((steps[index] for index in reversed(members) if steps[index].lens is not None), first)
        rows.append(ForwardPassRow(first.group, members[0], True, last.lens, last.rank, last.stream))
        if current in members and len(members) > 1:
            for index in members:
                after = steps[index].stream  # of a step that adds to the stream; the others read it
                rows.append(ForwardPassRow(steps[index].title, index, False, stream=stream if after is None else after))
        stream = last.stream
    return rows


class ForwardPassList(PieceView):
    """The groups of steps with the logit lens beside each; the current one is marked ▸ and shows its steps.

    The width of the bar before a name is the norm of the residual stream.
    """

    PREFIX = "steps--"
    COMPONENT_CLASSES = {"steps--name", "steps--stage", "steps--current", "steps--note", "steps--rail"}
    DEFAULT_CSS = """
    ForwardPassList {
        & > .steps--name { color: $foreground; }
        & > .steps--stage { color: $foreground 70%; }
        & > .steps--current { color: $accent; text-style: bold; }
        & > .steps--note { color: $success; }
        & > .steps--rail { color: $primary; }
    }
    """
    HELP = (
        "**Forward pass.** Every step in order, `j` next and `k` back. Beside each part is its logit lens: the token that the "
        "model would predict if it stopped there, by the final norm and the unembedding. On a narrow screen the status line "
        "shows the rank of the final prediction."
    )
    TITLE: ClassVar[str] = "forward pass"
    """The list's name in its border."""

    steps: reactive[tuple[StageEntry, ...]] = reactive((), repaint=False)
    current: reactive[int] = reactive(0, repaint=False)
    origin: reactive[str] = reactive("", repaint=False)
    """Where the model's weights come from, in the border: `began with gpt2 (step 0)`; empty for random ones."""
    yours: reactive[frozenset[str]] = reactive(frozenset(), repaint=False)
    """Stages that functions of the learner compute."""
    veiled: reactive[bool] = reactive(False, repaint=False)
    """True to show no logit lens."""

    @dataclass
    class Chosen(Message):
        """A line was clicked that leads to another step."""

        step: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: list[ForwardPassRow] = []

    def watch_steps(self) -> None:
        self.lay_out()

    watch_origin = watch_current = watch_veiled = watch_yours = watch_steps

    def unpainted_style(self, kind: Heat) -> Style:
        return self.style_of("steps--current" if kind.role == "selected" else "steps--name")

    def border_words(self, above: int, below: int) -> str:
        """Lines out of sight; where there are none, what stands beside each part, in as many words as there is room for."""
        if (words := super().border_words(above, below)) or (answer := self._answer) is None:
            return words
        lens = "if stopped here: token, %"
        ranked = [f"{lens}, rank of “{answer.label.strip() or answer.label}”"] if self.note_room >= RANK_FROM else []
        return next((each for each in (*ranked, lens) if cell_len(each) <= self.room - 2), "predicts if stopped")

    def _set_title(self, legend: str = "") -> None:
        title = f"{self.origin} · {self.TITLE}" if self.origin else self.TITLE
        words = f"{title} · {legend}"
        self.border_title = Text(words if legend and cell_len(words) <= self.room - 2 else title)

    def lay_out(self) -> None:
        self._set_title()
        self._set_rows()
        here = self._current_row()
        self.set_lines([self._pieces(line, line == here) for line in range(len(self._rows))])
        self.show_line(here, margin=1)

    def _set_rows(self) -> None:
        rows = rows_of(self.steps, self.current)
        self._rows = [replace(row, lens=None, rank=None) for row in rows] if self.veiled else rows

    def _current_row(self) -> int:
        for index, row in enumerate(self._rows):
            last = index + 1 == len(self._rows) or self._rows[index + 1].is_group
            if row.step == self.current and (not row.is_group or last):
                return index
        return 0

    def _pieces(self, line: int, is_here: bool) -> list[Piece]:
        width, row = self.room, self._rows[line]
        inside = row.is_group and line + 1 < len(self._rows) and not self._rows[line + 1].is_group
        kind = "current" if is_here else "name" if row.is_group else "stage"
        lead = [(self._rail(row), "rail"), ("▸" if is_here else "▾" if inside else " ", kind)]
        if not row.is_group:
            mine = "✓ " if self.steps[row.step].stage in self.yours else "  "
            return [*lead, (mine + fit(row.name, max(0, width - 4)), kind)]
        if not (lens := lens_text(row, self.note_room)):
            return [*lead, (fit(row.name, max(0, width - MARK)), kind)]
        name = row.name if self._is_wide else short_name(row.name)
        return [*lead, (fit(name, NAME_WIDTHS[self._is_wide]) + " ", kind), (fit(lens, self.note_room), "note")]

    def _rail(self, row: ForwardPassRow) -> str:
        """One cell of the residual stream."""
        widest = max((each.stream or 0.0 for each in self._rows), default=0.0)
        return bar(row.stream / widest, 1) if row.stream is not None and widest else " "

    @property
    def _is_wide(self) -> bool:
        return self.room >= WIDE_FROM

    @property
    def note_room(self) -> int:
        """Columns beside each name for its logit lens."""
        return max(0, self.room - MARK - NAME_WIDTHS[self._is_wide] - 1)

    @property
    def rank_sentence(self) -> str:
        """The rank of the model's final answer at the current group, where the column has no room for it; else ""."""
        answer = self._answer
        if answer is None or self.note_room >= RANK_FROM:
            return ""
        current = self._rows[self._current_row()]
        within = [row for row in self._rows if row.is_group and row.step <= current.step][-1]
        return f"logit lens: “{answer.label}” ranks {_ordinal(within.rank)}" if within.rank is not None else ""

    @property
    def _answer(self) -> Prediction | None:
        """The model's final prediction, which the ranks are of."""
        return next((row.lens for row in reversed(self._rows) if row.is_group and row.rank is not None), None)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        line = -1 if offset is None else offset.y + self.top
        if 0 <= line < self.extent[0]:
            self.post_message(self.Chosen(self._step_of(line)))

    def _step_of(self, line: int) -> int:
        """The step that a line leads to."""
        return self._rows[line].step


def lens_text(row: ForwardPassRow, room: int) -> str:
    """The lens's guess in the room there is for it: the token, its probability, and the rank of the model's final answer."""
    if row.lens is None:
        return ""
    label, p = row.lens.label.strip() or row.lens.label, probability(row.lens.probability, 0)
    with_rank = row.rank is not None and room >= RANK_FROM
    for_label = (room - 11 if with_rank else room) - len(p) - 1
    if cell_len(label) > for_label:
        label = fit(label, for_label)
    text = f"{label} {p}"
    return f"{fit(text, room - 11)} rank {whole(row.rank)}" if with_rank and row.rank is not None else text


def _ordinal(rank: int) -> str:
    """`1st`, `2nd`, `3rd`, `32nd`, `111th`."""
    teen = 10 <= rank % 100 <= 20
    return whole(rank) + ("th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th"))


SHORT_NOTE = 10
"""Columns of a logit lens beside a box where the room is narrow."""


class ForwardPassDrawing(ForwardPassList):
    """The residual stream as a rail from tokens to logits, attention and MLP as boxes beside it.

    The thickness of a branch and the shade of a box are the norm of what it adds.
    """

    COMPONENT_CLASSES = {"steps--branch", "steps--frame", "steps--number"}
    DEFAULT_CSS = """
    ForwardPassDrawing {
        & > .steps--branch { color: $foreground 50%; }
        & > .steps--frame { color: $foreground 50%; }
        & > .steps--number { color: $foreground 70%; }
    }
    """
    HELP = (
        "**Forward pass.** The model from top to bottom, `j` next stage and `k` back; a click opens a part. The rail at the "
        "left is the residual stream, as wide as its norm at the chosen token. A box is as bright, and its grey branch "
        "as thick, as the norm of what the part adds: the number beside it. "
        "Beside each part is its logit lens: the token that the model would predict if it stopped there."
    )
    changed: reactive[frozenset[str]] = reactive(frozenset(), repaint=False)
    """Groups that an intervention changes."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._drawing: Drawing | None = None
        """None where the list is shown."""

    watch_changed = ForwardPassList.watch_steps

    def lay_out(self) -> None:
        if not self.steps or not fits(self.room, self.window):
            self._drawing = None
            super().lay_out()
            return
        self._set_rows()
        steps = [replace_fields(each, title=f"✓{each.title}") if each.stage in self.yours else each for each in self.steps]
        parts = parts_of(steps, self._notes(), self.changed)
        self._drawing = new = drawing_of(parts, self.current, self.room, self.window)
        self.set_lines([line.pieces for line in new.lines])
        self.show_line(new.current, margin=1)
        self._set_title(new.legend)

    def _notes(self) -> dict[str, tuple[str, ...]]:
        """The logit lens of each group in the rooms that a drawing may have for it."""
        groups = [row for row in self._rows if row.is_group and row.lens is not None]
        return {row.name: (lens_text(row, RANK_FROM), lens_text(row, SHORT_NOTE)) for row in groups}

    @property
    def note_room(self) -> int:
        return super().note_room if self._drawing is None else self._drawing.note_room

    def _step_of(self, line: int) -> int:
        return super()._step_of(line) if self._drawing is None else self._drawing.lines[line].step
