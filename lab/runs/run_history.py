"""The history of a run, and following it from its files while it trains: each read gives what is new since the last.

`LossHistory` has metrics.jsonl as columns of numbers, `InsightHistory` has insights.jsonl: head scores, predictions at fixed
places and update sizes at every evaluation.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from lab.core.errors import UserError
from lab.core.limits import MEASURED_PLACES
from lab.runs.find_runs import is_run
from lab.runs.metrics_log import SPEED_STEPS, LineReader, mean_speed
from lab.runs.run_folder import Run, Stamp, file_stamp, unresponsive_reason
from lab.runs.run_schema import HEAD_SCORES, Event, HeadScore, Insight, Metric, PartUpdate, RunConfig, Sample, Status

Floats = NDArray[np.float64] | NDArray[np.float32]

GROWTH = 1.25
"""Growth factor of the buffer: a quarter is unused at most, and each number is copied about four times."""


class Column(Sequence[float]):
    """A growing column of floats. A slice is a view, which does not change when values are added."""

    def __init__(self, dtype: type[Any] = np.float64) -> None:
        self._room: Floats = np.empty(64, dtype)
        self._length = 0

    def extend(self, values: Sequence[float | None] | Floats) -> None:
        """Append values; None becomes NaN."""
        end = self._length + len(values)
        if end > len(self._room):
            room = np.empty(max(end, int(len(self._room) * GROWTH)), self._room.dtype)
            room[: self._length] = self.values
            self._room = room
        self._room[self._length : end] = values
        self._length = end

    @property
    def values(self) -> Floats:
        """All of them, (N,); a view."""
        return self._room[: self._length]

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> float: ...
    @overload
    def __getitem__(self, at: slice) -> Any: ...
    def __getitem__(self, at: int | slice) -> Any:
        return self.values[at] if isinstance(at, slice) else float(self.values[at])

    def __iter__(self) -> Iterator[float]:
        return iter(self.values.tolist())


SMOOTHED_SHARE = 1 / 20
LONGEST_SMOOTHING = 100
"""The smoothed line is a running mean over about the last twentieth of the steps, at most so many. A fixed length would lag far
behind the steep beginning, or be too short for the noise further on."""


class LossHistory:
    """The content of metrics.jsonl so far, kept in columns so that a million steps stay small.

    `steps`, `losses`, `smooth`, `seconds`, `lrs`, `grad_norms` and `speeds` go together, one entry a training step, NaN where
    a line has none; so do `eval_steps`, `eval_seconds` and `val_losses`.
    `smooth` is an exponential mean whose length grows with the run.
    """

    def __init__(self) -> None:
        self.steps = Column()
        self.losses = Column()
        self.smooth = Column()
        self.lowest_smooth = math.inf
        self.seconds = Column()
        self.lrs = Column(np.float32)
        self.grad_norms = Column(np.float32)
        self.speeds = Column(np.float32)
        self.eval_steps = Column()
        self.eval_seconds = Column()
        self.val_losses = Column()
        self.latest: Metric | None = None
        self.last_training: Metric | None = None
        """The latest line that has a training loss, a learning rate and a speed."""
        self.last_evaluation: Metric | None = None
        self.best_evaluation: Metric | None = None
        self._latest_speeds: deque[float] = deque(maxlen=SPEED_STEPS)
        self.speed: float | None = None
        """Tokens per second of the last steps, as `mean_speed` says."""
        self._smoothed: dict[tuple[float, int], Column] = {}
        self.version = 0
        """Number of changes, by which a plot knows that it is out of date."""

    def add(self, metrics: Iterable[Metric]) -> bool:
        """Append new lines, in the order of their steps; return True if there were any."""
        lines = list(metrics)
        if not lines:
            return False
        self.latest = lines[-1]
        if trained := [line for line in lines if line.loss is not None]:
            self._add_trained(trained)
        if evaluated := [line for line in lines if line.val_loss is not None]:
            self._add_evaluated(evaluated)
        self.version += 1
        return True

    def _add_trained(self, lines: list[Metric]) -> None:
        self.last_training = lines[-1]
        before = len(self.steps)
        self.steps.extend([line.step for line in lines])
        self.losses.extend([line.loss for line in lines])
        self.seconds.extend([line.seconds for line in lines])
        self.lrs.extend([line.lr for line in lines])
        self.grad_norms.extend([line.grad_norm for line in lines])
        self.speeds.extend([line.tokens_per_second for line in lines])
        self._latest_speeds.extend(line.tokens_per_second for line in lines if line.tokens_per_second is not None)
        self.speed = mean_speed(self._latest_speeds)
        _smooth_on(self.smooth, self.losses, SMOOTHED_SHARE, LONGEST_SMOOTHING)
        self.lowest_smooth = min(self.lowest_smooth, float(self.smooth[before:].min()))

    def _add_evaluated(self, lines: list[Metric]) -> None:
        self.last_evaluation = lines[-1]
        self.eval_steps.extend([line.step for line in lines])
        self.eval_seconds.extend([line.seconds for line in lines])
        self.val_losses.extend([_or_nan(line.val_loss) for line in lines])
        best = min(lines, key=lambda line: _or_nan(line.val_loss))
        if self.best_evaluation is None or _or_nan(best.val_loss) < _or_nan(self.best_evaluation.val_loss):
            self.best_evaluation = best

    def smoothed(self, share: float, longest: int) -> Column:
        """The training loss smoothed over another share of the steps. Only new steps are computed."""
        if (share, longest) == (SMOOTHED_SHARE, LONGEST_SMOOTHING):
            return self.smooth
        found = self._smoothed.setdefault((share, longest), Column())
        _smooth_on(found, self.losses, share, longest)
        return found


def smooth(losses: Floats) -> Column:
    """`LossHistory.smooth` of these losses alone."""
    means = Column()
    _smooth_on(means, losses, SMOOTHED_SHARE, LONGEST_SMOOTHING)
    return means


def _smooth_on(means: Column, losses: Column | Floats, share: float, longest: int) -> None:
    """Continue the running means of `losses`: mean += (loss − mean) / length, the length being `share` of the steps so far,
    at least 1 and at most `longest`.

    While the length grows one by one; then in blocks, where mean k is r^k (mean + Σ r^-j loss_j / length), r = 1 − 1/length.
    """
    at, end = len(means), len(losses)
    mean = means[-1] if at else 0.0
    growing: list[float] = []
    new = losses[at : min(end, max(at, math.ceil(longest / share)))]
    for count, loss in enumerate(new.tolist(), at + 1):
        mean += (loss - mean) / min(max(1.0, count * share), longest)
        growing.append(mean)
    means.extend(growing)
    shrink = 1 - 1 / longest
    powers = shrink ** np.arange(1, 2 * longest + 1)
    for start in range(at + len(growing), end, 2 * longest):
        block = losses[start : min(end, start + 2 * longest)]
        r = powers[: len(block)]
        made = r * (mean + np.cumsum(block / r) / longest)
        mean = float(made[-1])
        means.extend(made)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


MUCH = 0.7
"""Change of a probability beyond which a greater one shows no more of how it is learned."""

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class PlaceText:
    """The text of a place: the tokens that the model is given, the next one, and those after it."""

    before: tuple[str, ...]
    truth: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlacePrediction:
    """The prediction at a place: the probability of the next token, and the most probable tokens with theirs."""

    truth: str
    truth_probability: float
    top: tuple[tuple[str, float], ...]

    def of(self, token: str) -> float | None:
        """The probability of a token; None where it is not among those that were kept."""
        return self.truth_probability if token == self.truth else dict(self.top).get(token)


@dataclass(frozen=True, eq=False)
class InsightPoint:
    """The insights of one evaluation. `L` layers, `H` heads, `T` tokens of the probe."""

    step: int
    took: float
    repeated: int
    scores: Scores
    """(3, L, H) in the order of `HEAD_SCORES`; (3, 0, 0) where nothing was measured."""
    pattern: Scores
    """(L, H, T): attention from the probe's last token to each of its tokens."""
    predictions: dict[PlaceText, PlacePrediction]
    """By place, the probe included; empty where the model's outputs were NaN/inf."""
    parts: tuple[PartUpdate, ...]

    def of(self, meter: HeadScore) -> Scores:
        """(L, H)."""
        scores: Scores = self.scores[HEAD_SCORES.index(meter)]
        return scores


