"""The run that a new one begins with: chosen from a list, and read off the event loop."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on, work
from textual.message import Message

from lab.core.errors import UserError
from lab.planning.fine_tuning import BaseRun, base_run
from lab.planning.settings_table import Settings
from lab.runs.find_runs import open_run
from screens.dialogs.choose_run import RunChooser
from screens.train.planned_run.step_times import StepTimes
from screens.train.run_form import RunForm


class BaseChoice(StepTimes):
    """A widget whose plan may begin with the weights of a run. It handles `BaseRead`."""

    base: BaseRun | None = None
    """The run whose weights it begins with; None for random ones."""
    base_number = 0
    """Number of the newest choice: an older one that is read late is not taken."""

    @dataclass
    class BaseRead(Message):
        """The run to begin with, None for random weights; or the reason why it cannot be."""

        number: int
        base: BaseRun | None
        problem: str = ""
        copied: Settings | None = None
        """The settings to begin it with, where they are those of another run."""

    @on(RunForm.BaseAsked)
    @work(group="base", exclusive=True, exit_on_error=True)
    async def choose_base(self) -> None:
        """Ask for the run to begin with."""
        runs = [run for run in self.runs if run.model is not None and (run.step or run.is_imported or run.is_posttrained)]
        names = [("", "random weights"), *((run.name, run.origin or f"{run.text}, {run.phase}") for run in runs)]
        now = self.base.name if self.base is not None else ""
        name = await self.app.push_screen_wait(RunChooser(names, now, title="begin with the weights of"))
        if name:
            self.read_base(name)
        elif name is not None:
            self.base_number += 1
            self.post_message(self.BaseRead(self.base_number, None))

    def read_base(self, name: str, copied: Settings | None = None) -> None:
        """Begin with the weights of the run of this name, by default with the settings for trained weights."""
        self.base_number += 1
        self._read_base(self.base_number, name, copied)

    @work(thread=True, group="read base", exclusive=True, exit_on_error=True)
    def _read_base(self, number: int, name: str, copied: Settings | None) -> None:
        try:
            self.post_message(self.BaseRead(number, base_run(open_run(name)), copied=copied))
        except UserError as error:
            self.post_message(self.BaseRead(number, None, str(error)))
