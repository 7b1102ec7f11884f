"""Forward pass as a list of its steps, the current one marked, with the logit lens beside each."""

from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from lab.core.number_format import probability, whole
from lab.views.blocks import Prediction, StageEntry
from screens.widgets.line_scroll_view import LineScrollView
from screens.widgets.text_fitting import fit

NAME_WIDTHS = (8, 16)
"""Room for a group's name beside its lens in a narrow column and in a wider one: `KV cache`, `logits → softmax`."""
SHORT = {"embed + position": "embed", "final norm": "norm", "logits → softmax": "logits", "attention": "attn"}
"""Shorter names for a narrow column, so that the lens has room for its probability."""
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


def rows_of(steps: list[StageEntry], current: int) -> list[ForwardPassRow]:
    """Every group once, the current one with its steps beneath if it has several."""
    rows: list[ForwardPassRow] = []
    groups: list[list[int]] = []
    for index, step in enumerate(steps):
        if groups and steps[groups[-1][-1]].group == step.group:
            groups[-1].append(index)
        else:
            groups.append([index])
    for members in groups:
        seen = [steps[index] for index in members if steps[index].lens is not None]
        last = seen[-1] if seen else None
        rows.append(
            ForwardPassRow(steps[members[0]].group, members[0], True, last.lens if last else None, last.rank if last else None)
        )
        if current in members and len(members) > 1:
            rows += [ForwardPassRow(steps[index].title, index, False) for index in members]
    return rows


class ForwardPassList(LineScrollView):
    """The groups of steps with the logit lens beside each; the current one is marked ▸ and shows its steps."""

    COMPONENT_CLASSES = {"steps--group", "steps--step", "steps--current", "steps--lens", "steps--dim"}
    DEFAULT_CSS = """
    ForwardPassList {
        & > .steps--group { color: $foreground; }
        & > .steps--step { color: $foreground 70%; }
        & > .steps--current { color: $accent; text-style: bold; }
        & > .steps--lens { color: $success; }
        & > .steps--dim { color: $foreground 60%; }
    }
    """
    HELP = (
        "**Forward pass.** Every step in order, `j` next and `k` back. Beside each part is its logit lens: the token that the "
        "model would predict if it stopped there, by the final norm and the unembedding. On a narrow screen the status line "
        "shows the rank of the final prediction."
    )
    steps: reactive[tuple[StageEntry, ...]] = reactive((), layout=False)
    current: reactive[int] = reactive(0)

    @dataclass
    class Chosen(Message):
        """A line was clicked that leads to another step."""

        step: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: list[ForwardPassRow] = []
        self.border_title = "forward pass"

    def watch_steps(self) -> None:
        self._build()

    def watch_current(self) -> None:
        self._build()

    def on_resize(self) -> None:
        self._build()

    def _build(self) -> None:
        self._rows = rows_of(list(self.steps), self.current)
        self.set_extent(len(self._rows))
        # One line of context stays in sight on the side that the cursor moves towards.
        self.show_line(self._current_row(), margin=1)

    def _current_row(self) -> int:
        for index, row in enumerate(self._rows):
            last = index + 1 == len(self._rows) or self._rows[index + 1].is_group
            if row.step == self.current and (not row.is_group or last):
                return index
        return 0

    def draw(self, line: int) -> Strip:
        width = self.room
        row = self._rows[line]
        here = line == self._current_row()
        inside = row.is_group and line + 1 < len(self._rows) and not self._rows[line + 1].is_group
        mark = "▸ " if here else "▾ " if inside else "  "
        style = self.style_of("steps--current" if here else "steps--group" if row.is_group else "steps--step")
        if not row.is_group:
            return self._finish([Segment(mark + "  " + fit(row.name, max(0, width - 4)), style)])
        name_width = NAME_WIDTHS[self._is_wide]
        room = self._lens_room
        lens = _lens(row, room)
        if not lens:
            return self._finish([Segment(mark + fit(row.name, max(0, width - len(mark))), style)])
        name = row.name if self._is_wide else _short(row.name)
        segments = [Segment(mark + fit(name, name_width) + " ", style)]
        segments.append(Segment(fit(lens, room), self.style_of("steps--lens")))
        return self._finish(segments)

    @property
    def _is_wide(self) -> bool:
        return self.room >= WIDE_FROM

    @property
    def _lens_room(self) -> int:
        return max(0, self.room - MARK - NAME_WIDTHS[self._is_wide] - 1)

    @property
    def rank_in_words(self) -> str:
        """The rank of the model's final answer at the current group, where the column has no room for it; else ""."""
        current = self._rows[self._current_row()] if self._rows else None
        groups = [row for row in self._rows if row.is_group and row.rank is not None and row.lens is not None]
        if current is None or not groups or self._lens_room >= RANK_FROM:
            return ""
        within = [row for row in self._rows if row.is_group and row.step <= current.step][-1]
        answer = groups[-1].lens
        return f"logit lens: “{answer.label}” ranks {_ordinal(within.rank)}" if answer and within.rank is not None else ""

    def _finish(self, segments: list[Segment]) -> Strip:
        return Strip(segments).adjust_cell_length(self.room, self.style_of(""))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and 0 <= offset.y + self.top < len(self._rows):
            self.post_message(self.Chosen(self._rows[offset.y + self.top].step))


def _lens(row: ForwardPassRow, room: int) -> str:
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


def _short(name: str) -> str:
    """`1 attn` for `1 attention`."""
    number, _, part = name.partition(" ")
    return SHORT.get(name) or (f"{number} {SHORT[part]}" if part in SHORT else name)
