"""Actions on whole runs, from any screen: rename, delete, clone the settings, compare."""

from __future__ import annotations

import asyncio
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
from screens.messages import ActOnRun, BaseChosen, CompareRuns, FineTune, RunRenamed, RunsChanged, SettingsCopied
from screens.train.compare_screen import CompareScreen

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary


async def act(app: AppState, message: ActOnRun | FineTune | CompareRuns) -> None:
    """Do what a message asks for, in a worker of the app: ask in a dialog, act off the event loop, and report."""
    try:
        match message:
            case ActOnRun():
                await {"rename": _rename, "delete": _delete, "clone": _clone_settings}[message.action](app, message.run)
            case FineTune():  # the text of the new run is the one chosen last
                await app.show_mode("train")
                app.screen_stack[0].post_message(BaseChosen(message.name))
            case CompareRuns([name]):
                await _compare_with(app, name)
            case CompareRuns():
                app.push_screen(CompareScreen(message.names))
    except UserError as error:
        _show_error(app, error)


async def _rename(app: AppState, run: RunSummary) -> None:
    """Ask for a new name, and rename the run."""
    folder = Run(run.path)

    def refuse(name: str) -> str:
        try:
            check_new_name(folder, name)
        except UserError as error:
            return str(error)
        return ""

    refuse_to_change(folder)
    words = "The run's folder is renamed; nothing in it changes."
    name = await app.push_screen_wait(AskText(f"Rename {run.name}", words, run.name, refuse=refuse))
    if not name:
        return
    await _release(app, run)
    with app.changing_runs():
        renamed = await asyncio.to_thread(rename_run, folder, name)
        await _rename_last_prompt(app, run.name, renamed.name)
        if app.run_name == run.name:
            app.run_name = renamed.name
        app.screen.post_message(RunRenamed(run.name, renamed.name))
    app.notify(f"Renamed {run.name} to {renamed.name}.", markup=False)
    app.post_message(RunsChanged())


async def _delete(app: AppState, run: RunSummary) -> None:
    """Ask for confirmation, with the size that it frees, and delete the run."""
    folder = Run(run.path)
    await asyncio.to_thread(refuse_to_change, folder)
    size = await asyncio.to_thread(size_of, folder)
    learned = f"{run.name}: {whole(run.step)} steps on {run.text}."
    if run.problem:
        learned = f"{run.name} is damaged: {run.problem}."
    words = f"{learned} Deleting its weights, metrics and samples frees {bytes_(size)}. This cannot be undone."
    dialog = ConfirmDialog("Delete this run?", words, key="x", yes="delete", by_enter=False)
    if not await app.push_screen_wait(dialog):
        return
    await _release(app, run)
    with app.changing_runs():
        freed = await asyncio.to_thread(delete_run, folder)
        await _rename_last_prompt(app, run.name, "")
        if app.run_name == run.name:
            app.run_name = next((other.name for other in app.runs if other.name != run.name), "demo")
    app.notify(f"Deleted {run.name}: {bytes_(freed)} freed.", markup=False)
    app.post_message(RunsChanged())


async def _clone_settings(app: AppState, run: RunSummary) -> None:
    """Open the form of a new run with the settings of this one, and the same text."""
    config = await asyncio.to_thread(lambda: Run(run.path).config)
    problem = await asyncio.to_thread(text_problem, config)
    app.text_encoding = config.data.encoding
    app.text_source = config.data.source
    await app.show_mode("train")
    app.screen_stack[0].post_message(SettingsCopied(run.name, cloned_settings(config), hidden_settings(config), problem))


async def _compare_with(app: AppState, name: str) -> None:
    """Ask for another run to compare with this one."""
    others = [(run.name, f"{run.text}, {run.phase}") for run in app.runs if run.name != name]
    if not others:
        app.notify("There is no other run to compare with.")
        return
    other = await app.push_screen_wait(RunChooser(others, "", title=f"compare {name} with"))
    if other:
        app.push_screen(CompareScreen((name, other)))


async def _release(app: AppState, run: RunSummary) -> None:
    """Have this lab's own engine close the run's files, and say so if what follows takes some seconds."""
    for release in app.release_run:
        await release(run.path)
    if words := await asyncio.to_thread(listening_sentence, Run(run.path)):
        app.notify(words, markup=False)


async def _rename_last_prompt(app: AppState, before: str, now: str) -> None:
    """Have the prompt that Inspect restores follow a run to its new name, or to none."""
    try:
        await asyncio.to_thread(rename_last_prompt, home(), before, now)
    except UserError as error:
        _show_error(app, error)


def _show_error(app: AppState, error: UserError) -> None:
    app.notify(str(error), severity="error", markup=False, timeout=8)
