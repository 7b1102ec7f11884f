"""Follower of a scaling experiment for its live widget: snapshots of its state, view and plots."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lab.core.errors import UserError
from lab.core.number_format import count, duration, fixed
from lab.lessons.guess_score import LearnerPrediction, read_predictions, record_prediction
from lab.training.job import JobFollower
from lab.training.scaling.scaling_experiment import ScalingExperiment, ScalingHistory, ScalingProgress, experiment_names
from lab.training.scaling.scaling_plan import DEFAULT_NAME, ScalingPlan
from lab.training.scaling.scaling_result import CurvesReader, FittedLaw, Point, ScalingResult, recorded_scaling, scaling_result
from lab.training.scaling.scaling_view import plan_view, progress_view, scaling_view, state_line
from lab.views.blocks import View
from screens.plot.figure import MOST_RUNS, RUN_ROLES, Figure, Kind, Series

LINE_DASHES = (2, 2)
FIT_ROLE = RUN_ROLES[-1]
SIGN_OF_SAME_TOKENS = "●"


def compute_figure(result: ScalingResult) -> Figure:
    """A curve for each size, marked with its number, over the operations of training; and the line through the lowest."""
    series = []
    for each in result.sizes:
        role, size = RUN_ROLES[(each.number - 1) % (MOST_RUNS - 1)], count(each.parameters)
        points = [(point.flops, point.loss) for point in each.points]
        series.append(_points(f"{size} parameters", size, "marked", role, points, result, str(each.number)))
    if result.tokens is not None:
        series += _fitted(result.compute, "C", result)
    version = tuple((each.name, len(each.points)) for each in result.sizes)
    return _figure(result, series, "FLOPs", version, "The first evaluation makes the first point.")


def parameters_figure(result: ScalingResult) -> Figure:
    """The losses over parameters, after the same minutes and after the same tokens, and the line through the latter."""
    ends = [(float(each.parameters), each.end.loss) for each in result.sizes if each.end is not None]
    series = []
    if ends:
        series.append(_points(f"after {duration(result.sizes[0].seconds)}", "same time", "marked", RUN_ROLES[0], ends, result))
    if result.tokens is not None:
        words, points = f"after {count(result.tokens)} tokens", result.parameters.points
        series.append(_points(words, "same tokens", "marks", RUN_ROLES[1], points, result, SIGN_OF_SAME_TOKENS))
    series += _fitted(result.parameters, "N", result)
    return _figure(result, series, "parameters", tuple(ends), "The first size to finish makes the first point.")


def _figure(result: ScalingResult, series: list[Series], x: str, version: tuple[object, ...], empty: str) -> Figure:
    words = "loss, log" if result.floor is None else f"loss − entropy {fixed(result.floor)}, log"
    return Figure(
        tuple(series),
        version=(x, result.floor, version, result.tokens),
        x_label=f"log₁₀ {x}",
        log_y=True,
        auto_log_y=True,
        scale_words=words,
        empty=empty,
    )


def _points(
    name: str, short: str, kind: Kind, role: str, points: Sequence[Point], result: ScalingResult, sign: str = ""
) -> Series:
    """Losses above the floor of the result, over the logarithm of x."""
    xs, ys = [math.log10(x) for x, _ in points], [loss - (result.floor or 0.0) for _, loss in points]
    return Series(name, short, kind, role, xs, ys, sign)


def _fitted(fitted: FittedLaw, symbol: str, result: ScalingResult) -> list[Series]:
    """The fitted line from the first of its points to the last."""
    law = fitted.law
    if law is None:
        return []
    name, ends = f"{symbol}^{fixed(-law.exponent, 2)}", [(x, law.loss(x)) for x, _ in (fitted.points[0], fitted.points[-1])]
    return [replace(_points(name, name, "line", FIT_ROLE, ends, result), dashes=LINE_DASHES)]


@dataclass(frozen=True)
class Snapshot:
    """An experiment at one moment, ready to be shown."""

    others: tuple[str, ...]
    """The other experiments, and the one that the lesson starts, in the order in which a key shows them."""
    progress: ScalingProgress
    words: str
    """State in one line, with the name of the experiment where there are others."""
    view: View
    compute: Figure
    parameters: Figure
    names: tuple[str, ...]
    """The runs that have been made."""
    best: str
    """The run with the lowest loss, or in training; empty if there is none."""
    is_recorded: bool = False
    unkept: str = ""
    """The reason why the learner's prediction could not be kept; empty if nothing is wrong."""


