"""Actions on whole runs, from any screen: rename, delete, clone the settings, compare."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.core.errors import UserError
from lab.core.number_format import bytes_, whole
from lab.inspect.prompt_history import rename_last_prompt
from lab.planning.settings_form import cloned_settings, hidden_settings, text_problem
from lab.runs.home_folder import home
from lab.runs.rename_delete import check_new_name, delete_run, refuse_to_change, rename_run, size_of
from lab.runs.run_folder import Run, listening_sentence
from screens.app_state import AppState
from screens.dialogs.ask import AskText, ConfirmDialog, RunChooser
from screens.messages import BaseChosen, RunRenamed, RunsChanged, SettingsCopied
from screens.train.compare_screen import CompareScreen

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary


class RunActions:
    """Each asks in a dialog, acts off the event loop, and reports. The coroutines run in workers of the app."""

    def __init__(self, app: AppState) -> None:
        self._app = app

    async def rename(self, run: RunSummary) -> None:
        """Ask for a new name, and rename the run."""
        folder = Run(run.path)

        def refuse(name: str) -> str:
            try:
                check_new_name(folder, name)
            except UserError as error:
                return str(error)
            return ""

        try:
            refuse_to_change(folder)
            words = "The run's folder is renamed; nothing in it changes."
            dialog = AskText(f"Rename {run.name}", words, run.name, refuse=refuse)
            name = await self._app.push_screen_wait(dialog)
            if not name:
                return
            await self._release(run)
            with self._app.changing_runs():
                renamed = await asyncio.to_thread(rename_run, folder, name)
                await self._rename_last_prompt(run.name, renamed.name)
                if self._app.run_name == run.name:
                    self._app.run_name = renamed.name
                self._app.screen.post_message(RunRenamed(run.name, renamed.name))
        except UserError as error:
            self._show_error(error)
            return
        self._app.notify(f"Renamed {run.name} to {renamed.name}.", markup=False)
        self._app.post_message(RunsChanged())

    async def delete(self, run: RunSummary) -> None:
        """Ask for confirmation, with the size that it frees, and delete the run."""
        folder = Run(run.path)
        try:
            await asyncio.to_thread(refuse_to_change, folder)
            size = await asyncio.to_thread(size_of, folder)
            learned = f"{run.name}: {whole(run.step)} steps on {run.text}."
            if run.problem:
                learned = f"{run.name} is damaged: {run.problem}."
            words = f"{learned} Deleting its weights, metrics and samples frees {bytes_(size)}. This cannot be undone."
            dialog = ConfirmDialog("Delete this run?", words, key="x", yes="delete", by_enter=False)
            if not await self._app.push_screen_wait(dialog):
                return
            await self._release(run)
            with self._app.changing_runs():
                freed = await asyncio.to_thread(delete_run, folder)
                await self._rename_last_prompt(run.name, "")
                if self._app.run_name == run.name:
                    self._app.run_name = next((other.name for other in self._app.runs if other.name != run.name), "demo")
        except UserError as error:
            self._show_error(error)
            return
        self._app.notify(f"Deleted {run.name}: {bytes_(freed)} freed.", markup=False)
        self._app.post_message(RunsChanged())

    async def clone_settings(self, run: RunSummary) -> None:
        """Open the form of a new run with the settings of this one, and the same text."""
        try:
            config = await asyncio.to_thread(lambda: Run(run.path).config)
            problem = await asyncio.to_thread(text_problem, config)
        except UserError as error:
            self._show_error(error)
            return
        self._app.text_encoding = config.data.encoding
        self._app.text_source = config.data.source
        await self._app.show_mode("train")
        self._app.screen_stack[0].post_message(
            SettingsCopied(run.name, cloned_settings(config), hidden_settings(config), problem)
        )

    async def fine_tune(self, name: str) -> None:
        """Open the form of a new run that begins with the weights of this one; its text is the one chosen last."""
        await self._app.show_mode("train")
        self._app.screen_stack[0].post_message(BaseChosen(name))

    async def compare_with(self, name: str) -> None:
        """Ask for another run to compare with this one."""
        others = [(run.name, f"{run.text}, {run.phase}") for run in self._app.runs if run.name != name]
        if not others:
            self._app.notify("There is no other run to compare with.")
            return
        other = await self._app.push_screen_wait(RunChooser(others, "", title=f"compare {name} with"))
        if other:
            self.compare((name, other))

    def compare(self, names: Sequence[str]) -> None:
        """Show these runs side by side."""
        self._app.push_screen(CompareScreen(names))

    async def _release(self, run: RunSummary) -> None:
        """Have this lab's own engine close the run's files, and say so if what follows takes some seconds."""
        for release in self._app.release_run:
            await release(run.path)
        if words := await asyncio.to_thread(listening_sentence, Run(run.path)):
            self._app.notify(words, markup=False)

    async def _rename_last_prompt(self, before: str, now: str) -> None:
        """Have the prompt that Inspect restores follow a run to its new name, or to none."""
        try:
            await asyncio.to_thread(rename_last_prompt, home(), before, now)
        except UserError as error:
            self._show_error(error)

    def _show_error(self, error: UserError) -> None:
        self._app.notify(str(error), severity="error", markup=False, timeout=8)
