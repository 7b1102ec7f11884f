"""The table of runs, one line each, with a cursor and marks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lab.analysis.run_filter import run_filter
from lab.core.number_format import ago, count, counted, fixed
from lab.core.visible_text import visible
from screens.widgets.text_fitting import fit, fit_ends

if TYPE_CHECKING:
    from lab.analysis.loss_curve import LossCurve
    from lab.runs.run_summary import RunSummary

    Curves = Mapping[Path, LossCurve]
    """The loss curves that have been read, by the folders of their runs."""


class TableColumn(NamedTuple):
    """A column. Those with the highest `rank` are left out first, 0 never; one that `shrinks` gives its room to long names."""

    title: str
    width: int
    rank: int
    align: str
    text: Callable[[RunSummary, Curves], str]
    shrinks: bool = False


def _phase(run: RunSummary, curves: Curves) -> str:
    from lab.runs.run_summary import shown_phase

    sign, word = shown_phase(run.phase, is_imported=run.is_imported)
    return f"{sign} {word}"


def _step(run: RunSummary, curves: Curves) -> str:
    if run.is_imported:
        return "·"
    return count(run.step) + (f" / {count(run.steps)}" if run.steps else "")


def _evaluated(value: float | None, run: RunSummary) -> str:
    if value is None:
        return "·"
    return (PARTIAL if is_partial(run) else "") + fixed(value, 3)


def is_partial(run: RunSummary) -> bool:
    """True if the run's figures are known to be of a share of its validation part."""
    return run.evaluated is not None and not run.evaluated.is_whole


def _sparkline(run: RunSummary, curves: Curves) -> str:
    from lab.analysis.loss_curve import sparkline

    curve = curves.get(run.path)
    return "" if curve is None else sparkline(curve, SPARKLINE, run.steps if run.is_active else None)


def _speed(run: RunSummary, curves: Curves) -> str:
    return count(run.tokens_per_second) if run.tokens_per_second else "·"


def _age(run: RunSummary, curves: Curves) -> str:
    if run.is_bundled or (run.is_active and not run.is_watched):
        return "bundled" if run.is_bundled else "now"
    return ago(max(0.0, time.time() - run.last_heartbeat)) if run.last_heartbeat else "·"


MARKS = "ABCDE"
"""Letters of marked runs, the same as in the comparison."""
PARTIAL = "~"
SHORTEST_NAME, LONGER_NAME, LONGEST_NAME = 12, 17, 40
"""Cells for a name before a column is left out; where names are longer, those of `tinyshakespeare-2`; and at most."""
SPARKLINE = 10
MARGIN = 3
"""Columns before the name: the cursor, the letter of a marked run, and a gap."""
COLUMNS = (
    TableColumn("text", 16, 5, "left", lambda run, curves: run.text),
    TableColumn("phase", 13, 0, "left", _phase, shrinks=True),
    TableColumn("step", 15, 2, "right", _step, shrinks=True),
    TableColumn("loss (log)", SPARKLINE, 1, "left", _sparkline),
    TableColumn("val loss", 8, 0, "right", lambda run, curves: _evaluated(run.val_loss, run)),
    TableColumn("bits/byte", 9, 3, "right", lambda run, curves: _evaluated(run.bits_per_byte, run)),
    TableColumn("tokens/s", 8, 6, "right", _speed),
    TableColumn("updated", 11, 4, "right", _age),
)


def _shrunk(runs: tuple[RunSummary, ...]) -> tuple[TableColumn, ...]:

    def needed(column: TableColumn) -> int:
        return min(column.width, max(map(cell_len, (column.title, *(column.text(run, {}) for run in runs)))))

    return tuple(column._replace(width=needed(column)) if column.shrinks else column for column in COLUMNS)


def _choose_columns(width: int, columns_of_runs: Sequence[TableColumn], shortest: int) -> tuple[int, list[TableColumn]]:
    """The width of the name, `shortest` if possible, and the columns that fit beside it."""
    columns = list(columns_of_runs)
    while True:
        left = width - MARGIN - sum(column.width + 2 for column in columns)
        droppable = [column for column in columns if column.rank]
        if left >= shortest or not droppable:
            return max(4, min(left, LONGEST_NAME)), columns
        columns.remove(max(droppable, key=lambda column: column.rank))


