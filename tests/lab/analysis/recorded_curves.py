"""Recorded runs, from the files that record_curves.py writes."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from lab.analysis.baselines import TextEntropy
from lab.analysis.diagnose import diagnosis_of
from lab.analysis.diagnosed_run import DiagnosedRun, Diagnosis
from lab.runs.run_history import LossHistory
from lab.runs.run_schema import Event, Metric, RunConfig, Status

PATHS = {path.stem: path for path in (Path(__file__).parent / "curves").glob("*/*.jsonl")}
NAMES = sorted(PATHS)


class Head(msgspec.Struct):
    """The first line of a recorded run."""

    config: RunConfig
    status: Status
    entropy: TextEntropy | None
    events: list[Event]
    losses: list[float | None]
    rates: list[float]


@dataclass(frozen=True)
class Recorded:
    """A run, up to a step."""

    head: Head
    metrics: list[Metric]
    history: LossHistory
    events: list[Event]

    def judged(self, phase: str = "") -> DiagnosedRun:
        """The run as the diagnosis sees it, in this phase if it is not the recorded one."""
        head = self.head
        return DiagnosedRun(head.config, head.status, self.history, phase or head.status.phase, head.entropy, self.events)

    def diagnosis(self, phase: str = "") -> Diagnosis:
        return diagnosis_of(self.judged(phase))


@cache
def _read(name: str) -> tuple[Head, list[Metric]]:
    first, *rest = PATHS[name].read_bytes().splitlines()
    head = msgspec.json.decode(first, type=Head)
    assert len(head.losses) == len(head.rates)
    whole = {line.step: line for line in (msgspec.json.decode(raw, type=Metric) for raw in rest)}
    metrics = [whole[0]] if 0 in whole else []
    for step, (loss, rate) in enumerate(zip(head.losses, head.rates, strict=True), 1):
        metrics.append(whole.get(step) or Metric(step=step, tokens=0, epoch=0.0, seconds=0.0, loss=loss, lr=rate))
    return head, metrics


@cache
def recorded(name: str, until: float = float("inf")) -> Recorded:
    """Whole lines of metrics where there was an evaluation, and at the end; of the other steps loss and learning rate."""
    head, metrics = _read(name)
    metrics = [metric for metric in metrics if metric.step <= until]
    history = LossHistory()
    history.add(metrics)
    return Recorded(head, metrics, history, [event for event in head.events if event.step <= until])
