"""Commands of the run in view: to its trainer, pause, resume, stop, discard; and its export."""

from __future__ import annotations

import asyncio

from textual import work

from lab.core.errors import UserError
from lab.runs.find_runs import open_run
from lab.runs.run_control import CommandName
from lab.training.start_trainer import start_trainer
from screens.base_screen import LabScreen
from screens.dialogs.ask import ConfirmDialog
from screens.messages import RunsChanged
from screens.train.run_plots import WatchedRun


class RunCommands(LabScreen):
    """A screen that shows the run `watched`, and the actions on its trainer; it saves its report or a screenshot of it."""

    watched: WatchedRun | None
    _stop_question: ConfirmDialog | None = None
    _ticks: int

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

    def close_stop_question(self) -> None:
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