class ScalingFollower(JobFollower[ScalingHistory]):
    """Reads an experiment again and again, each time only what is new, or another where it is gone. Not thread-safe."""

    def __init__(
        self, experiment: ScalingExperiment, new_plan: Callable[[], ScalingPlan], lesson: str, *, shows_recorded: bool
    ) -> None:
        """`new_plan` gives the plan that would be started, while there is no experiment; `shows_recorded` shows the recorded
        result until then, where it is the usual one."""
        super().__init__(experiment, ScalingHistory)
        self.experiment = experiment
        self.snapshot: Snapshot | None = None
        """What was read last; None while nothing could be, for the reason in `problem`."""
        self._new_plan = new_plan
        self._lesson, self._shows_recorded = lesson, shows_recorded
        self._curves: CurvesReader | None = None
        self._unkept = ""

    def read(self) -> bool:
        before = self.snapshot, self.problem
        try:
            if (name := name_to_show(self.name)) != self.name:
                self.job = self.experiment = ScalingExperiment(name)
                self._curves = None
            self.snapshot, self.problem = self._take(), ""
            self.is_running = self.snapshot.progress.phase == "running"
        except UserError as error:
            self.problem = str(error)
        return before != (self.snapshot, self.problem)

    def _take(self) -> Snapshot:
        """The experiment as it is on disk now. Raises: UserError, where one of its files cannot be read."""
        progress = self.experiment.progress()
        recorded = None
        if progress.phase == "none":
            self._curves, curves, plan = None, [], self._new_plan()
            if self._shows_recorded and self.name == DEFAULT_NAME:
                recorded = recorded_scaling()
                curves = list(recorded.curves)
        else:
            self._curves = self._curves or CurvesReader(self.experiment)
            curves, plan = self._curves.read(), self.experiment.plan()
        result = scaling_result(curves, len(plan.sizes))
        if progress.phase == "none":
            view = plan_view(plan) if recorded is None else scaling_view(result)
        else:
            view = scaling_view(result) if progress.phase == "finished" else progress_view(progress, result)
        at_work = next((size.name for size in progress.sizes if size.run is not None and size.phase != "finished"), "")
        ends = {each.name: each.end.loss for each in result.sizes if each.end is not None}
        best = at_work or min(ends, key=lambda name: ends[name], default="")
        names = tuple(size.name for size in progress.sizes if size.run is not None)
        words = f"{state_line(progress, plan).removesuffix('.')}. {self._guess_sentence(plan, progress, best)}".strip()
        if recorded is not None:
            words, best = f"{recorded.words} enter runs it here.", ""
        others = self._others()
        if others:
            words = f"{self.name}: {words}"
        figures = compute_figure(result), parameters_figure(result)
        return Snapshot(others, progress, words, view, *figures, names, best, recorded is not None, self._unkept)

    @property
    def name(self) -> str:
        return self.experiment.name

    def _others(self) -> tuple[str, ...]:
        names = sorted({DEFAULT_NAME, self.name, *experiment_names(self.experiment.home)})
        at = names.index(self.name)
        return (*names[at + 1 :], *names[:at])

    def _guess_sentence(self, plan: ScalingPlan, progress: ScalingProgress, best: str) -> str:
        """The learner's prediction beside the answer, which is kept with the other predictions when it is first seen."""
        if plan.guess is None:
            return "e chooses your prediction." if progress.phase == "none" else ""
        if progress.phase != "finished" or not best:
            return f"Your prediction: size {plan.guess}."
        experiment = self.experiment
        names = experiment.run_names(plan)
        prediction = LearnerPrediction(
            time=time.time(),
            kind="scaling",
            question=f"The lowest loss after {plan.minutes:g} minutes",
            choices=tuple(f"size {number}" for number in range(1, len(names) + 1)),
            chosen=plan.guess - 1,
            right=(names.index(best),),
            source=f"lesson {self._lesson}".strip(),
            run=experiment.name,
            identity=f"scaling {experiment.name} {plan.created:.3f}",
        )
        self._unkept = ""
        if all(each.identity != prediction.identity for each in read_predictions(experiment.home)[0]):
            try:
                record_prediction(experiment.home, prediction)
            except UserError as error:
                self._unkept = str(error)  # the result is shown all the same
        return f"You predicted size {plan.guess}: {'right' if prediction.is_right else f'it is size {names.index(best) + 1}'}."


def name_to_show(asked: str) -> str:
    """The experiment asked for; where there is none of that name the usual one, or the newest other if that is missing."""
    names = experiment_names()
    if asked == DEFAULT_NAME or asked in names:
        return asked
    return DEFAULT_NAME if DEFAULT_NAME in names or not names else names[0]
