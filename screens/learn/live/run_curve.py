"""Live widget `run-curve`: the loss of the user's run over all steps of its training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.message import Message

from lab.core.number_format import fixed
from lab.views.screen_state import ScreenState
from screens.learn.live.live_widget import LiveWidget, ModelAtHand
from screens.plot.line_plot import LinePlot

if TYPE_CHECKING:
    from screens.plot.figure import Figure


class RunCurve(LiveWidget):
    """Read once, when it is shown."""

    DEFAULT_CSS = "RunCurve > LinePlot { height: 1fr; }"

    class Read(Message):
        """The curve as it is on disk, and its ends in one sentence."""

        def __init__(self, run: str, figure: Figure | None, words: str, *, is_problem: bool = False) -> None:
            super().__init__()
            self.run, self.figure, self.words, self.is_problem = run, figure, words, is_problem

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

    @work(thread=True, exclusive=True, group="curve", exit_on_error=True)
    def _read(self, name: str) -> None:
        from lab.core.errors import UserError
        from lab.reports.loss_curve import Evaluations, LossCurves
        from lab.runs.evaluation_coverage import during_training
        from lab.runs.find_runs import open_run
        from screens.plot.figure import loss_figure

        try:
            run = open_run(name)
        except UserError as error:
            self.post_message(self.Read(name, None, str(error), is_problem=True))
            return
        curve, evaluations = LossCurves().read(run.metrics_path), Evaluations(run.metrics_path).read()
        words = ""
        if len(evaluations) > 1:
            (first, before), (last, after) = evaluations[0], evaluations[-1]
            share = during_training(run.config.data, run.status())
            what = f"Validation loss{share.loss_suffix if share else ''}"
            words = f"{what}: {fixed(before, 3)} at step {first:,.0f}, {fixed(after, 3)} at step {last:,.0f}."
        self.post_message(self.Read(name, loss_figure(run.path, curve, evaluations), words))

    @on(Read)
    def _show(self, message: Read) -> None:
        message.stop()
        if self.model is not None and message.run == self.model.run:
            self._is_read = True
            self.query_one(LinePlot).figure = message.figure
            self.say(message.words, error=message.is_problem)

    def full_screen(self) -> ScreenState | None:
        return ScreenState(mode="train", run=self.model.run) if self.model is not None else None
