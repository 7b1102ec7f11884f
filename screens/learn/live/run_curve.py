"""Live widget `run-curve`: the loss of the user's run over all steps of its training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult

from lab.core.errors import UserError
from lab.core.number_format import fixed
from lab.views.screen_state import ScreenState
from screens.background import in_thread, latest
from screens.learn.live.live_widget import LiveWidget, ModelAtHand
from screens.plot.line_plot import LinePlot

if TYPE_CHECKING:
    from screens.plot.figure import Figure


class RunCurve(LiveWidget):
    """Read once, when it is shown."""

    DEFAULT_CSS = "RunCurve > LinePlot { height: 1fr; }"

    def compose(self) -> ComposeResult:
        self.model: ModelAtHand | None = None
        self._is_read = False
        yield LinePlot(id="lesson-curve")

    @property
    def is_settled(self) -> bool:
        return self._is_read

    def show_model(self, model: ModelAtHand) -> None:
        self.model, self._is_read = model, False
        self._read(model.run)

    @latest("curve")
    async def _read(self, run: str) -> None:
        try:
            figure, words = await in_thread(self._curve, run)
        except UserError as error:
            figure, words = None, str(error)
        self._is_read = True
        self.query_one(LinePlot).figure = figure
        self.say(words, error=figure is None)

    @staticmethod
    def _curve(name: str) -> tuple[Figure, str]:
        """The curve as it is on disk, and its ends in one sentence."""
        from lab.reports.loss_curve import Evaluations, LossCurves
        from lab.runs.evaluation_coverage import during_training
        from lab.runs.find_runs import open_run
        from screens.plot.figure import loss_figure

        run = open_run(name)
        curve, evaluations = LossCurves().read(run.metrics_path), Evaluations(run.metrics_path).read()
        words = ""
        if len(evaluations) > 1:
            (first, before), (last, after) = evaluations[0], evaluations[-1]
            share = during_training(run.config.data, run.status())
            what = f"Validation loss{share.loss_suffix if share else ''}"
            words = f"{what}: {fixed(before, 3)} at step {first:,.0f}, {fixed(after, 3)} at step {last:,.0f}."
        return loss_figure(run.path, curve, evaluations), words

    def full_screen(self) -> ScreenState | None:
        return ScreenState(mode="train", run=self.model.run) if self.model is not None else None
