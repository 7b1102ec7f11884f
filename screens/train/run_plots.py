"""The run being watched in Train, and its plots: losses with baselines, learning rate, gradient norm, speed, machine usage."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lab.analysis.baselines import NATS, Baseline, bits_per_byte
from lab.analysis.machine_usage import Usage, UsageMeter
from lab.core.number_format import bytes_, fixed, probability, whole
from lab.runs.run_history import Column, Floats, InsightHistory, LossHistory, RunUpdate
from lab.runs.run_schema import Event, EventKind, Metric, RunConfig, Sample, Status
from screens.plot.figure import Area, Figure, Series
from screens.plot.plot_settings import SMOOTHINGS, Curve, PlotSettings, range_after_steep_part, shows_more_on_log


@dataclass
class WatchedRun:
    """Everything read of a run so far. Each reading gives a new one, whose history is the same object while the file grows."""

    name: str
    config: RunConfig
    status: Status
    phase: str
    history: LossHistory = field(default_factory=LossHistory)
    samples: tuple[Sample, ...] = ()
    insights: InsightHistory = field(default_factory=InsightHistory)
    events: tuple[Event, ...] = ()
    usage: UsageMeter | None = None
    unresponsive: str = ""
    """The reason why its trainer is silent; empty if not known."""

    @property
    def identity(self) -> tuple[str, float]:
        """Its name and when it was made: a new run may have the name of a deleted one."""
        return self.name, self.config.created

    @property
    def state_drawn(self) -> object:
        """The state whose changes are drawn at once."""
        return self.identity, id(self.history), len(self.history.eval_steps), len(self.events), self.phase

    def updated(self, update: RunUpdate) -> WatchedRun:
        """The run with what a later reading found."""
        history = update.history
        if history is None:
            history = self.history
            history.add(update.metrics)
        insights = update.insights
        if not update.insights_restarted:
            insights = self.insights
            insights.extend(update.insights)
        return replace(
            self,
            config=update.config,
            status=update.status,
            phase=update.phase,
            history=history,
            samples=(() if update.samples_restarted else self.samples) + tuple(update.samples),
            insights=insights,
            events=(() if update.events_restarted else self.events) + tuple(update.events),
            unresponsive=update.unresponsive,
        )


GIGA = 1e9


def usage_plots(meter: UsageMeter | None) -> list[Figure]:
    """CPU and memory of the machine and of the trainer; the GPU's where there is one."""
    samples = list(meter.samples) if meter else []
    if meter is None or len(samples) < 2:
        return [Figure((), version=("usage", 0), empty="Usage: only while you watch it train here.")]
    last, version = samples[-1], ("usage", id(meter), samples[-1].at)
    beginning = samples[0].at

    def series(name: str, role: str, value: Callable[[Usage], float | None], short: str = "") -> Series:
        known = [(sample.at - beginning, found) for sample in samples if (found := value(sample)) is not None]
        kind = "line" if role == "train" else "dots"
        return Series(name, short or name, kind, role, [x for x, _ in known], [y for _, y in known])  # type: ignore[arg-type]

    def figure(name: str, *lines: Series) -> Figure:
        return Figure(lines, version=(*version, name), x_label="seconds")

    def gigabytes(size: float | None) -> float | None:
        return None if size is None else size / GIGA

    busy, used = f"all {fixed(last.cpu * meter.cores, 1)}", f"all {bytes_(last.memory)}"
    figures = [
        figure(
            "cpu",
            series(f"{busy} of {meter.cores} cores", "raw", lambda sample: sample.cpu * meter.cores, f"{busy} cores"),
            series(_now("trainer", last.trainer_cpu, lambda x: fixed(x, 1)), "train", lambda sample: sample.trainer_cpu),
        ),
        figure(
            "memory",
            series(f"{used} of {bytes_(meter.memory)}", "raw", lambda sample: gigabytes(sample.memory), used),
            series(_now("trainer", last.trainer_memory, bytes_), "train", lambda sample: gigabytes(sample.trainer_memory)),
        ),
    ]
    if any(sample.gpu is not None for sample in samples):
        busy, used = _now("GPU busy", last.gpu, lambda x: probability(x, 0)), _now("GPU memory", last.gpu_memory, bytes_)
        figures.append(figure("gpu", series(busy, "train", lambda sample: sample.gpu)))
        figures.append(figure("gpu memory", series(used, "train", lambda sample: gigabytes(sample.gpu_memory))))
    return figures


def _now(name: str, value: float | None, words: Callable[[float], str]) -> str:
    return name if value is None else f"{name} {words(value)}"


