"""The plot of several runs and the columns below: a line per run, told apart by letter, dashes and colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

import numpy as np
from rich.cells import cell_len
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lab.analysis.baselines import NATS, bits_per_byte
from lab.analysis.comparable_runs import share_of
from lab.analysis.compared_run import ComparedRun, stops, written_at
from lab.analysis.comparison import ComparisonRow, differences, results
from lab.core.number_format import count, fixed, probability, whole
from lab.runs.run_history import Floats
from screens.plot.figure import RUN_ROLES, Figure, Series
from screens.plot.plot_settings import SMOOTHINGS, PlotSettings
from screens.train.run_plots import scaled, with_loss_axis, x_axis
from screens.train.samples_view import sample_text_lines
from screens.widgets.text_fitting import Piece, fit, fit_ends, painted_line

LABEL_WIDTH = 17
GAP = 2
NARROWEST_COLUMN = 8
NARROWEST_SAMPLE = 23
"""Narrowest readable column; below it fewer runs are shown at once."""
WINNER = " ◂"


def least_table_width(runs: Sequence[ComparedRun]) -> int:
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
    """The values; where one is too long, all from the word in which they differ, or if that is too long, from the difference."""

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
    where = f"   {at + 1}/{len(found)} {{ }}"
    if cell_len(title) + len(where) <= width:
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
        self.lines: list[list[Piece]] = []

    def show(self, lay: Callable[[int], list[list[Piece]]]) -> None:
        self._lay = lay
        self._lay_out()

    def _lay_out(self) -> None:
        width = max(1, self.scrollable_content_region.width)
        self.lines = self._lay(width)
        self.virtual_size = Size(width, len(self.lines))
        self.refresh()

    on_resize = _lay_out

    def render_line(self, y: int) -> Strip:
        row = y if y < self._titles else y + self.scroll_offset.y
        pieces = self.lines[row] if row < len(self.lines) else []
        return painted_line(self, "run-columns", pieces, self.scrollable_content_region.width)


DASHES: tuple[tuple[int, int] | None, ...] = (None, (3, 2), (1, 1), (6, 2), (2, 2))
MANY = 3
"""From so many runs on a short legend has the letters alone, which the table below the plot explains."""

WHOLE = 1000.0
"""Length of the x axis for plot settings: zoom and pan work in thousandths of it, in every unit."""


def figure(runs: Sequence[ComparedRun], settings: PlotSettings) -> Figure:
    """Smoothed training loss as lines, validation loss as lines with the runs' letters."""
    unit, factors = _x_axis(runs, settings)
    end = end_of_axis(runs, settings)
    low, high = (edge / WHOLE * end for edge in settings.window(WHOLE))
    smoothing, share, longest = SMOOTHINGS[settings.smoothing]
    words = f"train, {smoothing} smoothing" if settings.smoothing else "train mean"
    lines, marks = [], []
    for run, role, dashes, factor in zip(runs, RUN_ROLES, DASHES, factors, strict=False):
        history, by_time = run.history, settings.x == "time"
        per_nat = bits_per_byte(run.config.data, run.history, None) if settings.bits else NATS
        xs = scaled((history.seconds if by_time else history.steps)[:], factor)
        # Until the first evaluation after step 0 a straight line would say nothing.
        trained = slice(1 if len(history.eval_steps) > 1 and not history.eval_steps[0] else 0, None)
        eval_xs = scaled((history.eval_seconds if by_time else history.eval_steps)[trained], factor)
        seen, inside = _part(xs, low, high), _part(eval_xs, low, high)
        seen_eval = slice(max(0, inside.start - 1), inside.stop + 1)  # through one on either side the line goes on out of view
        ys = scaled(history.smoothed(share, longest)[seen], per_nat.train_factor)
        short = run.name if len(runs) < MANY else run.letter
        lines.append(Series(f"{run.name}, {words}", short, "line", role, xs[seen], ys, dashes=dashes))
        ys = scaled(history.val_losses[trained][seen_eval], per_nat.factor)
        named = len(runs) < MANY or run is runs[-1]
        marks.append(Series("validation", "val", "marked", role, eval_xs[seen_eval], ys, sign=run.letter, in_legend=named))
    curves = [(series.xs, series.ys) for series in (*lines, *marks)]
    plotted = Figure(
        tuple(series for pair in zip(lines, marks, strict=True) for series in pair),
        version=(settings, tuple((run.name, id(run.history), run.history.version) for run in runs)),
        x_label=unit,
        x_window=(low, high),
        empty="No steps yet.",
    )
    return with_loss_axis(plotted, settings, curves)


def end_of_axis(runs: Sequence[ComparedRun], settings: PlotSettings) -> float:
    _, factors = _x_axis(runs, settings)
    latest = [run.history.latest for run in runs]
    ends = [0.0 if metric is None else metric.seconds if settings.x == "time" else float(metric.step) for metric in latest]
    return max(end * factor for end, factor in zip(ends, factors, strict=True))


def values_at(shown: Figure, runs: Sequence[ComparedRun], x: float) -> str:
    """Each run's smoothed training loss at a position on the x axis, and its last validation loss up to there."""
    trained, evaluated = [], []
    shares = {run.letter: on.loss_suffix if (on := share_of(run, final=False)) else "" for run in runs}
    shared = shares[runs[0].letter] if len(set(shares.values())) == 1 else None
    for run, line, marks in zip(runs, shown.series[::2], shown.series[1::2], strict=True):
        if not len(line.xs) or not line.xs[0] <= x <= line.xs[-1]:
            continue
        seen, known = (int(np.searchsorted(series.xs, x, "right")) for series in (line, marks))
        trained.append(f"{run.letter} {fixed(float(line.ys[seen - 1]))}")
        if known:
            own, at = shares[run.letter] if shared is None else "", float(marks.xs[known - 1])
            before = f" @ {_place(at)}" if _place(at) != _place(x) else ""
            evaluated.append(f"{run.letter} {fixed(float(marks.ys[known - 1]))}{own}{before}")
    val = f"; val{shared or ''} {', '.join(evaluated)}" if evaluated else ""
    return f"at {_place(x)} {shown.x_label}: train {', '.join(trained)}{val}" if trained else ""


def _place(x: float) -> str:
    return count(x) if x >= 10 else fixed(x, 2)


def _x_axis(runs: Sequence[ComparedRun], settings: PlotSettings) -> tuple[str, list[float]]:
    latest = [run.history.latest for run in runs]
    longest = max((metric.seconds for metric in latest if metric), default=0.0)
    axes = [x_axis(settings, metric, longest) for metric in latest]
    return axes[0][0], [factor for _, factor in axes]


def _part(xs: Floats, low: float, high: float) -> slice:
    slack = 1e-9 * max(1.0, high)
    return slice(int(np.searchsorted(xs, low - slack, "left")), int(np.searchsorted(xs, high + slack, "right")))
