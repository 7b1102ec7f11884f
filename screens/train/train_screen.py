"""Train: the form of a new run, or a run being watched, live or afterwards; their keys, and the view as a state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import get_args

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import var
from textual.widget import Widget

from lab.analysis.baselines import run_entropy
from lab.analysis.machine_usage import UsageMeter
from lab.core.errors import UserError
from lab.engine.method_registry import OneStepParams
from lab.runs.find_runs import open_run
from lab.runs.home_folder import BUNDLED, home, watched_machine
from lab.runs.run_control import CommandName
from lab.runs.run_folder import ACTIVE
from lab.runs.run_history import RunFollower, RunUpdate
from lab.runs.run_summary import RunSummary
from lab.training.one_step.step_stages import STAGES
from lab.training.start_trainer import start_trainer
from lab.views.screen_state import ScreenState
from screens.about_key import About, described, keyless
from screens.background import in_thread, is_working, latest
from screens.dialogs.ask import ConfirmDialog
from screens.messages import Arrived, BaseChosen, CompareRuns, RunChosen, RunsChanged, SettingsCopied
from screens.plot.plot_settings import PlotKeys, PlotSettings, plot_bindings
from screens.plot.plot_widget import LinePlot
from screens.train.insights.insights_view import PAGES, InsightsPage
from screens.train.new_run import NewRun
from screens.train.run_plots import WatchedRun
from screens.train.run_view import RunPage, RunView

SECONDS_BETWEEN_READINGS = 0.5
"""Interval of reading a run that is training: each reading takes CPU time from it."""
READINGS_SKIPPED_AT_REST = 4
"""A run at rest is read this many times less often: it may be resumed from elsewhere."""


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


class TrainScreen(PlotKeys):
    """Two views in one place: a new run, and a run being watched."""

    MODE = "train"
    HEADINGS = ("Run", "Plot", "Below the plot", "Runs")
    AUTO_FOCUS = ""
    BINDINGS = [*RUN_KEYS, *VIEW_KEYS, *FORM_KEYS]
    HELP = """
**Watching a run.** Faint dots: training loss of each step; line: its running mean; line with diamonds: validation loss, on text
never trained on; the shaded area between them is the *gap*. With dropout, which is on in training alone, the training loss is
higher for it, and the gap smaller. **Loss** is −ln p of the next token, in nats per token, *perplexity* e^loss, *bits/byte* a
unit that compares across tokenizers; `g` explains each term.

**Baselines**, losses on the validation text. *Uniform*: all tokens equally likely. *Unigram*: a token's frequency in the
training text. *Bigram*: how often it follows the previous token there, and, for pairs seen seldom, its frequency. *Source*: the
true entropy of a generated text; no model can stay below it on new text.

**Plot.** A click leaves the cursor on the curve, and the samples are those of the last evaluation up to it. The wheel zooms on x,
at the y axis or with shift on y.

**Below the plot.** The update size of each part of the model stands beside what is usual for the optimizer. Attention heads are
scored on repeated random tokens: attention to the previous token, to the same token, to the token after its last occurrence (an
*induction head*). The next tokens are those at a fixed place of the validation text, of sixteen at first the one where the true
token's probability has changed most.

