"""Base of the live widgets of jobs: views of a record as it grows, and the keys that start, stop and delete the job."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.reactive import var

from lab.core.errors import UserError
from lab.core.visible_text import visible
from lab.runs.home_folder import home
from lab.training.job import Job, JobFollower
from lab.views.blocks import View
from screens.about_key import keyless
from screens.app_state import AppState
from screens.background import in_thread, still_wanted
from screens.blocks.block_view import BlockView
from screens.dialogs.ask import ConfirmDialog
from screens.learn.learn_page import LearnEngine
from screens.learn.live.live_widget import LiveWidget
from screens.messages import RunsChanged
from screens.plot.figure import Figure
from screens.plot.plot_widget import LinePlot
from screens.widgets.status_line import StatusLine

POLL_SECONDS = 0.5
"""Time between two looks at the record."""


@dataclass(frozen=True)
class Picture:
    """A view of a record: one or two plots by their titles, or a table; and a sentence above it."""

    shown: View | Mapping[str, Figure]
    sentence: str = ""


class PlotPane(Horizontal, can_focus=True):
    """The plots in sight, which take the keys."""


class JobWidget(LiveWidget):
    """A widget of one kind of job. Option `view`: the one to begin with."""

    DEFAULT_CSS = """
    JobWidget {
        & > PlotPane { height: 1fr; display: none; }
        & > PlotPane > LinePlot { width: 1fr; height: 1fr; border-top: solid $foreground 30%; padding: 0 1; }
        & > PlotPane > LinePlot { border-title-color: $foreground 90%; }
        & > BlockView { height: 1fr; }
        &.-plotted > PlotPane { display: block; }
        &.-plotted > BlockView { display: none; }
        &.-single #job-right { display: none; }
    }
    """
    BINDINGS = [
        Binding("r", "start", "Run here", id="job.start", tooltip="Run it on this machine, in the background"),
        Binding("x", "stop", "Stop", id="job.stop", tooltip="Stop it; the result from before stays"),
        Binding("v", "turn(1)", "Next view", id="job.view", tooltip="The next curve or table"),
        keyless("turn(-1)", "job.view_back", "The view before", "View before"),
        Binding("x", "delete", "Delete", id="job.delete", show=False, tooltip="Delete the result of here; asks first"),
    ]

    chosen: var[str] = var("")
    """The view that was chosen; "" for the usual one."""

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.set_reactive(JobWidget.chosen, self.options.get("view", ""))
        self.follower: JobFollower[Any] | None = None
        """Of the job in sight, once its record was read."""
        self.about = ""
        """The reason why the job is not of the run at hand, once it was found."""
        self.busy = ""
        """The command that is being carried out, in words; "" if there is none."""
        self._is_stopping = False
        self._focus_is_due = False
        """True while a focus that was asked for has not come yet: the part that it goes to may be hidden before."""

    def compose(self) -> ComposeResult:
        yield StatusLine(most_lines=2, id="job-state")
        yield StatusLine(most_lines=4, id="job-sentence")
        with PlotPane():
            yield LinePlot(id="job-left")
            yield LinePlot(id="job-right")
        yield BlockView(id="job-view")

    def find(self) -> JobFollower[Any]:
        """The follower of the job to show. Reads files. Raises: UserError if there is none."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the job, in a thread. Raises: UserError if that cannot be."""
        raise NotImplementedError

    @property
    def names(self) -> Sequence[str]:
        """The views there are."""
        raise NotImplementedError

    @property
    def view_name(self) -> str:
        """The view in sight; "" if there is none."""
        return self.chosen if self.chosen in self.names else next(iter(self.names), "")

    def picture(self, name: str) -> Picture | None:
        raise NotImplementedError

    def state(self) -> str:
        """A sentence on the state of the job, and on where the numbers in sight come from."""
        raise NotImplementedError

    def made_runs(self) -> Sequence[str]:
        """Names of the runs that are replaced by a start, and deleted with the job."""
        return ()

    @property
    def is_settled(self) -> bool:
        return self.follower is not None and not self.busy

    @property
    def is_running(self) -> bool:
        return self.follower is not None and self.follower.is_running

    @work(exclusive=True, group="follow", exit_on_error=True)
    async def follow(self) -> None:
        """Find the job, and read its record for as long as the widget is there."""
        try:
            follower = await in_thread(self.find)
            await in_thread(follower.read)
        except UserError as error:
            self.say(str(error))  # no error of the learner's: there is none for the run at hand
            return
        self.follower = follower
        self.say(self.about)
        while True:
            self.show()
            await still_wanted(asyncio.sleep(POLL_SECONDS))
            while not (self.screen.is_current and await in_thread(follower.read)):
                await still_wanted(asyncio.sleep(POLL_SECONDS))

    def show(self) -> None:
        """Draw what is in sight, once it was read."""
        if not self.is_mounted or self.follower is None:
            return
        name = self.view_name
        self.say_state()
        picture, had_focus = self.picture(name) if name else None, self._focus_is_due or self.has_focus_within
        sentence = self.query_one("#job-sentence", StatusLine)
        sentence.say(picture.sentence if picture is not None else "")
        sentence.display = bool(picture is not None and picture.sentence)
        figures = None if picture is None or isinstance(picture.shown, View) else picture.shown
        self.set_class(figures is not None, "-plotted")
        if picture is not None and isinstance(picture.shown, View) and picture.shown != self.query_one(BlockView).view:
            self.query_one(BlockView).show(picture.shown)
        if figures is not None:
            self.set_class(len(figures) == 1, "-single")
            for (title, figure), plot in zip(figures.items(), self.query(LinePlot), strict=False):
                plot.border_title = Text(title)
                plot.figure = figure
        if had_focus:
            self.call_after_refresh(self.take_focus)
        self.refresh_bindings()

    on_resize = watch_chosen = show

    def say_state(self) -> None:
        """Show the state of the job, behind the name of the view in sight where there are several."""
        at = f"‹ {visible(self.view_name)} › v · " if len(self.names) > 1 else ""
        self._is_stopping = self._is_stopping and self.is_running
        self.query_one("#job-state", StatusLine).say(at + (self.busy or ("stopping…" if self._is_stopping else self.state())))

    def take_focus(self) -> bool:
        self._focus_is_due = True
        self.query_one(PlotPane if self.has_class("-plotted") else BlockView).focus()
        self.app.call_later(self._focus_has_come)  # behind the focus itself
        return True

    def _focus_has_come(self) -> None:
        self._focus_is_due = False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("start", "delete"):
            is_idle = self.is_settled and not self.is_running
            return is_idle and (action == "start" or (self.follower is not None and self.follower.exists))
        if action == "stop":
            return self.is_running
        return action != "turn" or len(self.names) > 1

    def action_turn(self, by: int) -> None:
        self.chosen = self.names[(self.names.index(self.view_name) + by) % len(self.names)]

    def command(self, words: str, command: Coroutine[Any, Any, object]) -> None:
        """Carry out a command, one at a time."""
        if self.busy:
            command.close()
            return
        self.busy = words
        self.show()
        self._carry_out(command)

    @work(group="job", exit_on_error=True)
    async def _carry_out(self, command: Coroutine[Any, Any, object]) -> None:
        problem = ""
        try:
            await still_wanted(command)
        except UserError as error:
            problem = str(error)
        self.busy = ""
        self.show()
        self.say(problem or self.about, error=bool(problem))

    def action_start(self) -> None:
        self.command("starting…", self._start())

    async def _start(self) -> None:
        """Have this lab let go of the runs that will be replaced, then start the process."""
        await let_go(self.lab, self.made_runs())
        await in_thread(self.start)

    def action_stop(self) -> None:
        assert self.follower is not None
        self._is_stopping = True
        self.command("stopping…", in_thread(self.follower.job.stop))

    def action_delete(self) -> None:
        assert self.follower is not None
        job = self.follower.job

        def answered(yes: bool | None) -> None:
            if yes:
                self.command("deleting…", delete_job(self.lab, job, self.made_runs()))

        self.app.push_screen(deletion_dialog(job, self.made_runs()), answered)


def deletion_dialog(job: Job, runs: Sequence[str]) -> ConfirmDialog:
    """The question whether to delete a job with its runs, which have these names."""
    words = f"Its runs go with it: {', '.join(map(visible, runs))}." if runs else "This cannot be undone."
    return ConfirmDialog(f"Delete the {visible(job.words)}?", words, key="x", yes="delete", no="keep", by_enter=False)


async def delete_job(lab: AppState, job: Job, runs: Sequence[str]) -> None:
    """Stop a job, have this lab's own engines close its runs, which have these names, and delete it with them.

    Raises:
        UserError: if it does not stop, or one of its runs cannot be deleted now.
    """
    await asyncio.to_thread(job.end)
    await let_go(lab, runs)
    try:
        with lab.changing_runs():
            await asyncio.to_thread(job.delete)
            if lab.run_name in runs:
                lab.run_name = next((run.name for run in lab.runs if run.name not in runs), "demo")
    finally:
        lab.post_message(RunsChanged())


async def let_go(lab: AppState, runs: Sequence[str]) -> None:
    """Have this lab's own engines close runs of the home."""
    for name in runs:
        for release in lab.release_run:
            await release(home() / name)
