"""Samples of several runs side by side, aligned by the share of training done."""

from bisect import bisect_right
from collections.abc import Sequence

from lab.reports.comparison.compared_run import ComparedRun
from lab.runs.run_schema import Sample


def stops(runs: Sequence[ComparedRun]) -> list[float]:
    """The shares of training at which any of them wrote samples, in order."""
    return sorted({round(run.share(step), 3) for run in runs for step in {sample.step for sample in run.samples}})


def furthest_common(runs: Sequence[ComparedRun]) -> int:
    """Index of the last of `stops` that every run which has written anything has reached."""
    reached = [max(run.share(sample.step) for sample in run.samples) for run in runs if run.samples]
    return max(0, bisect_right(stops(runs), round(min(reached, default=0.0), 3)) - 1)


def written_at(run: ComparedRun, stop: float) -> list[Sample]:
    """The latest samples of the run at this share of its training; empty if it has not come so far."""
    steps = sorted({sample.step for sample in run.samples})
    shares = [round(run.share(step), 3) for step in steps]
    at = bisect_right(shares, stop) - 1
    if at < 0 or (at == len(shares) - 1 and run.is_active and shares[at] < stop):
        return []
    return [sample for sample in run.samples if sample.step == steps[at]]
