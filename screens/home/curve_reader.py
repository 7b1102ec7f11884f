"""Reader of the loss curves of runs on disk, and of the detail of one, off the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from lab.analysis.loss_curve import NO_CURVE, Evaluations, LossCurve, read_loss_curve
from lab.runs.metrics_log import LineReader
from lab.runs.run_folder import Run
from lab.runs.run_schema import Sample
from lab.runs.run_summary import RunSummary

SAMPLES = 5


@dataclass(frozen=True)
class RunDetail:
    """A run as the pane shows it."""

    run: RunSummary
    curve: LossCurve
    evaluations: tuple[tuple[float, float], ...]
    """Step and validation loss."""
    samples: tuple[Sample, ...]
    """What it wrote after its last prompt, spread over the steps, the newest first."""


class CurveReader:
    """Reads again only what has changed on disk. Not thread-safe."""

    def __init__(self) -> None:
        self._detailed: tuple[Path, Evaluations, LineReader[Sample]] | None = None
        """The folder of the run whose detail was read last, and its evaluations and samples."""
        self._samples: list[Sample] = []

    def read(self, runs: Sequence[RunSummary], detailed: RunSummary | None) -> tuple[dict[Path, LossCurve], RunDetail | None]:
        """The curves of these runs by folder, and the detail of one."""
        curves = {run.path: _curve(run) for run in runs}
        return curves, None if detailed is None else self._detail(detailed)

    def _detail(self, run: RunSummary) -> RunDetail:
        import_module("screens.plot.plot_widget")  # The pane's: its numpy would hold up the event loop.
        if run.problem:
            return RunDetail(run, NO_CURVE, (), ())
        folder = Run(run.path)
        if self._detailed is None or self._detailed[0] != run.path:
            self._detailed = run.path, Evaluations(folder.metrics_path), LineReader(folder.samples_path, Sample)
            self._samples = []
        _, evaluations, samples = self._detailed
        new = samples.read()
        self._samples = new if samples.restarted else self._samples + new
        written = [sample for sample in reversed(self._samples) if sample.prompt == self._samples[-1].prompt]
        at = {round(number * (len(written) - 1) / (SAMPLES - 1)) for number in range(SAMPLES)} if written else ()
        return RunDetail(run, _curve(run), evaluations.read(), tuple(written[each] for each in sorted(at)))


def _curve(run: RunSummary) -> LossCurve:
    return NO_CURVE if run.problem else read_loss_curve(Run(run.path).metrics_path)