TIME_UNITS = ((2 * 3600.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
"""Least seconds, length of the unit in seconds, name of the unit."""


class RunPlots:
    """A run's history, in the window and the units of its plot settings."""

    def __init__(self, watched: WatchedRun, settings: PlotSettings) -> None:
        self.watched, self.settings = watched, settings
        self.config = watched.config
        self.history, self.final = watched.history, watched.status.final
        latest = self.history.latest
        self.latest = float(latest.step) if latest else 0.0
        self.first, self.last = settings.window(self.latest)
        self.mean_name = SMOOTHINGS[settings.smoothing][0] if settings.smoothing else "mean"
        self.loss_unit = bits_per_byte(self.config.data, self.history, self.final) if settings.bits else NATS
        self.unit, self._factor = x_axis(settings, latest, latest.seconds if latest else 0.0)

    @property
    def smooth(self) -> Column:
        """The training loss smoothed, in nats per token."""
        _, share, longest = SMOOTHINGS[self.settings.smoothing]
        return self.history.smoothed(share, longest)

    def _x_of_step(self, steps: Floats, seconds: Floats) -> Floats:
        return scaled(seconds if self.settings.x == "time" else steps, self._factor)

    def _part(self, steps: Sequence[float]) -> slice:
        return slice(bisect_left(steps, self.first), bisect_right(steps, self.last))

    def _version(self, *more: object) -> object:
        return (self.watched.name, id(self.history), self.history.version, self.settings, *more)

    def losses(self, baselines: Sequence[Baseline] = ()) -> Figure:
        """Training loss of each step and smoothed, validation loss, the gap between the two, baselines, events."""
        history, settings = self.history, self.settings
        train = self._part(history.steps)
        xs = self._x_of_step(history.steps[train], history.seconds[train])
        smooth = scaled(self.smooth[train], self.loss_unit.train_factor)
        words = f"{self.mean_name} smoothing" if settings.smoothing else "its mean"
        eval_xs, val_losses, untrained = self._evaluations()
        unit = "bits/byte" if settings.bits else "loss"
        series = [
            Series(
                f"train {unit}, each step", "step", "dots", "raw", xs, scaled(history.losses[train], self.loss_unit.train_factor)
            ),
            Series(words, "mean", "line", "train", xs, smooth),
            Series("validation", "val", "marked", "validation", eval_xs[untrained:], val_losses[untrained:]),
            Series(
                "before step 1",
                "val",
                "marks",
                "validation",
                eval_xs[:untrained],
                val_losses[:untrained],
                in_legend=untrained == len(eval_xs),
            ),
        ]
        for baseline in baselines if settings.baselines else ():
            level = baseline.loss * self.loss_unit.factor
            long, short = (f"{baseline.name} = {level:.2f}", f"{baseline.short} {level:.2f}")
            series.append(Series(long, short, "level", "level", (0.0,), (level,)))
        figure = Figure(
            tuple(series),
            version=self._version(tuple(baselines), len(self.watched.events), self.loss_unit),
            x_label=self.unit,
            area=self._gap(xs, smooth, eval_xs[untrained:], val_losses[untrained:]),
            x_window=(0.0 if self.first == 0 else float(xs[0]), float(xs[-1])) if len(xs) else None,
            empty=reason_without_steps(self.watched.config),
            events=self.marks(),
        )
        return with_loss_axis(figure, settings, [(xs, smooth), (eval_xs[untrained:], val_losses[untrained:])])

    def _evaluations(self) -> tuple[Floats, Floats, int]:
        """Positions and validation losses of the evaluations in view and of one on either side, through which the line goes on;
        and the number of those of untrained weights, to which no line is drawn: the loss falls too steeply there."""
        history = self.history
        seen = self._part(history.eval_steps)
        around = slice(max(0, seen.start - 1), seen.stop + 1)
        steps, losses = history.eval_steps[around], history.val_losses[around]
        known = np.isfinite(losses)
        steps, losses, seconds = steps[known], losses[known], history.eval_seconds[around][known]
        return self._x_of_step(steps, seconds), scaled(losses, self.loss_unit.factor), int(np.searchsorted(steps, 0.0, "right"))

    def _gap(self, xs: Floats, smooth: Floats, eval_xs: Floats, val_losses: Floats) -> Area | None:
        """The area between the two losses, and their difference at the last evaluation in view, at the end on all text."""
        if len(eval_xs) < 2 or not len(xs) or eval_xs[0] >= xs[-1]:
            return None
        at = bisect_right(self.history.eval_steps, self.last) - 1
        step = self.history.eval_steps[at]
        place = bisect_right(self.history.steps, step) - 1
        val_loss = self.history.val_losses[at]
        if self.final is not None and self.final.step == step and self.final.val_loss is not None:
            val_loss = self.final.val_loss
        gap = val_loss * self.loss_unit.factor - self.smooth[place] * self.loss_unit.train_factor
        short = f"gap {fixed(gap, 2, sign=True)}"
        return Area(f"{short} at step {whole(int(step))}", short, eval_xs, val_losses, xs, smooth)

    def marks(self) -> tuple[tuple[float, EventKind], ...]:
        """Events in view and their positions on the x axis; of the lowest validation losses the last one."""
        seen = [each for each in self.happened() if self.first <= each[0] <= self.last]
        xs = self._x_of_step(np.array([step for step, _, _ in seen], float), np.array([second for _, second, _ in seen], float))
        return tuple(zip(xs.tolist(), (kind for _, _, kind in seen), strict=True))

    def happened(self) -> list[tuple[float, float, EventKind]]:
        """Step, seconds and kind of everything marked on the x axis."""
        found: list[tuple[float, float, EventKind]] = [
            (event.step, event.seconds, event.kind) for event in self.watched.events if event.kind != "best"
        ]
        best = self.history.best_evaluation
        if best is not None and best.step:
            found.append((best.step, best.seconds, "best"))
        return found

    def panels(self) -> list[Figure]:
        """Learning rate, gradient norm and speed."""
        history = self.history
        train = self._part(history.steps)
        steps, seconds = history.steps[train], history.seconds[train]
        figures = []
        for name, column in (("learning rate", history.lrs), ("gradient norm", history.grad_norms), ("tokens/s", history.speeds)):
            ys: Floats = column[train]
            known = np.isfinite(ys)
            series = Series(name, name, "line", "train", self._x_of_step(steps, seconds)[known], ys[known])
            figures.append(Figure((series,), version=self._version(name), x_label=self.unit, empty=f"No {name} yet."))
        return figures

    def x_at(self, at: int) -> float:
        """Position on the x axis of the training step with this index in the history."""
        return float(self._x_of_step(self.history.steps[at : at + 1], self.history.seconds[at : at + 1])[0])

    def index_at(self, x: float) -> int | None:
        train = self._part(self.history.steps)
        xs = self._x_of_step(self.history.steps[train], self.history.seconds[train])
        if not len(xs):
            return None
        after = int(np.searchsorted(xs, x))
        near = [at for at in (after - 1, after) if 0 <= at < len(xs)]
        return int(train.start) + min(near, key=lambda at: abs(float(xs[at]) - x))


def reason_without_steps(config: RunConfig) -> str:
    """The reason why a run has no curve."""
    if config.imported is not None:
        return "Imported: trained elsewhere."
    return "No steps yet." if config.tuning is None else "See Learn: After pretraining."


def x_axis(settings: PlotSettings, latest: Metric | None, seconds: float) -> tuple[str, float]:
    """Name of the x axis, for a run or several of at most so many seconds; and the factor from a run's steps to positions, or,
    where it is time, from seconds: tokens and epochs grow with the steps."""
    if settings.x == "time":
        _, size, unit = next(row for row in TIME_UNITS if seconds >= row[0])
        return unit, 1 / size
    if latest is None or not latest.step:
        return settings.x, 1.0
    reached = {"tokens": latest.tokens, "epochs": latest.epoch}.get(settings.x, latest.step)
    return settings.x, reached / latest.step or 1.0


def with_loss_axis(figure: Figure, settings: PlotSettings, curves: Sequence[Curve]) -> Figure:
    """The figure with the scale and the range of y that the settings ask for, or that show most of these curves."""
    auto = shows_more_on_log(curves)
    log_y = auto if settings.log_y is None else settings.log_y
    unit, scale = "bits/byte" if settings.bits else "nats/token", "log" if log_y else "linear"
    return replace(
        figure,
        log_y=log_y,
        auto_log_y=auto,
        scale_words=f"{unit}, {scale} y{', zoomed' if settings.y_zoomed else ''}",
        y_window=settings.y_window or (range_after_steep_part(curves) if settings.y_close else None),
    )


def scaled(values: Sequence[float] | Floats, factor: float) -> Floats:
    """The values times the factor; without a copy if it is 1."""
    found = values.values if isinstance(values, Column) else np.asarray(values)
    return found if factor == 1.0 else found * factor
