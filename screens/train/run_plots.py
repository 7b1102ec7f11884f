"""The plots of a run: losses with baselines, learning rate, gradient norm, speed. A plot is added here."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import numpy as np

from lab.core.float_columns import Column, Floats
from lab.reports.baselines import Baseline, bytes_per_token
from lab.runs.loss_history import LossHistory
from lab.runs.run_schema import Event, EventKind, RunConfig
from screens.plot.figure import Figure, Series
from screens.plot.plot_settings import SMOOTHINGS, PlotSettings

TIME_UNITS = ((2 * 3600.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
"""Least seconds, length of the unit in seconds, name of the unit."""


class RunPlots:
    """A run's history, in the window and the units of its plot settings."""

    def __init__(
        self, name: str, config: RunConfig, history: LossHistory, view: PlotSettings, events: Sequence[Event] = ()
    ) -> None:
        self.name = name
        self.config = config
        self.history = history
        self.view = view
        self.events = events
        self.latest = float(history.latest.step) if history.latest else 0.0
        self.first, self.last = view.window(self.latest)
        self.per_loss = 1 / math.log(2) / bytes_per_token(config.data, history) if view.bits else 1.0
        """Factor from nats per token to the unit shown."""
        self.unit, self._x_of_step = self._x_axis()

    def _x_axis(self) -> tuple[str, Callable[[Floats, Floats], Floats]]:
        """Name of the x axis, and the function from steps and seconds to positions: tokens and epochs grow with the steps."""
        latest = self.history.latest
        if self.view.x == "time":
            seconds = latest.seconds if latest else 0.0
            _, size, unit = next(row for row in TIME_UNITS if seconds >= row[0])
            return unit, lambda steps, seconds: scaled(seconds, 1 / size)
        factor = 1.0
        if latest is not None and latest.step:
            factor = {"tokens": latest.tokens, "epochs": latest.epoch}.get(self.view.x, latest.step) / latest.step
        return self.view.x, lambda steps, seconds: scaled(steps, factor or 1.0)

    def _part(self, steps: Sequence[float]) -> slice:
        """The slice of the steps in view."""
        return slice(bisect_left(steps, self.first), bisect_right(steps, self.last))

    def _version(self, *more: object) -> object:
        return (self.name, id(self.history), self.history.version, self.view, *more)

    def losses(self, baselines: Sequence[Baseline] = ()) -> Figure:
        """Training loss of each step and smoothed, validation loss, baselines, events."""
        history, view = self.history, self.view
        train, evaluated = self._part(history.steps), self._part(history.eval_steps)
        xs = self._x_of_step(history.steps[train], history.seconds[train])
        mean, share, longest = SMOOTHINGS[view.smoothing]
        smooth = history.smoothed(share, longest)
        words = f"{mean} smoothing" if view.smoothing else "smoothed"
        eval_xs = self._x_of_step(history.eval_steps[evaluated], history.eval_seconds[evaluated])
        unit = "bits/byte" if view.bits else "loss"
        series = [
            Series(f"train {unit}, each step", "step", "dots", "raw", xs, scaled(history.losses[train], self.per_loss)),
            Series(words, "mean", "line", "train", xs, scaled(smooth[train], self.per_loss)),
            Series("validation", "val", "marks", "validation", eval_xs, scaled(history.val_losses[evaluated], self.per_loss)),
        ]
        for baseline in baselines if view.baselines else ():
            level = baseline.loss * self.per_loss
            long, short = (f"{baseline.name} = {level:.2f}", f"{baseline.short} {level:.2f}")
            series.append(Series(long, short, "level", "level", (0.0,), (level,)))
        return Figure(
            tuple(series),
            version=self._version(tuple(baselines), len(self.events)),
            x_label=self.unit,
            log_y=view.log_y,
            empty="No steps yet.",
            events=self.marks(),
        )

    def marks(self) -> tuple[tuple[float, EventKind], ...]:
        """Events in view and their positions on the x axis; of the lowest validation losses the last one."""
        seen = [each for each in self.happened() if self.first <= each[0] <= self.last]
        xs = self._x_of_step(np.array([step for step, _, _ in seen], float), np.array([second for _, second, _ in seen], float))
        return tuple(zip(xs.tolist(), (kind for _, _, kind in seen), strict=True))

    def happened(self) -> list[tuple[float, float, EventKind]]:
        """Step, seconds and kind of everything marked on the x axis."""
        found: list[tuple[float, float, EventKind]] = [
            (event.step, event.seconds, event.kind) for event in self.events if event.kind != "best"
        ]
        best = self.history.best_evaluation
        if best is not None and best.step:
            found.append((best.step, best.seconds, "best"))
        return found

    def panels(self) -> tuple[Figure, Figure, Figure]:
        """Learning rate, gradient norm and speed over the same steps."""
        history = self.history
        train = self._part(history.steps)
        steps, seconds = history.steps[train], history.seconds[train]
        figures = []
        for name, column in (
            ("learning rate", history.lrs),
            ("gradient norm", history.grad_norms),
            ("tokens/s", history.speeds),
        ):
            ys: Floats = column[train]
            known = np.isfinite(ys)
            xs = self._x_of_step(steps, seconds)
            series = Series(name, name, "line", "train", xs if known.all() else xs[known], ys if known.all() else ys[known])
            figures.append(Figure((series,), version=self._version(name), x_label=self.unit, empty=f"No {name} yet."))
        return figures[0], figures[1], figures[2]

    def x_at(self, at: int) -> float:
        """Position on the x axis of the training step with this index in the history."""
        return float(self._x_of_step(self.history.steps[at : at + 1], self.history.seconds[at : at + 1])[0])


def scaled(values: Sequence[float] | Floats, factor: float) -> Floats:
    """The values times the factor; without a copy if it is 1."""
    found = values.values if isinstance(values, Column) else np.asarray(values)
    return found if factor == 1.0 else found * factor