class InsightHistory:
    """The evaluations of one run in the order of their steps, and the places that they measured."""

    def __init__(self) -> None:
        self.points: list[InsightPoint] = []
        self.probe: PlaceText | None = None
        """The place whose attention is kept, where an induction head can be seen at work."""
        self.highest = [0.0] * len(HEAD_SCORES)
        """The highest score of any head so far, in the order of `HEAD_SCORES`."""
        self._known: dict[PlaceText, PlaceText] = {}
        """Every place, so that the evaluations share its text."""
        self._moved: dict[PlaceText, float] = {}
        self._last: dict[PlaceText, float] = {}
        self._range: dict[PlaceText, tuple[float, float]] = {}

    def add(self, insights: Sequence[Insight]) -> None:
        for insight in insights:
            predictions = {
                PlaceText(tuple(place.before), place.truth, tuple(place.after)): PlacePrediction(
                    place.truth, place.truth_probability, tuple(place.top)
                )
                for place in insight.places
            }
            if insight.probe and insight.top:
                probe = PlaceText(tuple(insight.probe), insight.truth)
                predictions[probe] = PlacePrediction(insight.truth, insight.truth_probability, tuple(insight.top))
            scores = np.array([insight.previous, insight.duplicate, insight.induction], np.float32)
            point = InsightPoint(
                step=insight.step,
                took=insight.took,
                repeated=insight.repeated,
                scores=scores if insight.repeated else np.zeros((3, 0, 0), np.float32),
                pattern=np.array(insight.pattern, np.float32),
                predictions=predictions,
                parts=tuple(insight.parts),
            )
            if insight.probe:
                self.probe = PlaceText(tuple(insight.probe), insight.truth)
            self._append(point)

    def extend(self, other: "InsightHistory") -> None:
        """Append the evaluations of another, which follow these."""
        self.probe = other.probe or self.probe
        for point in other.points:
            self._append(point)

    def _append(self, point: InsightPoint) -> None:
        for place in point.predictions:
            if place not in self._known and len(self._known) <= MEASURED_PLACES.most:
                self._known[place] = place
        predictions = {self._known[place]: each for place, each in point.predictions.items() if place in self._known}
        point = replace(point, predictions=predictions)
        self.points.append(point)
        if point.repeated:
            self.highest = np.maximum(self.highest, point.scores.max((1, 2))).tolist()
        for place, prediction in point.predictions.items():
            now = prediction.truth_probability
            self._moved[place] = self._moved.get(place, 0.0) + abs(now - self._last.get(place, now))
            self._last[place] = now
            low, high = self._range.get(place, (now, now))
            self._range[place] = min(low, now), max(high, now)

    @property
    def places(self) -> list[PlaceText]:
        """Every place that was measured: those spread over the text in its order, then the probe."""
        return sorted(self._moved, key=lambda place: place == self.probe)

    def range(self, place: PlaceText) -> tuple[float, float]:
        """The lowest and the highest probability of the next token at any evaluation."""
        return self._range[place]

    @property
    def liveliest(self) -> int:
        """Index of the place whose next token's probability has changed most, from the lowest to the highest.

        Of several where that is `MUCH` or more, the one where all its rises and falls add up to most: it has not been learned at
        once. The first of equals.
        """

        def changes(index: int) -> tuple[float, float]:
            low, high = self._range[places[index]]
            return min(high - low, MUCH), self._moved[places[index]]

        places = self.places
        return max(range(len(places)), key=changes, default=0)

    def at(self, step: float | None) -> int | None:
        """Index of the last evaluation up to this step, or of the newest for None; None where there is none."""
        found = len(self.points) if step is None else bisect_right(self.points, step, key=lambda point: point.step)
        return found - 1 if found else None

    @property
    def seconds(self) -> float:
        """Time that all measuring took."""
        return sum(point.took for point in self.points)


