"""The plot of several runs: a line per run, told apart by letter, dashes and colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lab.core.float_columns import Floats
from lab.core.number_format import count, fixed
from lab.reports.comparison.compared_run import ComparedRun, bits_per_nat, share_of
from screens.plot.figure import RUN_ROLES, Figure, Series
from screens.plot.plot_settings import SMOOTHINGS, PlotSettings
from screens.plot.scale_choice import range_after_steep_part, scale_words, shows_more_on_log
from screens.train.run_plots import TIME_UNITS

DASHES: tuple[tuple[int, int] | None, ...] = (None, (3, 2), (1, 1), (6, 2), (2, 2))
"""Dashes of each run's smoothed training loss."""
MANY = 3
"""From so many runs on a short legend has the letters alone, which the table below the plot explains."""

WHOLE = 1000.0
"""Length of the x axis for plot settings: zoom and pan work in thousandths of it, in every unit."""


def figure(runs: Sequence[ComparedRun], view: PlotSettings, *, bits: bool) -> Figure:
    """Smoothed training loss as lines, validation loss as lines with the runs' letters."""
    unit, factors = _x_axis(runs, view)
    end = end_of_axis(runs, view)
    low, high = (edge / WHOLE * end for edge in view.window(WHOLE))
    smoothing, share, longest = SMOOTHINGS[view.smoothing]
    words = f"train, {smoothing} smoothing" if view.smoothing else "train mean"
    lines, marks = [], []
    for run, role, dashes, factor in zip(runs, RUN_ROLES, DASHES, factors, strict=False):
        history, by_time = run.history, view.x == "time"
        per_train, per_val = (bits_per_nat(run, train=train) if bits else 1.0 for train in (True, False))
        xs = _scaled((history.seconds if by_time else history.steps)[:], factor)
        # Until the first evaluation after step 0 a straight line would say nothing.
        trained = slice(1 if len(history.eval_steps) > 1 and not history.eval_steps[0] else 0, None)
        eval_xs = _scaled((history.eval_seconds if by_time else history.eval_steps)[trained], factor)
        seen, seen_eval = _part(xs, low, high), _around(_part(eval_xs, low, high))
        ys = _scaled(history.smoothed(share, longest)[seen], per_train)
        short = run.name if len(runs) < MANY else run.letter
        lines.append(Series(f"{run.name}, {words}", short, "line", role, xs[seen], ys, dashes=dashes))
        ys = _scaled(history.val_losses[trained][seen_eval], per_val)
        named = len(runs) < MANY or run is runs[-1]
        marks.append(Series("validation", "val", "marked", role, eval_xs[seen_eval], ys, sign=run.letter, in_legend=named))
    curves = [(series.xs, series.ys) for series in (*lines, *marks)]
    auto = shows_more_on_log(curves)
    log_y = auto if view.log_y is None else view.log_y
    return Figure(
        tuple(series for pair in zip(lines, marks, strict=True) for series in pair),
        version=(view, bits, tuple((run.name, id(run.history), run.history.version) for run in runs)),
        x_label=unit,
        log_y=log_y,
        auto_log_y=auto,
        scale_words=f"{'bits/byte' if bits else 'nats/token'}, {scale_words(view, log_y)}",
        x_window=(low, high),
        y_window=view.y_window or (range_after_steep_part(curves) if view.y_close else None),
        empty="No steps yet.",
    )


def end_of_axis(runs: Sequence[ComparedRun], view: PlotSettings) -> float:
    """The position of the last step of any run."""
    _, factors = _x_axis(runs, view)
    return max(_end(run, view) * factor for run, factor in zip(runs, factors, strict=True))


def values_at(shown: Figure, runs: Sequence[ComparedRun], x: float) -> str:
    """Each run's losses at a position on the x axis: smoothed training loss, and the last validation loss up to there, with its
    own position where that is an earlier one, and the share of the validation text that it is measured on."""
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


def _around(part: slice) -> slice:
    """The slice with one more on either side, through which a line goes on out of view."""
    return slice(max(0, part.start - 1), part.stop + 1)


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
