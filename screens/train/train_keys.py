"""Keys of Train, and the actions of those that act on the view of a run; the view as a state, and the way back to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

from textual.binding import Binding, BindingType
from textual.reactive import var

from lab.engine.method_registry import OneStepParams
from lab.runs.home_folder import BUNDLED
from lab.runs.run_folder import ACTIVE
from lab.training.one_step.step_stages import STAGES
from lab.views.screen_state import ScreenState
from screens.about_key import About, described, keyless
from screens.plot.plot_settings import PlotKeys, PlotSettings, plot_bindings
from screens.plot.plot_widget import LinePlot
from screens.train.insights.insights_view import PAGES, InsightsPage
from screens.train.new_run import NewRun
from screens.train.run_plots import WatchedRun
from screens.train.run_view import RunPage, RunView

HEADS_OF_A_PAGE = 8

FORM, ONE_STEP = "new", "one step"
"""Pages of a state beside those of a run: the form of a new one, and the two screens that open over Train."""

FORM_KEYS = described(
    Binding("s", "start", "Start", id="train.start", tooltip="Create this run and train it"),
    About("Run", synonyms="begin train run", needs="a new run that is not being prepared"),
    keyless("base", "train.base", "Choose a run to begin with its weights: fine-tuning", "Begin with"),
    About(synonyms="finetune fine-tune pretrained weights gpt-2 initial continue", needs="a new run that is not being prepared"),
)

RUN_KEYS = described(
    Binding("p", "command('pause')", "Pause", id="train.pause", tooltip="Pause the training"),
    About("Run", words="pause, resume, stop", also=("train.resume", "train.stop"), synonyms="halt", needs="a run that trains"),
    Binding("p", "resume", "Resume", id="train.resume", tooltip="Resume the training"),
    About(synonyms="continue start again", needs="a run that is paused, stopped, interrupted or failed"),
    Binding("x", "stop", "Stop", id="train.stop", tooltip="Stop and save the training; asks first"),
    About(synonyms="end finish abort", needs="a run that trains or is paused"),
)

VIEW_KEYS = described(
    Binding("i", "inspect", "Inspect", id="train.inspect", tooltip="Inspect this run's model"),
    About("Run", synonyms="model look inside", needs="a run in view"),
    Binding("w", "one_step", "One step", id="train.step", tooltip="Watch one training step of this run, stage by stage"),
    About("Run", synonyms="gradient backward one update loss", needs="a run in view"),
    Binding("n", "new", "New run", id="train.new", tooltip="New run: its settings"),
    About("Run", synonyms="create start train longer settings hyperparameters learning rate number steps length clone"),
    Binding("enter", "reasons", "Why", id="train.why", show=False, tooltip="The sentences behind the verdict"),
    About("Below the plot", synonyms="verdict diagnosis overfitting loss"),
    Binding("enter", "head_history", "History", id="train.head_history", show=False, tooltip="Plot this head's scores over time"),
    About("Below the plot"),
    Binding("a", "page('heads')", "Heads", id="train.heads", tooltip="Attention heads: scores of each, such as induction"),
    About("Below the plot", words="attention heads; race of next tokens", also=("train.probe",), synonyms="insights"),
    Binding("t", "page('probe')", "Next tokens", id="train.probe", tooltip="Over time: race of the next tokens at one place"),
    About(synonyms="token place bar race text evaluations"),
    Binding("d", "panels", "Below", id="train.panels", tooltip="Learning rate, gradient norm, speed; machine; updates; samples"),
    About("Below the plot", synonyms="details more below lr gpu cpu memory"),
    keyless("page('updates')", "train.updates", "Update size and gradient norm of each part of the model", "Updates"),
    About("Below the plot", synonyms="ratio gradient weights layers"),
    Binding("space", "play", "Play", id="train.play", tooltip="Play the evaluations, from the first to the newest; stop"),
    About("Below the plot", needs="evaluations", synonyms="animate older samples"),
    *plot_bindings("train"),
    keyless("cursor", "train.cursor", "A cursor on the curve: every number at a step", "Cursor"),
    About(synonyms="loss value number"),
    Binding("left,h", "move(-1)", "Earlier", id="train.earlier", show=False, tooltip="Cursor to an earlier step; its samples"),
    Binding("right,l", "move(1)", "Later", id="train.later", show=False, tooltip="Cursor to a later step; its samples"),
    Binding("down,j", "scroll(1)", "Scroll", id="train.down", show=False, tooltip="Scroll long words or samples down"),
    Binding("up,k", "scroll(-1)", "Scroll back", id="train.up", show=False, tooltip="Scroll long words or samples up"),
    Binding("pagedown,ctrl+d", "scroll(1, True)", "Page down", id="train.page_down", show=False, tooltip="Scroll a page down"),
    Binding("pageup,ctrl+u", "scroll(-1, True)", "Page up", id="train.page_up", show=False, tooltip="Scroll a page up"),
    Binding("left_square_bracket", "other(1)", "Older run", id="train.older", show=False, tooltip="Watch the next older run"),
    About("Runs", words="watch another run", also=("train.newer",), place=-1, synonyms="list next previous runs"),
    Binding("right_square_bracket", "other(-1)", "Newer run", id="train.newer", show=False, tooltip="Watch the next newer run"),
    Binding("c", "compare", "Compare", id="train.compare", tooltip="Compare this run with another"),
    About("Runs", synonyms="difference runs", needs="a run in view"),
    Binding("o", "export", "Export", id="train.export", tooltip="Export: a report (HTML), a screenshot"),
    About("Runs", synonyms="save report html png svg share", needs="a run in view"),
)


def actions_of(bindings: Sequence[BindingType]) -> set[str]:
    return {binding.action.partition("(")[0] for binding in bindings if isinstance(binding, Binding)}


OF_THE_FORM, COMMANDS, OF_A_VIEW = actions_of(FORM_KEYS), actions_of(RUN_KEYS), actions_of(VIEW_KEYS)
BESIDE_A_PLOT = {*actions_of(plot_bindings("")), "cursor", "reasons"}
"""Actions on what the pages of insights hide."""


class TrainKeys(PlotKeys):
    """A screen with the form of a new run and a `RunView`, the keys of both, and their states."""

    making: var[bool]
    watched: WatchedRun | None

    BINDINGS = [*RUN_KEYS, *VIEW_KEYS, *FORM_KEYS]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        watching = not self.making and self.watched is not None
        phase = self.watched.phase if watching and self.watched else ""
        match action:
            case "start" | "base":
                return self.making and not self.new_run.preparing
            case "command":
                return phase in ("starting", "training")
            case "resume":
                return phase in ("paused", "stopped", "interrupted", "failed") and self.lab.run_name not in BUNDLED
            case "stop":
                return phase in ACTIVE
            case "new" | "other":
                return not self.making
            case "head_history":
                return watching and self.view.page == "heads"
            case "play":
                return watching and bool(self.view.evaluations)
        if action in BESIDE_A_PLOT:
            return watching and self.view.page not in PAGES
        return watching or action not in OF_A_VIEW

    def rank_of(self, binding: Binding) -> int | None:
        page, ended = self.view.page, self.watched is not None and self.watched.phase == "finished"
        elsewhere = (
            (OF_THE_FORM, not self.making),
            (OF_A_VIEW, self.making),
            (COMMANDS, self.making or ended),
            (BESIDE_A_PLOT, page in PAGES),
            ({"head_history"}, page != "heads"),
        )
        action = binding.action.partition("(")[0]
        return None if any(action in actions and is_so for actions, is_so in elsewhere) else super().rank_of(binding)

    @property
    def new_run(self) -> NewRun:
        return self.query_one(NewRun)

    @property
    def view(self) -> RunView:
        return self.query_one(RunView)

    @property
    def settings(self) -> PlotSettings:
        return self.view.plot_view

    @property
    def main_plot(self) -> LinePlot:
        return self.view.query_one("#run-plot", LinePlot)

    def action_cursor(self) -> None:
        if self.view.cursor is None:
            self.view.move_cursor(-1)
        else:
            self.view.follow_newest()

    def action_move(self, by: int) -> None:
        self.view.stop_playing()
        if self.view.page in PAGES:
            self.view.move_evaluation(by)
        else:
            self.view.move_cursor(by)

    def action_scroll(self, by: int, pages: bool = False) -> None:
        if self.view.page in PAGES:
            if self.view.page != "updates":  # which shows no head
                self.view.insights.choose(by * (HEADS_OF_A_PAGE if pages else 1))
            return
        words, samples = self.view.query_one("#run-words"), self.view.samples
        inner = samples.scrolled > 0 if by < 0 else words.scroll_y >= words.max_scroll_y  # the words come first
        if samples.display and inner:
            samples.scroll_text(by * (samples.size.height - 1 if pages else 1))
        else:
            words.scroll_relative(y=by * (words.size.height - 1 if pages else 1), animate=False)

    def action_panels(self) -> None:
        """Show the next of the pages: the samples, the curves unless they are beside the plot, the machine, the updates."""
        pages: list[RunPage] = ["words", "curves", "machine", "updates"]
        if self.view.details_beside:
            pages.remove("curves")
        here = pages.index(self.view.page) if self.view.page in pages else 0
        self.view.page = pages[(here + 1) % len(pages)]

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
        if (plots := self.view.plots) is not None:
            self.change_plot(lambda settings: settings.panned(by, plots.latest))

    def shares_x(self, plot: LinePlot) -> bool:
        return plot.id in self.view.plots_by_step

    def zoom_x(self, by: float, x: float) -> None:
        self.view.zoom(by, x)

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
        elif state.page == ONE_STEP:
            from screens.train.one_step_screen import OneStepScreen

            stage = state.stage if state.stage in STAGES else next(iter(STAGES))
            self.app.push_screen(OneStepScreen(first=OneStepParams(run="", stage=stage)))
