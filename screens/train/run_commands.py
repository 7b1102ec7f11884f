"""Commands to the trainer of the run in view: pause, resume, stop, discard."""

from __future__ import annotations

import asyncio

from textual import work

from lab.core.errors import UserError
from lab.runs.find_runs import open_run
from lab.runs.trainer_commands import CommandName
from lab.training.start_trainer import start_trainer
from screens.base_screen import LabScreen
from screens.dialogs.confirm import ConfirmDialog
from screens.messages import RunsChanged
from screens.train.watched_run import WatchedRun


def send_command(name: str, command: CommandName | None) -> None:
    """Send a command to the run's trainer, or, with None, start one that resumes the run. Reads and writes files.

    Raises:
        UserError: if there is no such run, or it cannot be done.
    """
    run = open_run(name)
    if command is None:
        start_trainer(run)
    else:
        run.send_command(command)


def stop_dialog(watched: WatchedRun) -> tuple[ConfirmDialog, CommandName]:
    """The stop dialog and the command it sends: on a full disk a second stop discards unsaved steps."""
    at = f"{watched.name} is at step {watched.status.step:,}"
    words = f"{at} or a little further. It saves its weights where it stops, and r resumes from there."
    if watched.status.no_room and watched.status.stopping:
        words = (
            f"{watched.name} waits for room to save step {watched.status.step:,}. "
            "Stopping now loses the steps after its last checkpoint."
        )
        return ConfirmDialog("Discard?", words, key="x", yes="discard", no="keep waiting", by_enter=False), "discard"
    if watched.status.no_room:
        words = f"{at}, and the disk is full. It stops as soon as there is room to save that."
    return ConfirmDialog("Stop the training?", words, key="x", yes="stop"), "stop"


class RunCommands(LabScreen):
    """A screen that shows the run `watched`, and the actions on its trainer."""

    watched: WatchedRun | None
    _ticks: int
    """Counts up to the next reading of the run; 0 reads it now."""

    def action_command(self, name: CommandName) -> None:
        self._command(self.lab.run_name, name)

    def action_resume(self) -> None:
        paused = self.watched is not None and self.watched.phase == "paused"
        self._command(self.lab.run_name, "resume" if paused else None)

    @work(group="command", exit_on_error=True)
    async def action_stop(self) -> None:
        watched = self.watched
        if watched is not None:
            dialog, command = stop_dialog(watched)
            if await self.app.push_screen_wait(dialog):
                self._command(watched.name, command)

    @work(group="command", exit_on_error=True)
    async def _command(self, name: str, command: CommandName | None) -> None:
        """Send a command to the run's trainer, or, with None, start one that resumes it."""
        try:
            await asyncio.to_thread(send_command, name, command)
        except UserError as error:
            self.notify(str(error), severity="error", markup=False)
        self._ticks = 0
        self.post_message(RunsChanged())
