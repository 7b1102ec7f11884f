"""The plot of several runs: a line per run, told apart by letter, dashes and colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lab.core.float_columns import Floats
from lab.reports.comparison.compared_run import ComparedRun, bits_per_nat
from screens.plot.figure import RUN_ROLES, Figure, Series
from screens.plot.plot_settings import SMOOTHINGS, PlotSettings
from screens.train.run_plots import TIME_UNITS

DASHES: tuple[tuple[int, int] | None, ...] = (None, (3, 2), (1, 1), (6, 2), (2, 4))
"""Dashes of each run's smoothed training loss."""

WHOLE = 1000.0
"""Length of the x axis for plot settings: zoom and pan work in thousandths of it, in every unit."""


def figure(runs: Sequence[ComparedRun], view: PlotSettings, *, bits: bool) -> Figure:
    """Smoothed training loss as lines, validation loss as the runs' letters."""
    unit, factors = _x_axis(runs, view)
    ends = [_end(run, view) * factor for run, factor in zip(runs, factors, strict=True)]
    low, high = (edge / WHOLE * max(ends) for edge in view.window(WHOLE))
    smoothing, share, longest = SMOOTHINGS[view.smoothing]
    words = f"{smoothing} smoothing" if view.smoothing else "smoothed"
    lines, marks = [], []
    for run, role, dashes, factor in zip(runs, RUN_ROLES, DASHES, factors, strict=False):
        history, by_time = run.history, view.x == "time"
        per_loss = bits_per_nat(run) if bits else 1.0
        xs = _scaled((history.seconds if by_time else history.steps)[:], factor)
        eval_xs = _scaled((history.eval_seconds if by_time else history.eval_steps)[:], factor)
        seen, seen_eval = _part(xs, low, high), _part(eval_xs, low, high)
        ys = _scaled(history.smoothed(share, longest)[seen], per_loss)
        lines.append(Series(f"{run.name}, train, {words}", run.name, "line", role, xs[seen], ys, dashes=dashes))
        ys = _scaled(history.val_losses[seen_eval], per_loss)
        marks.append(Series("validation", "val", "marks", role, eval_xs[seen_eval], ys, sign=run.letter))
    return Figure(
        tuple(series for pair in zip(lines, marks, strict=True) for series in pair),
        version=(view, bits, tuple((run.name, id(run.history), run.history.version) for run in runs)),
        x_label=unit,
        log_y=view.log_y,
        empty="No steps yet.",
    )


def _x_axis(runs: Sequence[ComparedRun], view: PlotSettings) -> tuple[str, list[float]]:
    """The name of the x axis, and for each run the factor on its steps or seconds."""
    latest = [run.history.latest for run in runs]
    if view.x == "time":
        longest = max((metric.seconds for metric in latest if metric), default=0.0)
        _, size, unit = next(row for row in TIME_UNITS if longest >= row[0])
        return unit, [1 / size] * len(runs)
    if view.x == "steps":
        return "steps", [1.0] * len(runs)
    counted = [(metric.tokens if view.x == "tokens" else metric.epoch, metric.step) if metric else (1.0, 1) for metric in latest]
    return view.x, [amount / step if step else 1.0 for amount, step in counted]


def _end(run: ComparedRun, view: PlotSettings) -> float:
    latest = run.history.latest
    return 0.0 if latest is None else latest.seconds if view.x == "time" else float(latest.step)


def _scaled(values: Floats, factor: float) -> Floats:
    return np.asarray(values, np.float64) * factor


def _part(xs: Floats, low: float, high: float) -> slice:
    """The slice of non-decreasing `xs` in view."""
    slack = 1e-9 * max(1.0, high)
    return slice(int(np.searchsorted(xs, low - slack, "left")), int(np.searchsorted(xs, high + slack, "right")))
