"""Train: the form of a new run, or a run being watched, live or afterwards."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from textual import on, work
from textual.app import ComposeResult
from textual.reactive import var
from textual.widget import Widget

from lab.analysis.baselines import run_entropy
from lab.analysis.machine_usage import UsageMeter
from lab.core.errors import UserError
from lab.runs.find_runs import open_run
from lab.runs.home_folder import watched_machine
from lab.runs.run_control import CommandName
from lab.runs.run_folder import ACTIVE
from lab.runs.run_history import RunFollower, RunUpdate
from lab.runs.run_summary import RunSummary
from lab.training.start_trainer import start_trainer
from screens.background import in_thread, is_working, latest
from screens.dialogs.ask import ConfirmDialog
from screens.messages import Arrived, BaseChosen, CompareWith, RunChosen, RunsChanged, SettingsCopied
from screens.train.new_run import NewRun
from screens.train.run_plots import WatchedRun
from screens.train.run_view import RunView
from screens.train.train_keys import TrainKeys

SECONDS_BETWEEN_READINGS = 0.5
"""Interval of reading a run that is training: each reading takes CPU time from it."""
READINGS_SKIPPED_AT_REST = 4
"""A run at rest is read this many times less often: it may be resumed from elsewhere."""


class TrainScreen(TrainKeys):
    """Two views in one place: a new run, and a run being watched."""

    MODE = "train"
    HEADINGS = ("Run", "Plot", "Below the plot", "Runs")
    AUTO_FOCUS = ""
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
            self._suggest_text()
            self.new_run.form.focus_start()
        else:
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
        self.post_message(CompareWith(self.lab.run_name))

    def action_other(self, by: int) -> None:
        names = [run.name for run in self.lab.runs]
        if self.lab.run_name in names:
            at = names.index(self.lab.run_name) + by
            self.post_message(RunChosen(names[max(0, min(at, len(names) - 1))]))

    @work(group="export", exit_on_error=True)
    async def action_export(self) -> None:
        from lab.exchange.export_files import run_export_name, write_report
        from lab.runs.home_folder import home
        from screens.dialogs.export_menu import OF_A_RUN, ExportMenu, save_export, save_screenshot, short_path

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