class RunTable(ScrollView, can_focus=True):
    """Shows runs as they change on disk. The cursor stays on its run; marked runs get letters in the order of marking."""

    BINDINGS = [
        Binding("down,j", "move(1)", "Down", id="runs.down", show=False, tooltip="Next run"),
        Binding("up,k", "move(-1)", "Up", id="runs.up", show=False, tooltip="Previous run"),
        Binding("home", "move(-1000000)", "First", id="runs.first", show=False, tooltip="First run"),
        Binding("end,G", "move(1000000)", "Last", id="runs.last", show=False, tooltip="Last run"),
        Binding("enter", "open", "Open", id="runs.open", tooltip="Open its training if it trains or failed, else its model"),
        Binding("m", "mark", "Mark", id="runs.mark", tooltip="Mark or unmark this run for a comparison"),
    ]
    COMPONENT_CLASSES = {"run-table--title", "run-table--cursor", "run-table--active", "run-table--failed", "run-table--quiet"}
    DEFAULT_CSS = """
    RunTable {
        & > .run-table--title { color: $text-muted; }
        & > .run-table--cursor { background: $primary 30%; text-style: bold; }
        &:focus > .run-table--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
        & > .run-table--active { color: $text-success; }
        & > .run-table--failed { color: $text-error; }
        & > .run-table--quiet { color: $foreground; }
    }
    """

    runs: reactive[tuple[RunSummary, ...]] = reactive((), always_update=True)
    cursor: reactive[int] = reactive(0)
    marked: reactive[tuple[str, ...]] = reactive(())
    """Names of the marked runs, in the order of marking, whether they are listed or not."""
    by_text: reactive[bool] = reactive(False)
    """True while the runs are grouped by their text, which is then always shown, once for a group."""

    curves: reactive[Curves] = reactive(dict)

    class Moved(Message):
        """Another run is under the cursor, other runs are marked, or others are in sight."""

    class Opened(Message):
        """Enter was pressed on the run under the cursor, or it was clicked on."""

    @property
    def in_sight(self) -> tuple[RunSummary, ...]:
        return self.runs[self.scroll_offset.y : self.scroll_offset.y + max(0, self.size.height - 1)]

    @property
    def selected(self) -> RunSummary | None:
        return self.runs[self.cursor] if self.cursor < len(self.runs) else None

    _columns: tuple[TableColumn, ...] = COLUMNS
    _shortest_name: int = SHORTEST_NAME
    there: tuple[RunSummary, ...] = ()
    """The runs on disk."""
    matches: Callable[[RunSummary], bool] = staticmethod(run_filter(""))
    """The filter: those that it holds for are listed."""

    def list_runs(self) -> None:
        names = {run.name for run in self.there}
        if not names.issuperset(self.marked):
            self.marked = tuple(name for name in self.marked if name in names)
        listed = tuple(run for run in self.there if self.matches(run))
        if self.by_text:  # in the order of the newest run of each
            texts = list(dict.fromkeys(run.text for run in listed))
            listed = tuple(sorted(listed, key=lambda run: texts.index(run.text)))
        self.runs = listed

    def watch_runs(self, before: tuple[RunSummary, ...], runs: tuple[RunSummary, ...]) -> None:
        longest = max((cell_len(visible(run.name)) for run in runs), default=0)
        self._columns = _shrunk(runs) if longest > SHORTEST_NAME else COLUMNS
        self._shortest_name = min(LONGER_NAME, max(SHORTEST_NAME, longest))
        name = before[self.cursor].name if self.cursor < len(before) else None
        near = max(0, min(self.cursor, len(runs) - 1))
        self.virtual_size = Size(0, len(runs) + 1)  # the rows are as wide as there is room
        self.cursor = next((at for at, run in enumerate(runs) if run.name == name), near)
        self.post_message(self.Moved())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Moved())

    def watch_cursor(self) -> None:
        self.scroll_to_region(Region(0, self.cursor, 1, 2), animate=False, force=True)
        self.post_message(self.Moved())

    on_resize = watch_cursor

    def watch_marked(self) -> None:
        self.post_message(self.Moved())

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, len(self.runs) - 1))

    def show_run(self, name: str) -> None:
        self.cursor = next((at for at, run in enumerate(self.runs) if run.name == name), self.cursor)

    def action_move(self, by: int) -> None:
        self.cursor += by

    def action_mark(self) -> None:
        if self.selected is None:
            return
        name = self.selected.name
        if name in self.marked:
            self.marked = tuple(other for other in self.marked if other != name)
        elif len(self.marked) < len(MARKS):
            self.marked = (*self.marked, name)
        else:
            self.notify(f"At most {len(MARKS)} runs can be compared.")

    def action_open(self) -> None:
        if self.selected is not None:
            self.post_message(self.Opened())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action not in ("open", "mark") or self.selected is not None

    def on_click(self, event: events.Click) -> None:
        row = event.y + self.scroll_offset.y - 1
        if event.y < 1 or row >= len(self.runs):
            return
        self.cursor = row
        if event.x < MARGIN - 1:
            self.action_mark()
        else:
            self.action_open()

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        shown = [each._replace(rank=0) if each.title == "text" and self.by_text else each for each in self._columns]
        name_width, columns = _choose_columns(width, shown, self._shortest_name)
        row = y + self.scroll_offset.y
        base = self.rich_style
        if y == 0:
            titles = "".join("  " + fit(column.title, column.width, column.align) for column in columns)
            return self._line(" " * MARGIN + fit(self._title, name_width) + titles, "title", width)
        if row - 1 >= len(self.runs):
            return Strip.blank(width, base)
        run = self.runs[row - 1]
        if self.by_text and y > 1 and self.runs[row - 2].text == run.text:
            columns = [each._replace(text=lambda run, curves: "") if each.title == "text" else each for each in columns]
        selected = row - 1 == self.cursor
        mark = MARKS[self.marked.index(run.name)] if run.name in self.marked else " "
        words = ("▸" if selected else " ") + mark + " " + fit_ends(run.name, name_width)
        words += "".join("  " + fit(column.text(run, self.curves), column.width, column.align) for column in columns)
        failed = run.phase in ("failed", "interrupted", "not answering", "damaged")
        kind = "active" if run.is_active else "failed" if failed else "quiet"
        return self._line(words, "cursor" if selected else kind, width)

    @property
    def _title(self) -> str:
        return "your runs" if len(self.runs) == len(self.there) else f"{len(self.runs)} of {counted(len(self.there), 'run')}"

    def _line(self, words: str, role: str, width: int) -> Strip:
        style = self.get_component_rich_style(f"run-table--{role}")
        return Strip([Segment(words, style)]).adjust_cell_length(width, style)
