"""Reader of the loss curves of runs on disk, and of the detail of one, off the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from lab.reports.loss_curve import NO_CURVE, Evaluations, LossCurve, LossCurves
from lab.runs.metrics_log import last_line
from lab.runs.run_folder import Run
from lab.runs.run_schema import Sample
from lab.runs.run_summary import RunSummary


@dataclass(frozen=True)
class RunDetail:
    """A run as the pane shows it."""

    run: RunSummary
    curve: LossCurve
    evaluations: tuple[tuple[float, float], ...]
    """Step and validation loss."""
    sample: Sample | None


class CurveReader:
    """Reads again only what has changed on disk. Not thread-safe."""

    def __init__(self) -> None:
        self._curves = LossCurves()
        self._evaluations: tuple[Path, Evaluations] | None = None
        """The folder of the run whose detail was read last, and the evaluations in it."""

    def read(self, runs: Sequence[RunSummary], detailed: RunSummary | None) -> tuple[dict[Path, LossCurve], RunDetail | None]:
        """The curves of these runs by folder, and the detail of one."""
        curves = {run.path: self._curve(run) for run in runs}
        return curves, None if detailed is None else self._detail(detailed)

    def _curve(self, run: RunSummary) -> LossCurve:
        return NO_CURVE if run.problem else self._curves.read(Run(run.path).metrics_path)

    def _detail(self, run: RunSummary) -> RunDetail:
        import_module("screens.plot.line_plot")  # The pane's: its numpy would hold up the event loop.
        if run.problem:
            return RunDetail(run, NO_CURVE, (), None)
        folder = Run(run.path)
        if self._evaluations is None or self._evaluations[0] != run.path:
            self._evaluations = run.path, Evaluations(folder.metrics_path)
        evaluations = self._evaluations[1].read()
        return RunDetail(run, self._curve(run), evaluations, last_line(folder.samples_path, Sample))
