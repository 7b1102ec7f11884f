"""What the app does with whole runs, from whatever screen it is asked for: rename, delete, use their settings again, compare."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual import on, work
from textual.app import App
from textual.message import Message

from screens.messages import SettingsCopied

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary
    from screens.app import LabApp


class ManagingApp(App[None]):
    """Asks, does it beside the event loop, and says what came of it."""

    def __init__(self, *, ansi_color: bool | None = None) -> None:
        super().__init__(ansi_color=ansi_color)
        self.holders: list[Callable[[Path], Awaitable[None]]] = []
        """What is asked to let a run go before it is renamed or deleted."""

    @dataclass
    class Renamed(Message):
        """A run has another name now."""

        before: str
        now: str

    @dataclass
    class Weighed(Message):
        """What deleting a run would free, in bytes."""

        run: RunSummary
        size: int

    @dataclass
    class Deleted(Message):
        """A run is gone, and so many bytes are free."""

        name: str
        freed: int

    @dataclass
    class Copied(Message):
        """The settings of a run, and what is wrong with its text."""

        source: str
        encoding: str
        copied: SettingsCopied

    @dataclass
    class NotDone(Message):
        """What was asked for could not be done, in one sentence."""

        sentence: str

    @property
    def _lab(self) -> LabApp:
        """Itself, with its own type."""
        return cast("LabApp", self)

    async def _let_go(self, run: RunSummary) -> None:
        """Have this lab's own engine hold the run no longer."""
        for release in self.holders:
            await release(run.path)

    def rename_run(self, run: RunSummary) -> None:
        """Ask for another name, and give it."""
        from lab.core.errors import UserError
        from lab.runs.rename_delete import check_new_name, refuse_to_change
        from lab.runs.run_folder import Run
        from screens.dialogs.ask_text import AskText

        folder = Run(run.path)

        def refuse(name: str) -> str:
            try:
                check_new_name(folder, name)
            except UserError as error:
                return str(error)
            return ""

        try:
            refuse_to_change(folder)
        except UserError as error:
            self.post_message(self.NotDone(str(error)))
            return
        words = "Its folder gets this name; nothing in it changes."
        question = AskText(f"What is {run.name} to be called?", words, run.name, refuse=refuse, select=True)

        def answered(name: str | None) -> None:
            if name:
                self._rename(run, name)

        self.push_screen(question, answered)

    @work(group="manage", exit_on_error=True)
    async def _rename(self, run: RunSummary, name: str) -> None:
        from lab.core.errors import UserError
        from lab.runs.rename_delete import rename_run
        from lab.runs.run_folder import Run

        try:
            await self._let_go(run)
            renamed = await asyncio.to_thread(rename_run, Run(run.path), name)
        except UserError as error:
            self.post_message(self.NotDone(str(error)))
        else:
            self.post_message(self.Renamed(run.name, renamed.name))

    @on(Renamed)
    def _was_renamed(self, message: Renamed) -> None:
        from screens.home.run_table import RunTable

        if self._lab.run_name == message.before:
            self._lab.run_name = message.now
        for table in self.screen.query(RunTable):
            table.marked = tuple(message.now if name == message.before else name for name in table.marked)
        self.notify(f"{message.before} is called {message.now} now.", markup=False)
        self._lab.read_runs()

    def delete_run(self, run: RunSummary) -> None:
        """Ask whether the run may go, saying what that frees, and remove it."""
        self._weigh(run)

    @work(thread=True, group="manage", exit_on_error=True)
    def _weigh(self, run: RunSummary) -> None:
        from lab.core.errors import UserError
        from lab.runs.rename_delete import refuse_to_change, size_of
        from lab.runs.run_folder import Run

        try:
            refuse_to_change(Run(run.path))
        except UserError as error:
            self.post_message(self.NotDone(str(error)))
        else:
            self.post_message(self.Weighed(run, size_of(Run(run.path))))

    @on(Weighed)
    def _ask_to_delete(self, message: Weighed) -> None:
        from lab.core.number_format import bytes_, whole
        from screens.dialogs.confirm import AskScreen

        run = message.run
        learned = f"{run.name} learned from {run.text} for {whole(run.step)} steps."
        if run.problem:
            learned = f"{run.name} is damaged: {run.problem}."
        words = (
            f"{learned} Its weights, curves and samples are removed, which frees {bytes_(message.size)}. This cannot be undone."
        )
        question = AskScreen("Delete this run?", words, key="D", yes="delete", no="keep it", by_enter=False)

        def answered(yes: bool | None) -> None:
            if yes:
                self._delete(run)

        self.push_screen(question, answered)

    @work(group="manage", exit_on_error=True)
    async def _delete(self, run: RunSummary) -> None:
        from lab.core.errors import UserError
        from lab.runs.rename_delete import delete_run
        from lab.runs.run_folder import Run

        try:
            await self._let_go(run)
            freed = await asyncio.to_thread(delete_run, Run(run.path))
        except UserError as error:
            self.post_message(self.NotDone(str(error)))
        else:
            self.post_message(self.Deleted(run.name, freed))

    @on(Deleted)
    def _was_deleted(self, message: Deleted) -> None:
        from lab.core.number_format import bytes_

        if self._lab.run_name == message.name:
            self._lab.run_name = next((run.name for run in self._lab.runs if run.name != message.name), "demo")
        self.notify(f"{message.name} is deleted; that freed {bytes_(message.freed)}.", markup=False)
        self._lab.read_runs()

    def use_settings(self, run: RunSummary) -> None:
        """Open the form of a new run with the settings of this one, and the same text."""
        self._copy_settings(run.name, run.path)

    @work(thread=True, group="manage", exclusive=True, exit_on_error=True)
    def _copy_settings(self, name: str, path: Path) -> None:
        from lab.core.errors import UserError
        from lab.planning.clone_settings import kept_of, settings_of, text_trouble
        from lab.runs.run_folder import Run

        try:
            config = Run(path).config
        except UserError as error:
            self.post_message(self.NotDone(str(error)))
            return
        copied = SettingsCopied(name, settings_of(config), kept_of(config), text_trouble(config))
        self.post_message(self.Copied(config.data.source, config.data.encoding, copied))

    def compare_runs(self, names: Sequence[str]) -> None:
        """Show these runs beside each other."""
        from screens.train.compare.compare_screen import CompareScreen

        self.push_screen(CompareScreen(names))

    def compare_with(self, name: str) -> None:
        """Ask with which other run to compare this one."""
        from screens.dialogs.choose_run import RunChooser

        others = [(run.name, f"{run.text}, {run.phase}") for run in self._lab.runs if run.name != name]
        if not others:
            self.notify("There is no other run to compare with yet.")
            return
        chooser = RunChooser(others, "", title=f"compare {name} with which run?")

        def chosen(other: str | None) -> None:
            if other:
                self.compare_runs((name, other))

        self.push_screen(chooser, chosen)

    @on(Copied)
    def _show_form(self, message: Copied) -> None:
        self._lab.text_encoding = message.encoding
        self._lab.text_source = message.source
        self.switch_mode("train")
        self.screen.post_message(message.copied)

    @on(NotDone)
    def _say_why(self, message: NotDone) -> None:
        self.notify(message.sentence, severity="error", markup=False, timeout=8)
