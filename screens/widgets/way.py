"""The way through the model, as the left column of Inspect: where you are, and what the model would say at each place."""

from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lab.numbers import probability, whole
from lab.views import Guess, Step, Way
from screens.widgets.layout import fit

NAME_WIDTHS = (12, 16)
"""Room for a group's name beside its lens in a narrow column and in a wider one: `12 attention`, `logits → softmax`."""
WIDE_FROM = 28
RANK_FROM = 20
"""Room from which the rank of the final answer is shown as well."""


@dataclass(frozen=True)
class Row:
    """One line of the column: a group of steps, or under the current group one of its steps."""

    name: str
    step: int
    """Index of the step that the line leads to."""
    is_group: bool
    lens: Guess | None = None
    rank: int | None = None


def rows_of(steps: list[Step], current: int) -> list[Row]:
    """Every group once, the current one with its steps beneath if it has several."""
    rows: list[Row] = []
    groups: list[list[int]] = []
    for index, step in enumerate(steps):
        if groups and steps[groups[-1][-1]].group == step.group:
            groups[-1].append(index)
        else:
            groups.append([index])
    for members in groups:
        seen = [steps[index] for index in members if steps[index].lens is not None]
        last = seen[-1] if seen else None
        rows.append(Row(steps[members[0]].group, members[0], True, last.lens if last else None, last.rank if last else None))
        if current in members and len(members) > 1:
            rows += [Row(steps[index].title, index, False) for index in members]
    return rows


class WayList(ScrollView, can_focus=True, inherit_bindings=False):
    """The groups of steps with the logit lens beside each; the current one is marked ▸ and shows its steps."""

    COMPONENT_CLASSES = {"way--group", "way--step", "way--current", "way--lens", "way--dim"}
    DEFAULT_CSS = """
    WayList {
        scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden;
        border: round $foreground 30%; padding: 0 0 0 1;
        &:focus { border: round $accent; }
        & > .way--group { color: $foreground; }
        & > .way--step { color: $foreground 70%; }
        & > .way--current { color: $accent; text-style: bold; }
        & > .way--lens { color: $success; }
        & > .way--dim { color: $foreground 60%; }
    }
    """
    HELP = (
        "**The way through.** Every step of the computation in its order, `j` forward and `k` back. Beside each part stands the "
        "logit lens: the token that the model would predict if it stopped there, read with the final norm and the embedding."
    )
    steps: reactive[tuple[Step, ...]] = reactive((), layout=False)
    current: reactive[int] = reactive(0)

    @dataclass
    class Chosen(Message):
        """A line was clicked that leads to another step."""

        step: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: list[Row] = []
        self.border_title = "the way through"

    def show(self, way: Way) -> None:
        self.steps = tuple(way.steps)

    def watch_steps(self) -> None:
        self._build()

    def watch_current(self) -> None:
        self._build()

    def on_resize(self) -> None:
        self._build()

    def _build(self) -> None:
        self._rows = rows_of(list(self.steps), self.current)
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows))
        at = self._current_row()
        top, height = round(self.scroll_y), self.scrollable_content_region.height
        if at < top + 1 or at > top + height - 2:
            # One line of context stays in sight on the side that the cursor moves towards.
            top = at - 1 if at < top + 1 else at - height + 2
            self.scroll_to(y=max(0, min(top, len(self._rows) - height)), animate=False, immediate=True, force=True)
        below = len(self._rows) - round(self.scroll_y) - height
        self.border_subtitle = f"↓ {below} more" if below > 0 and height > 0 else ""
        self.refresh()

    def _current_row(self) -> int:
        for index, row in enumerate(self._rows):
            last = index + 1 == len(self._rows) or self._rows[index + 1].is_group
            if row.step == self.current and (not row.is_group or last):
                return index
        return 0

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        index = y + round(self.scroll_y)
        if index >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[index]
        here = index == self._current_row()
        inside = row.is_group and index + 1 < len(self._rows) and not self._rows[index + 1].is_group
        mark = "▸ " if here else "▾ " if inside else "  "
        kind = "way--current" if here else "way--group" if row.is_group else "way--step"
        style = self.get_component_rich_style(kind)
        if not row.is_group:
            return self._finish([Segment(mark + "  " + fit(row.name, max(0, width - 4)), style)], width)
        name_width = NAME_WIDTHS[width >= WIDE_FROM]
        room = max(0, width - len(mark) - name_width - 1)
        lens = _lens(row, room)
        if not lens:
            return self._finish([Segment(mark + fit(row.name, max(0, width - len(mark))), style)], width)
        segments = [Segment(mark + fit(row.name, name_width) + " ", style)]
        segments.append(Segment(fit(lens, room), self.get_component_rich_style("way--lens")))
        return self._finish(segments, width)

    def _finish(self, segments: list[Segment], width: int) -> Strip:
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and 0 <= offset.y + round(self.scroll_y) < len(self._rows):
            self.post_message(self.Chosen(self._rows[offset.y + round(self.scroll_y)].step))


def _lens(row: Row, room: int) -> str:
    """The lens's guess in the room there is for it: the token, its probability, and the rank of the model's final answer."""
    if row.lens is None:
        return ""
    label = row.lens.label.strip() or row.lens.label
    text = f"{label} {probability(row.lens.probability, 0)}"
    if row.rank is not None and room >= RANK_FROM:
        return f"{fit(text, room - 11)} rank {whole(row.rank)}"
    return text if cell_len(text) <= room else label
