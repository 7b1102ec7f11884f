"""One run, followed from its files: each reading gives what is new since the last."""

from dataclasses import dataclass

from lab.curves import History
from lab.metrics import LineReader
from lab.run_config import Metric, RunConfig, Sample, Status
from lab.run_folder import Run


@dataclass(frozen=True)
class News:
    """What a reading found.

    `history` holds all metrics the first time, and when the file began anew; else it is None and `metrics` holds the new ones,
    to be added to the history that was given out before. `samples` are new ones too, or all where `samples_anew` says so.
    """

    config: RunConfig
    status: Status
    phase: str
    history: History | None
    metrics: list[Metric]
    samples: list[Sample]
    samples_anew: bool


class RunFeed:
    """Reads a run again and again, one call at a time, beside the event loop: the first reading of a long run takes long."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._metrics = run.metrics()
        self._samples = LineReader(run.samples_path, Sample)
        self._first = True

    def read(self) -> News:
        """What is new.

        Raises:
            UserError: if the run's settings cannot be read.
        """
        config = self.run.config
        metrics, samples = self._metrics.read(), self._samples.read()
        history = None
        if self._first or self._metrics.restarted:
            history = History()
            history.add(metrics)
            metrics = []
        anew = self._first or self._samples.restarted
        self._first = False
        return News(config, self.run.status(), self.run.phase(), history, metrics, samples, anew)