Training continues when you leave this screen, the lab, or the terminal.
"""
    making: var[bool] = var(True)
    """True: the form of a new run is shown; False: the run being watched."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: WatchedRun | None = None
        self._stop_question: ConfirmDialog | None = None
        self._follower: RunFollower | None = None
        self._usage = UsageMeter()
        self._ticks = 0
        self._awaits_runs = True
        """The runs are first read after the first paint: a user who is here earlier still gets the newest."""

    def compose_body(self) -> ComposeResult:
        yield NewRun(id="new-run")
        yield RunView(id="run")

    def on_mount(self) -> None:
        self.watch(
            self.lab, "text_source", lambda text: self.new_run.choose_text(text, self.lab.text_encoding, self.lab.text_cleaning)
        )
        self.watch(self.lab, "text_encoding", self._follow_encoding, init=False)
        self.watch(self.lab, "text_cleaning", self.new_run.choose_cleaning)
        self.watch(self.lab, "run_name", self._follow_run, init=False)
        self._awaits_runs = not self.lab.runs_known
        self.watch(self.lab, "runs", self._follow_runs)
        self.set_interval(SECONDS_BETWEEN_READINGS, self._tick)
        self.watch_making(self.making)

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
        elsewhere = COMMANDS | OF_A_VIEW if self.making else set(OF_THE_FORM)
        if self.watched is not None and self.watched.phase == "finished":
            elsewhere |= COMMANDS
        if self.view.page in PAGES:
            elsewhere |= BESIDE_A_PLOT
        if self.view.page != "heads":
            elsewhere |= {"head_history"}
        return None if binding.action.partition("(")[0] in elsewhere else super().rank_of(binding)

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

    def on_screen_suspend(self) -> None:
        self.new_run.cancel_timing()

    def on_screen_resume(self) -> None:
        if self.making and self.is_mounted and self.new_run.is_mounted:
            self.new_run.plan_again()

    def resting_focus(self) -> str | None:
        return "#start" if self.making else None

    def set_focus(self, widget: Widget | None, scroll_visible: bool = True, from_app_focus: bool = False) -> None:
        """Focus a widget unless it is hidden: one asked for before the form was left would still come, and enter start a run."""
        if widget is None or all(each.display for each in widget.ancestors_with_self):
            super().set_focus(widget, scroll_visible, from_app_focus)

    def help_picture(self) -> str:
        if self.making:
            return ""
        return "· training loss   ─ its mean   ◆ validation\n▴ saved  ★ best  ✗ skipped  ↶ rollback  ‖ pause  ▸ resume  ■ stop"

    def go_back(self) -> bool:
        if self.making and self.new_run.preparing:
            self.new_run.cancel()
        elif self.making and self.watched is not None:
            self.making = False
        elif self.making:
            return False
        elif self.view.page != "words":
            self.view.page = "words"
        elif self.view.cursor is not None or self.view.eval_step is not None:
            self.view.follow_newest()
        elif self.view.reasons_shown:
            self.view.reasons_shown = False
        else:
            return False
        return True

    def watch_making(self, making: bool) -> None:
        if not self.query(RunView):
            return
        self.new_run.display = making
        self.view.display = not making
        if making:
            self.new_run.opened.set()
            self._suggest_text()
            self.new_run.form.focus_start()
        else:
            self.new_run.opened.clear()
            self.set_focus(None)
            self._ticks = 0
            self._tick()
        self.refresh_bindings()

    @on(Arrived)
    def _arrive(self, message: Arrived) -> None:
        if message.what == "mode":
            self._show_newest()
        else:
            self._awaits_runs = False
            self.making = message.what == "text" or self.new_run.preparing

    @on(SettingsCopied)
    def _fill_form(self, message: SettingsCopied) -> None:
        self.making = True
        self.new_run.fill(message)

    @on(BaseChosen)
    def _begin_with(self, message: BaseChosen) -> None:
        self.making = True
        self.new_run.read_base(message.name)

    def _follow_encoding(self) -> None:
        """Follow it after the source, which is set behind it: the old text is not read in the new one's encoding."""
        self.call_next(lambda: self.new_run.choose_encoding(self.lab.text_encoding))

    def _follow_runs(self, runs: tuple[RunSummary, ...]) -> None:
        self.new_run.runs = runs
        run = self.lab.run_summary(self.lab.run_name)
        if run is not None and not run.is_active:
            self._close_stop_question()
        if runs and self._awaits_runs:
            self._awaits_runs = False
            if not self.lab.text_source:
                self._show_newest()

    def _show_newest(self) -> None:
        """Show the newest run of the user's own instead of the form, unless that prepares one."""
        run = self.lab.newest_run()
        if run is not None and not self.new_run.preparing:
            self.making = False
            if run.name != self.lab.run_name:
                self.post_message(RunChosen(run.name))

    @on(NewRun.Begun)
    def _show_begun(self, message: NewRun.Begun) -> None:
        self.making = False
        self.post_message(RunChosen(message.name))
        self.post_message(RunsChanged())

    def _follow_run(self) -> None:
        self._follower, self._usage, self._ticks = None, UsageMeter(), 0
        self._suggest_text()
        self._tick()

    def _suggest_text(self) -> None:
        if self.making and not self.lab.text_source:
            self.new_run.suggest_text_of(self.lab.run_name)

    def _tick(self) -> None:
        """Read the run, if it is in view and no reading is under way."""
        if self.making or not self.is_current:
            return
        at_rest = self.watched is not None and self.watched.phase not in ACTIVE
        self._ticks += 1
        if at_rest and self._follower is not None and self._ticks % READINGS_SKIPPED_AT_REST:
            return
        if not is_working(self, "follow"):
            self._read(self.lab.run_name, self._follower, self._usage)

    @work(group="follow")
    async def _read(self, name: str, follower: RunFollower | None, usage: UsageMeter) -> None:
        def read() -> RunUpdate:
            nonlocal follower
            follower = follower or RunFollower(open_run(name))
            update = follower.read()
            if update.phase in ACTIVE and not watched_machine():
                usage.sample(update.status)
            return update

        update, problem = None, ""
        try:
            update = await in_thread(read)
        except UserError as error:
            problem = str(error)
        if name != self.lab.run_name:
            return
        self._follower = follower
        if update is None:
            if self.watched is not None and self.watched.name != name:
                self.workers.cancel_group(self, "entropy")
                self.watched = None
                self.view.forget()
                self.refresh_bindings()
            self.view.show_error(problem)
            return
        before = self.watched
        opened = before is None or before.identity != (name, update.config.created)
        if before is None or opened:
            if before is not None and before.name == name:
                self._usage = UsageMeter()
            unread = WatchedRun(name, update.config, update.status, update.phase, usage=self._usage)
            self.watched = unread.updated(update)
        else:
            self.watched = before.updated(update)
        self.view.show(self.watched)
        if opened:
            self._measure(name)
        if before is None or before.phase != update.phase:
            self.refresh_bindings()

    @latest("entropy")
    async def _measure(self, name: str) -> None:
        entropy = None
        await self.lab.text_arrives(name)
        with suppress(UserError):  # reading the run reports what is wrong with it
            entropy = await in_thread(lambda: run_entropy(open_run(name)))
        self.view.show_entropy(entropy)

    def action_start(self) -> None:
        self.new_run.start()

    def action_base(self) -> None:
        self.new_run.choose_base()

    def action_new(self) -> None:
        self.making = True

    def action_inspect(self) -> None:
        self.post_message(RunChosen(self.lab.run_name, "inspect"))

    def action_one_step(self) -> None:
        from screens.train.one_step_screen import OneStepScreen

        self.app.push_screen(OneStepScreen())

    def action_compare(self) -> None:
        self.post_message(CompareRuns((self.lab.run_name,)))

    def action_other(self, by: int) -> None:
        names = [run.name for run in self.lab.runs]
        if self.lab.run_name in names:
            at = names.index(self.lab.run_name) + by
            self.post_message(RunChosen(names[max(0, min(at, len(names) - 1))]))

    @work(group="export", exit_on_error=True)
    async def action_export(self) -> None:
        from lab.exchange.export_files import run_export_name, write_report
        from screens.dialogs.export_menu import OF_A_RUN, ExportMenu, save_export, save_screenshot
        from screens.widgets.text_fitting import short_path

        run = self.lab.run_name
        kind = await self.app.push_screen_wait(ExportMenu(short_path(home() / "exports"), OF_A_RUN))
        if kind in ("svg", "png"):
            await save_screenshot(self.app, kind, run_export_name(run, kind))
        elif kind is not None:
            await save_export(self.app, run_export_name(run, kind), lambda path: write_report(path, run))

    def action_command(self, name: CommandName) -> None:
        self._command(self.lab.run_name, name)

    def action_resume(self) -> None:
        paused = self.watched is not None and self.watched.phase == "paused"
        self._command(self.lab.run_name, "resume" if paused else None)

    @work(group="command", exit_on_error=True)
    async def action_stop(self) -> None:
        """Ask, and stop the training; on a full disk a second stop discards the steps that are not saved."""
        watched = self.watched
        if watched is None:
            return
        at = f"{watched.name} is at step {watched.status.step:,}"
        command: CommandName = "stop"
        words = f"{at} or a little further. It saves its weights where it stops, and p resumes from there."
        if watched.status.no_room:
            words = f"{at}, and the disk is full. It stops as soon as there is room to save that."
        dialog = ConfirmDialog("Stop the training?", words, key="x", yes="stop")
        if watched.status.no_room and watched.status.stopping:
            words = f"{watched.name} waits for room to save step {watched.status.step:,}. "
            words += "Stopping now loses the steps after its last checkpoint."
            dialog = ConfirmDialog("Discard?", words, key="x", yes="discard", no="keep waiting", by_enter=False)
            command = "discard"
        self._stop_question = dialog
        if await self.app.push_screen_wait(dialog):
            self._command(watched.name, command)

    def _close_stop_question(self) -> None:
        """Close the question whether to stop the run in view: it has stopped by itself."""
        if self._stop_question is not None and self._stop_question.is_current:
            self._stop_question.dismiss(False)

    @work(group="command", exit_on_error=True)
    async def _command(self, name: str, command: CommandName | None) -> None:
        """Send a command to the run's trainer, or, with None, start one that resumes it."""
        try:
            run = await asyncio.to_thread(open_run, name)
            if command is None:
                await asyncio.to_thread(start_trainer, run)
            else:
                await asyncio.to_thread(run.send_command, command)
        except UserError as error:
            self.notify(str(error), severity="error", markup=False)
        self._ticks = 0
        self.post_message(RunsChanged())

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

    def action_pan(self, by: float) -> None:
        if (plots := self.view.plots) is not None:
            self.change_plot(lambda settings: settings.panned(by, plots.latest))

    def shares_x(self, plot: LinePlot) -> bool:
        return plot.id in self.view.plots_by_step

    def zoom_x(self, by: float, x: float | None = None) -> None:
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
