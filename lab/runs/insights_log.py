"""History of insights.jsonl: head scores, the probe's prediction and update sizes at every evaluation."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.runs.run_schema import HEAD_SCORES, HeadScore, Insight, PartUpdate

Scores = NDArray[np.float32]


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
    truth_probability: float
    top: tuple[tuple[str, float], ...]
    parts: tuple[PartUpdate, ...]

    def of(self, meter: HeadScore) -> Scores:
        """(L, H)."""
        scores: Scores = self.scores[HEAD_SCORES.index(meter)]
        return scores


def _point_of(insight: Insight) -> InsightPoint:
    scores = np.array([insight.previous, insight.duplicate, insight.induction], np.float32)
    return InsightPoint(
        step=insight.step,
        took=insight.took,
        repeated=insight.repeated,
        scores=scores if insight.repeated else np.zeros((3, 0, 0), np.float32),
        pattern=np.array(insight.pattern, np.float32),
        truth_probability=insight.truth_probability,
        top=tuple(insight.top),
        parts=tuple(insight.parts),
    )


class InsightHistory:
    """The evaluations of one run in the order of their steps, and its probe."""

    def __init__(self) -> None:
        self.points: list[InsightPoint] = []
        self.probe: tuple[str, ...] = ()
        self.truth = ""
        self.highest = [0.0] * len(HEAD_SCORES)
        """The highest score of any head so far, in the order of `HEAD_SCORES`."""

    def add(self, insights: Sequence[Insight]) -> None:
        """Append new lines of the file."""
        for insight in insights:
            point = _point_of(insight)
            self.points.append(point)
            if point.repeated:
                self.highest = np.maximum(self.highest, point.scores.max((1, 2))).tolist()
            if insight.probe:
                self.probe, self.truth = tuple(insight.probe), insight.truth

    def extend(self, other: "InsightHistory") -> None:
        """Append the evaluations of another, which follow these."""
        self.points += other.points
        self.highest = np.maximum(self.highest, other.highest).tolist()
        if other.probe:
            self.probe, self.truth = other.probe, other.truth

    def at(self, step: float | None) -> int | None:
        """Index of the last evaluation up to this step, or of the newest for None; None where there is none."""
        found = len(self.points) if step is None else bisect_right(self.points, step, key=lambda point: point.step)
        return found - 1 if found else None

    @property
    def seconds(self) -> float:
        """Time that all measuring took."""
        return sum(point.took for point in self.points)
