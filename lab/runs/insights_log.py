"""History of insights.jsonl: head scores, predictions at fixed places and update sizes at every evaluation."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lab.core.limits import MEASURED_PLACES
from lab.runs.run_schema import HEAD_SCORES, HeadScore, Insight, PartUpdate

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