READ_BYTES = 1 << 22
"""Bytes of a file that are decoded at once, so that a long file is never in memory as lines."""


@dataclass(frozen=True)
class RunUpdate:
    """The new lines of one read.

    `history` holds all metrics the first time, and when the file began anew; else it is None and `metrics` holds the new ones,
    to be added to the history that was given out before. The others are new ones too, or all where `..._restarted` is true.
    """

    config: RunConfig
    status: Status
    phase: str
    history: LossHistory | None
    metrics: list[Metric]
    samples: list[Sample]
    samples_restarted: bool
    insights: InsightHistory
    insights_restarted: bool
    events: list[Event]
    events_restarted: bool
    unresponsive: str = ""
    """The reason why its trainer does not respond; empty if it does, or if none is known."""


class RunFollower:
    """Reads a run repeatedly, one call at a time, off the event loop: the first read of a long run takes long."""

    def __init__(self, run: Run) -> None:
        self._settings: Stamp | None = None
        self._begin(run)

    def _begin(self, run: Run) -> None:
        self.run = run
        self._metrics = run.metrics()
        self._samples = LineReader(run.samples_path, Sample)
        self._insights = LineReader(run.insights_path, Insight)
        self._events = run.events()
        self._first = True

    def read(self) -> RunUpdate:
        """The changes since the last read; everything where the run's settings changed, as for a new run of the same name.
        Raises UserError if the run's settings cannot be read, or its folder is not there any more."""
        if not is_run(self.run.path):
            raise UserError(f"{self.run.name} is gone: it was renamed, moved or deleted.")
        settings = file_stamp(self.run.path / "config.json")
        if settings != self._settings:
            self._settings = settings
            self._begin(Run(self.run.path))
        config = self.run.config
        parts = self._metrics.parts(READ_BYTES)
        metrics, history = next(parts), None
        if self._first or self._metrics.restarted:
            history = LossHistory()
            for part in chain([metrics], parts):
                history.add(part)
            metrics = []
        else:
            metrics += chain.from_iterable(parts)
        insights = InsightHistory()
        for measured in self._insights.parts(READ_BYTES):
            insights.add(measured)
        samples, events = self._samples.read(), self._events.read()
        first, self._first = self._first, False
        status = self.run.status()
        phase = self.run.phase_of(status)
        return RunUpdate(
            config,
            status,
            phase,
            history,
            metrics,
            samples,
            first or self._samples.restarted,
            insights,
            first or self._insights.restarted,
            events,
            first or self._events.restarted,
            unresponsive_reason(self.run, status, phase),
        )
