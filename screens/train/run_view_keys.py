"""Keys of the run view: plot settings, cursor, pages; the view as a state, and the way back to it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

from textual.binding import Binding
from textual.reactive import var

from lab.engine.method_registry import OneStepParams
from lab.training.one_step.step_stages import STAGES
from lab.views.screen_state import ScreenState
from screens.about_key import About
from screens.messages import CompareRuns
from screens.plot.line_plot import LinePlot
from screens.plot.plot_keys import PlotKeys, window_bindings
from screens.plot.plot_settings import PlotSettings
from screens.train.insights.insights_view import InsightsPage
from screens.train.run_plots import WatchedRun
from screens.train.run_view import RunPage, RunView

FORM, COMPARISON, ONE_STEP = "new", "compare", "one step"
"""Pages of a state beside those of a run: the form of a new one, and the two screens that open over Train."""


class RunViewKeys(PlotKeys):
    """A screen with the form of a new run and a `RunView`, the keys that act on the view, and the state to show again."""

    making: var[bool]
    watched: WatchedRun | None
    _waiting: ScreenState | None = None
    """A state whose run is still to be read."""

    BINDINGS = [
        Binding("enter", "reasons", "Why", id="train.why", show=False, tooltip="The sentences behind the verdict")
        | About("Below the plot", synonyms="verdict diagnosis overfitting loss"),
        Binding("c", "cursor", "Cursor", id="train.cursor", tooltip="A cursor on the curve: every number at a step")
        | About("Plot", synonyms="loss value number"),
        Binding(
            "d", "panels", "Details", id="train.panels", tooltip="Learning rate, gradient norm, speed; machine usage; samples"
        )
        | About("Below the plot", synonyms="learning rate lr gradient norm speed gpu cpu memory"),
        Binding("e", "page('heads')", "Heads", id="train.heads", tooltip="Scores of every attention head")
        | About("Below the plot", synonyms="attention induction previous-token insights"),
        Binding(
            "t",
            "page('probe')",
            "Next token",
            id="train.probe",
            tooltip="Race of the next tokens at a fixed place of the validation text, over all evaluations",
        )
        | About("Below the plot", synonyms="token place bar race text"),
        Binding(
            "g",
            "page('updates')",
            "Updates",
            id="train.updates",
            tooltip="Update size and gradient norm of each part of the model",
        )
        | About("Below the plot", synonyms="ratio gradient weights layers"),
        Binding(
            "enter",
            "head_history",
            "History",
            id="train.head_history",
            show=False,
            tooltip="Plot this head's scores over the steps",
        )
        | About("Below the plot", place=1),
        Binding("space", "play", "Play", id="train.play", tooltip="Play the evaluations, from the first to the newest; stop")
        | About("Below the plot", place=1),
        Binding("z", "recent", "Zoom", id="train.zoom", tooltip="The latest half of the steps, or all")
        | About("Plot", synonyms="loss curve plot latest"),
        *window_bindings("train"),
        Binding("a", "axis", "X axis", id="train.axis", show=False, tooltip="X axis: steps, tokens, epochs or time")
        | About("Plot", synonyms="x tokens epochs time"),
        Binding(
            "y",
            "log_y",
            "Log scale",
            id="train.log",
            show=False,
            tooltip="The other scale of y than is shown: logarithmic or linear",
        )
        | About("Plot", synonyms="loss scale linear logarithmic"),
        Binding("b", "bits", "Bits per byte", id="train.bits", show=False, tooltip="Bits per byte or nats per token")
        | About("Plot", synonyms="loss unit bpb"),
        Binding("m", "smoothing", "Smoothing", id="train.smoothing", show=False, tooltip="Smoothing: medium, strong or light")
        | About("Plot", synonyms="loss average noise"),
        Binding(
            "f", "baselines", "Baselines", id="train.baselines", show=False, tooltip="Baselines: uniform, unigram, bigram, source"
        )
        | About("Plot", synonyms="loss floor entropy uniform unigram bigram"),
    ]

    @property
    def view(self) -> RunView:
        return self.query_one(RunView)

    @property
    def main_plot(self) -> LinePlot:
        return self.view.query_one("#run-plot", LinePlot)

    def action_cursor(self) -> None:
        """Put the cursor on the last step in view, or remove it."""
        plots, at = self.view.plots, None
        if self.view.cursor is None and plots is not None and len(plots.history.steps):
            at = max(0, bisect_right(plots.history.steps, plots.last) - 1)
        self.view.cursor = at

    def action_panels(self) -> None:
        """Show the next page of details: the curves, the machine, and where they replace the samples, these again."""
        page = self.view.page
        if self.view.details_beside:
            self.view.page = "words" if page == "machine" else "machine"
        else:
            self.view.page = "curves" if page == "words" else "machine" if page == "curves" else "words"

    def action_reasons(self) -> None:
        self.view.reasons_shown = not self.view.reasons_shown

    def action_page(self, page: InsightsPage) -> None:
        self.view.page = "words" if self.view.page == page else page

    def action_play(self) -> None:
        self.view.toggle_playing()

    def action_head_history(self) -> None:
        self.view.insights.history_shown = not self.view.insights.history_shown

    def change_plot(self, change: Callable[[PlotSettings], PlotSettings]) -> None:
        self.view.plot_view = change(self.view.plot_view)

    def action_zoom(self, by: float) -> None:
        self.view.zoom(by)

    def action_pan(self, by: float) -> None:
        self.view.pan(by)

    def shares_x(self, plot: LinePlot) -> bool:
        return plot.id in self.view.plots_by_step

    def zoom_x(self, by: float, x: float) -> None:
        self.view.zoom(by, x)

    def action_bits(self) -> None:
        self.change_plot(PlotSettings.in_other_unit)

    def action_baselines(self) -> None:
        self.change_plot(lambda settings: replace(settings, baselines=not settings.baselines))

    def screen_state(self) -> ScreenState:
        if self.making:
            return ScreenState(mode=self.MODE, page=FORM)
        view = self.view
        layer, head = view.insights.head or (None, None)
        step = None if view.eval_step is None else int(view.eval_step)
        return ScreenState(mode=self.MODE, page=view.page, run=self.lab.run_name, step=step, layer=layer, head=head)

    def restore_state(self, state: ScreenState) -> None:
        self.making = state.page == FORM
        if state.page in get_args(RunPage):
            self.view.page = state.page  # type: ignore[assignment]
            self._waiting = state
            self.run_shown()
        elif state.page == COMPARISON and state.others:
            self.post_message(CompareRuns((state.run, *state.others)))
        elif state.page == ONE_STEP:
            from screens.train.one_step_screen import OneStepScreen

            stage = state.stage if state.stage in STAGES else next(iter(STAGES))
            self.app.push_screen(OneStepScreen(first=OneStepParams(run="", stage=stage, text=state.prompt or None)))

    def run_shown(self) -> None:
        """Go to the evaluation and the head of a state, once its run is in view."""
        state, watched = self._waiting, self.watched
        if state is None or watched is None or watched.name != state.run:
            return
        self._waiting, model = None, watched.config.model
        self.view.eval_step = state.step
        if state.layer is not None and state.head is not None:
            self.view.insights.head = min(state.layer, model.layers - 1), min(state.head, model.heads - 1)


RUN_VIEW_ACTIONS = {binding.action.partition("(")[0] for binding in RunViewKeys.BINDINGS if isinstance(binding, Binding)}
