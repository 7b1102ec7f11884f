"""Runs in columns: results, settings that differ, samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lab.core.number_format import probability, whole
from lab.reports.comparison.compared_run import ComparedRun, stops, written_at
from lab.reports.comparison.comparison_table import ComparisonRow, differences, results
from screens.train.samples_view import sample_text_lines
from screens.widgets.text_fitting import Piece, fit, fit_ends

LABEL_WIDTH = 17
GAP = 2
NARROWEST_COLUMN = 8
NARROWEST_SAMPLE = 23
"""Narrowest readable column; below it fewer runs are shown at once."""
WINNER = " ◂"


def least_table_width(runs: Sequence[ComparedRun]) -> int:
    """Cells that show a column of each run."""
    return LABEL_WIDTH + len(runs) * (NARROWEST_COLUMN + GAP)


def table_lines(runs: Sequence[ComparedRun], width: int) -> list[list[Piece]]:
    """Results, then the settings that differ, a column per run."""
    column = max(NARROWEST_COLUMN, min(30, (width - LABEL_WIDTH) // len(runs) - GAP))
    lines = [_table_line("", [run.title for run in runs], column, "head", None)]
    lines += [_row(row, column) for row in results(runs)]
    different = differences(runs)
    words = "settings that differ" if different else "All settings are the same."
    return [*lines, [(words, "head")], *(_row(row, column) for row in different)]


def _row(row: ComparisonRow, column: int) -> list[Piece]:
    return _table_line(row.label, _from_difference(row.values, column), column, "text", row.winner)


def _from_difference(values: Sequence[str], column: int) -> Sequence[str]:
    """The values; where one is too long, all from the word in which they differ, or if that is too long, from the difference.
    Where they do not begin alike, or one is the beginning of another, their ends are kept too."""

    def longest(start: int) -> int:
        return max(cell_len(value[start:]) for value in values)

    same = sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, zip(*values, strict=False)))
    word = values[0].rfind(" ", 0, same) + 1
    start = word if longest(word) < column else same
    if longest(0) <= column:
        return values
    if not start or min(map(len, values)) <= start:
        return [fit_ends(value, column) for value in values]
    return [f"…{value[start:]}" for value in values]


def _table_line(label: str, values: Sequence[str], column: int, role: str, winner: int | None) -> list[Piece]:
    line = [(fit(label, LABEL_WIDTH), "label")]
    for at, value in enumerate(values):
        won = at == winner
        line.append((fit(value + WINNER * won, column) + " " * GAP, "winner" if won else role))
    return line


def samples_shown(runs: Sequence[ComparedRun], width: int) -> int:
    """Number of runs whose samples fit side by side."""
    return max(1, min(len(runs), (width + GAP) // (NARROWEST_SAMPLE + GAP)))


def sample_lines(runs: Sequence[ComparedRun], at: int, first: int, width: int) -> list[list[Piece]]:
    """Samples at the same fraction of training; `first` is the first run shown where not all fit, if no fewer are then shown."""
    found = stops(runs)
    if not found:
        return [[("No samples yet: each evaluation writes some.", "label")]]
    stop = found[min(at, len(found) - 1)]
    most = samples_shown(runs, width)
    first = max(0, min(first, len(runs) - most))
    shown = runs[first : first + most]
    column = (width + GAP) // len(shown) - GAP
    title = f"Samples at {probability(stop, 0)} of training"
    if len(shown) < len(runs):
        numbers = f"run {first + 1}" if len(shown) == 1 else f"runs {first + 1}–{first + len(shown)}"
        title += f"   {numbers}, [ ] others"
    where = f"   {at + 1}/{len(found)} ←/→"
    if len(title) + len(where) <= width:
        title += where
    columns = [_sample_column(run, stop, column) for run in shown]
    lines: list[list[Piece]] = [[(fit(title, width), "label")]]
    for row in range(max(map(len, columns))):
        line: list[Piece] = []
        for cells in columns:
            pieces = cells[row] if row < len(cells) else []
            used = sum(cell_len(text) for text, _ in pieces)
            line += [*pieces, (" " * (column + GAP - used), "text")]
        lines.append(line)
    return lines


def _sample_column(run: ComparedRun, stop: float, width: int) -> list[list[Piece]]:
    samples = written_at(run, stop)
    if not samples:
        return [[(fit(run.title, width), "head")], [(fit("not reached yet", width), "label")]]
    title = fit(f"{run.title}, step {whole(samples[0].step)}", width)
    return [[(title, "head")], *sample_text_lines(samples, width)]


class RunColumns(ScrollView, can_focus=False):
    """Lines laid out for the widget's width, scrollable; the first `titles` stay in sight."""

    COMPONENT_CLASSES = {f"run-columns--{role}" for role in ("label", "head", "text", "prompt", "winner")}
    DEFAULT_CSS = """
    RunColumns {
        scrollbar-size-vertical: 1; scrollbar-gutter: stable; overflow-x: hidden;
        & > .run-columns--label { color: $text-muted; }
        & > .run-columns--head { text-style: bold; }
        & > .run-columns--text { color: $foreground; }
        & > .run-columns--prompt { text-style: bold underline; }
        & > .run-columns--winner { color: $text-success; text-style: bold; }
    }
    """

    def __init__(self, titles: int, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._titles = titles
        self._lay: Callable[[int], list[list[Piece]]] = lambda width: []
        self._lines: list[list[Piece]] = []

    @property
    def lines(self) -> list[list[Piece]]:
        """All lines, from the first on."""
        return self._lines

    def show(self, lay: Callable[[int], list[list[Piece]]]) -> None:
        """Show the lines that `lay` gives for a width."""
        self._lay = lay
        self._lay_out()

    def on_resize(self, event: events.Resize) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        width = max(1, self.scrollable_content_region.width)
        self._lines = self._lay(width)
        self.virtual_size = Size(width, len(self._lines))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        row = y if y < self._titles else y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if row >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        segments = [
            Segment(text, self.get_component_rich_style(f"run-columns--{role}")) for text, role in self._lines[row] if text
        ]
        return Strip(segments).adjust_cell_length(width, self.rich_style)
