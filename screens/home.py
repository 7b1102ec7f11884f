"""Home: the way from text to prediction, the user's runs, and the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.widgets import Static

from screens.base import LabScreen
from screens.messages import RunChosen
from screens.widgets.path_map import PathMap
from screens.widgets.run_table import RunTable

if TYPE_CHECKING:
    from lab.machine import Machine
    from lab.summary import RunSummary

START_HERE = (
    "You have no runs yet. [b]Start here:[/b] press [b]2[/b] for a text, and enter until it trains. "
    "Or press [b]5[/b] to look inside the demo model first."
)


class HomeScreen(LabScreen):
    """Where the lab opens."""

    MODE = "home"
    HELP = """
Above is the way from a text to a prediction, with the key of the mode that shows each step.

Below are your runs. A **run** is one model being trained, or trained, on one text; each is a folder on disk, and training goes on
when the lab is closed. `val` is the loss on text that the run never trains on, in nats per token; `bits/byte` is the same in a
unit that compares across tokenizers: fewer is better. `demo` is a small model that ships with the lab.
"""
    BINDINGS = [
        Binding("enter,i", "choose('inspect')", "Inspect", id="home.inspect", tooltip="Look inside this run's model"),
        Binding("t", "choose('train')", "Watch", id="home.watch", tooltip="Watch this run's training, live if it goes on"),
        Binding("n", "app.mode('data')", "New run", id="home.new", tooltip="Choose a text for a new run"),
    ]

    @dataclass
    class MachineRead(Message):
        """What this machine has."""

        machine: Machine
        home: str

    def compose_body(self) -> ComposeResult:
        yield PathMap(id="path")
        yield Static(START_HERE, id="start-here")
        yield RunTable(id="runs")
        yield Static(id="machine")

    def on_mount(self) -> None:
        self.watch(self.lab, "runs", self._show_runs)
        self.call_after_refresh(self._read_machine)

    def _show_runs(self, runs: tuple[RunSummary, ...]) -> None:
        self.query_one(RunTable).runs = runs
        self.query_one("#start-here").display = self.lab.runs_known and all(run.is_demo for run in runs)

    @work(thread=True, group="machine", exclusive=True, exit_on_error=True)
    def _read_machine(self) -> None:
        from lab.machine import machine
        from lab.runs import home

        self.post_message(self.MachineRead(machine(), str(home())))

    @on(MachineRead)
    def _show_machine(self, message: MachineRead) -> None:
        from lab.numbers import bytes_

        facts = message.machine
        cores = "1 core" if facts.cores == 1 else f"{facts.cores} cores"
        trains_on = f"trains on the {facts.gpu}" if facts.gpu else "trains on the processor"
        self.query_one("#machine", Static).update(
            f"[$foreground 60%]This machine:[/] {facts.processor}, {cores}, {bytes_(facts.memory)} memory, {trains_on}. "
            f"[$foreground 60%]Runs are in[/] {message.home}"
        )

    @on(RunTable.Opened)
    def _open_run(self, message: RunTable.Opened) -> None:
        self.post_message(RunChosen(message.run.name, "train" if message.run.going_on else "inspect"))

    def action_choose(self, mode: str) -> None:
        run = self.query_one(RunTable).selected
        if run is not None:
            self.post_message(RunChosen(run.name, mode))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "choose" or self.query_one(RunTable).selected is not None
