"""Follow a running training from its files: each read gives the lines since the last."""

from dataclasses import dataclass

from lab.core.errors import UserError
from lab.runs.find_runs import is_run
from lab.runs.insights_log import InsightHistory
from lab.runs.loss_history import LossHistory
from lab.runs.metrics_log import LineReader
from lab.runs.run_folder import Run, Stamp, file_stamp
from lab.runs.run_schema import Event, Insight, Metric, RunConfig, Sample, Status
from lab.runs.unresponsive_trainer import unresponsive_reason

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

        Raises:
            UserError: if the run's settings cannot be read, or its folder is not there any more.
        """
        if not is_run(self.run.path):
            raise UserError(f"{self.run.name} is gone: it was renamed, moved or deleted.")
        settings = file_stamp(self.run.path / "config.json")
        if settings != self._settings:
            self._settings = settings
            self._begin(Run(self.run.path))
        config = self.run.config
        metrics, samples, events = self._metrics.read(READ_BYTES), self._samples.read(), self._events.read()
        history = None
        if self._first or self._metrics.restarted:
            history = LossHistory()
            while metrics:
                history.add(metrics)
                metrics = self._metrics.read(READ_BYTES)
        else:
            while more := self._metrics.read(READ_BYTES):
                metrics += more
        inside = InsightHistory()
        insights = self._insights.read(READ_BYTES)
        insights_restarted = self._first or self._insights.restarted
        while insights:
            inside.add(insights)
            insights = self._insights.read(READ_BYTES)
        samples_restarted, events_restarted = (self._first or reader.restarted for reader in (self._samples, self._events))
        self._first = False
        status = self.run.status()
        phase = self.run.phase_of(status)
        return RunUpdate(
            config,
            status,
            phase,
            history,
            metrics,
            samples,
            samples_restarted,
            inside,
            insights_restarted,
            events,
            events_restarted,
            unresponsive_reason(self.run, status, phase),
        )
