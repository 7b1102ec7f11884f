"""Live widget `scaling`: train four sizes for the same minutes, watch their curves fill, and see the fitted lines."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.reactive import var

from lab.core.errors import UserError
from lab.training.scaling.scaling_experiment import ScalingExperiment, start_scaling
from lab.training.scaling.scaling_plan import SIZES, ScalingPlan
from lab.views.screen_state import ScreenState
from screens.about_key import keyless
from screens.background import in_thread, is_working, still_wanted
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine
from screens.learn.live.job_widget import PlotPane, delete_job, deletion_dialog
from screens.learn.live.live_widget import LiveWidget
from screens.learn.live.scaling_snapshot import Snapshot, SnapshotReader, name_to_show
from screens.plot.plot_widget import LinePlot
from screens.widgets.status_line import StatusLine

PICTURES = ("numbers", "compute", "parameters")
TITLES = {
    "compute": "loss over the compute of training: log₁₀ of FLOPs",
    "parameters": "loss over the size of the model: log₁₀ of parameters",
}
"""Titles of the plots, which name their x axes: between the ticks there is not always room."""
KEPT = "scaling"
"""Key of the name of the experiment that is shown: the next step of the lesson shows the same."""
READ_SECONDS = 1.0
"""Time between two readings while the widget is in sight."""
WIDE = 100
"""Columns from which on both plots are side by side."""
BEGUN = ("running", "stopped", "finished")
PHASES = {
    **dict.fromkeys(("start", "guess", "text"), ("none",)),
    "resume": ("stopped",),
    "stop": ("running",),
    **dict.fromkeys(("delete", "view"), BEGUN),
}
"""Phases of the experiment in which an action is possible."""


class ScalingWidget(LiveWidget):
    """Option: the `picture` to begin with once there is one: `compute`, `parameters` or `numbers`."""

    OPTIONS = ("picture",)
    USES_MODEL = False
    HELP = "**Scaling.** The sizes are trained one after the other, in the background; it goes on when you leave."
    DEFAULT_CSS = """
    ScalingWidget {
        & > PlotPane { display: none; height: 1fr; padding: 0 1; }
        & LinePlot { width: 1fr; height: 1fr; border-top: solid $foreground 30%; border-title-color: $foreground 90%; }
        & > BlockView { display: none; height: 1fr; }
        &.-numbers > BlockView { display: block; }
        &.-compute > PlotPane, &.-parameters > PlotPane { display: block; }
        &.-compute #scaling-parameters, &.-parameters #scaling-compute { display: none; }
        &.-wide #scaling-parameters, &.-wide #scaling-compute { display: block; }
        &.-wide #scaling-parameters { margin: 0 0 0 2; }
    }
    """
    BINDINGS = [
        Binding("enter", "start", "Start", id="scaling.start", tooltip="Train the sizes in the background"),
        Binding("enter", "resume", "Go on", id="scaling.resume", tooltip="Go on training where it stopped, in the background"),
        Binding("x", "stop", "Stop", id="scaling.stop", tooltip="Stop and save; enter resumes"),
        keyless("text", "scaling.text", "Train on the text chosen in Data, or on the usual one", "Text"),
        Binding("v", "view(1)", "Next picture", id="scaling.view", tooltip="Loss over compute, over parameters, the numbers"),
        keyless("view(-1)", "scaling.view_back", "The picture before", "Picture before"),
        Binding("e", "guess(1)", "Predict", id="scaling.guess", tooltip="Change your prediction: the size that will be best"),
        keyless("guess(-1)", "scaling.guess_back", "Change your prediction to a smaller size", "Predict less"),
        Binding("right_square_bracket", "run(1)", "Run", id="scaling.run", key_display="[ ]", tooltip="The next run, for i"),
        Binding("left_square_bracket", "run(-1)", "Run back", id="scaling.run_back", show=False, tooltip="The run before, for i"),
        Binding(
            "right_curly_bracket", "other", "Experiment", id="scaling.other", tooltip="Another experiment, of here or a terminal"
        ),
        Binding(
            "x", "delete", "Delete", id="scaling.delete", show=False, tooltip="Delete the experiment and its runs; asks first"
        ),
    ]

    picture: var[str] = var("numbers")
    """The picture in sight, one of `PICTURES`."""
    guess: var[int] = var(0)
    """The size, from 1, that is predicted to be the best; 0 for no prediction."""
    own_text: var[bool] = var(False)
    """True to train on the text chosen in Data."""

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self._focus_is_due = False
        """True while a focus that was asked for has not come yet: the part that it goes to may be hidden before."""
        self._first_picture = self.options.get("picture", PICTURES[1])
        if self._first_picture not in PICTURES:
            raise UserError(f"The option picture is one of {', '.join(PICTURES)}, not {self._first_picture!r}.")
        self.snapshot: Snapshot | None = None
        self.busy = ""
        """The command that is being carried out, in words; empty if there is none."""
        self._snapshots: SnapshotReader | None = None
        self._chosen = ""

    def compose(self) -> ComposeResult:
        yield StatusLine(most_lines=2, id="scaling-state")
        with PlotPane():
            for name, title in TITLES.items():
                plot = LinePlot(id=f"scaling-{name}")
                plot.border_title = title
                yield plot
        yield BlockView(id="scaling-numbers")

    def on_mount(self) -> None:
        self._read()
        self.set_interval(READ_SECONDS, self._read)

    @property
    def is_settled(self) -> bool:
        return self.snapshot is not None and not self.busy

    def take_focus(self) -> bool:
        self._focus_is_due = True
        self.query_one(BlockView if self.picture == "numbers" else PlotPane).focus()
        self.app.call_later(setattr, self, "_focus_is_due", False)  # behind the focus itself
        return True

    def full_screen(self) -> ScreenState | None:
        run = self.run
        return ScreenState(mode="train", run=run) if run else None

    @property
    def run(self) -> str:
        """The run that `i` opens: the chosen one, else the best."""
        names = self.snapshot.names if self.snapshot is not None else ()
        return self._chosen if self._chosen in names else self.snapshot.best if self.snapshot is not None else ""

    def on_resize(self) -> None:
        self.set_class(self.size.width >= WIDE, "-wide")

    def watch_picture(self) -> None:
        for name in PICTURES:
            self.set_class(name == self.picture, f"-{name}")

    def _plan(self) -> ScalingPlan:
        """The plan of a new experiment."""
        guess = self.guess or None
        if self.own_text and self.lab.text_source:
            return ScalingPlan(text=self.lab.text_source, encoding=self.lab.text_encoding or None, guess=guess)
        return ScalingPlan(guess=guess)

    def _read(self) -> None:
        if not is_working(self, "scaling read") and (self.snapshot is None or self.screen.is_current):
            self._read_in_thread(self.engine.kept.get(KEPT, ""))

    @work(group="scaling read")
    async def _read_in_thread(self, asked: str) -> None:
        try:
            new = await in_thread(self._take, asked)
        except UserError as error:
            if not self.busy:  # a deletion takes the files away one by one
                self.say(str(error), error=True)
        else:
            if asked == self.engine.kept.get(KEPT, ""):  # else another was chosen while it was read
                self._show(new)

    def _take(self, asked: str) -> Snapshot:
        name = name_to_show(asked)
        if self._snapshots is None or self._snapshots.name != name:
            self._snapshots = SnapshotReader(
                ScalingExperiment(name), self._plan, self.lesson, shows_recorded="picture" in self.options
            )
        return self._snapshots.take()

    def _show(self, new: Snapshot) -> None:
        before, self.snapshot = self.snapshot, new
        self.engine.kept[KEPT] = new.experiment.name
        self.query_one("#scaling-compute", LinePlot).figure = new.compute
        self.query_one("#scaling-parameters", LinePlot).figure = new.parameters
        numbers = self.query_one(BlockView)
        if numbers.view != new.view:
            numbers.show(new.view)
        self._say_state()
        if new.unkept and (before is None or before.unkept != new.unkept):
            self.notify(new.unkept, severity="error", markup=False)
        if before is None or before.progress.phase != new.progress.phase:
            # Lead to the picture of the lesson where anything has been trained when it opens, else to the numbers.
            if new.progress.phase == "none" and not new.is_recorded:
                self._show_picture(PICTURES[0])
            elif before is None and (new.names or new.is_recorded):
                self._show_picture(self._first_picture)
            self.refresh_bindings()
            self.say("")

    def _say_state(self) -> None:
        if self.snapshot is not None:
            problem = self.snapshot.progress.problem
            opens = f" i opens {self.run}." if self.run else ""
            then = " enter goes on, x deletes it." if self.phase == "stopped" else ""
            then += f" }} shows {self.snapshot.others[0]}." if self.check_action("other", ()) else ""
            words = self.busy or problem or f"{self.snapshot.words}{then}{opens}"
            self.query_one("#scaling-state", StatusLine).say(words, error=bool(problem and not self.busy))

    def action_other(self) -> None:
        """Show the next experiment; until it is read, no key acts on one."""
        assert self.snapshot is not None
        self.engine.kept[KEPT], self.snapshot = self.snapshot.others[0], None
        self._read()

    def _command(self, words: str, command: Coroutine[None, None, None]) -> None:
        """Carry out a command, one at a time."""
        if self.busy:
            command.close()
            return
        self.busy = words
        self._say_state()
        self.refresh_bindings()
        self._carry_out(command)

    @work(group="scaling command")
    async def _carry_out(self, command: Coroutine[None, None, None]) -> None:
        problem = ""
        try:
            await still_wanted(command)
        except UserError as error:
            problem = str(error)
        self.busy = ""
        self.refresh_bindings()
        self._say_state()
        self.say(problem, error=bool(problem))
        if not problem:
            self._read()

    @property
    def phase(self) -> str:
        """The experiment's phase; empty while it is not known."""
        return self.snapshot.progress.phase if self.snapshot is not None else ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in PHASES and self.phase not in PHASES[action]:
            return False
        if action in ("start", "resume", "stop", "guess", "text", "delete"):
            return not self.busy and (action != "text" or bool(self.lab.text_source))
        if action == "other":
            return not self.busy and self.snapshot is not None and bool(self.snapshot.others)
        return action != "run" or (self.snapshot is not None and bool(self.snapshot.names))

    def action_start(self) -> None:
        assert self.snapshot is not None
        plan = self._plan() if self.phase == "none" else None
        self._command("Starting…", asyncio.to_thread(start_scaling, self.snapshot.experiment, plan))

    action_resume = action_start

    def action_stop(self) -> None:
        assert self.snapshot is not None
        self._command("Stopping, and saving the run in training…", asyncio.to_thread(self.snapshot.experiment.end))

    def action_delete(self) -> None:
        assert self.snapshot is not None
        experiment, names = self.snapshot.experiment, self.snapshot.names
        self.app.push_screen(deletion_dialog(experiment, names), lambda yes: self._delete(experiment, names) if yes else None)

    def _delete(self, experiment: ScalingExperiment, names: tuple[str, ...]) -> None:
        if not self.busy:
            self._command("Deleting…", delete_job(self.lab, experiment, names))

    def action_text(self) -> None:
        self.own_text = not self.own_text
        self._read()

    def action_view(self, by: int) -> None:
        pictures = PICTURES[:2] if self.has_class("-wide") else PICTURES
        at = pictures.index(self.picture) if self.picture in pictures else 0
        self._show_picture(pictures[(at + by) % len(pictures)])

    def _show_picture(self, picture: str) -> None:
        had_focus = self._focus_is_due or self.has_focus_within
        self.picture = picture
        if had_focus:
            self.call_after_refresh(self.take_focus)

    def action_guess(self, by: int) -> None:
        self.guess = (self.guess + by) % (len(SIZES) + 1)
        self._read()

    def action_run(self, by: int) -> None:
        assert self.snapshot is not None
        names = self.snapshot.names
        self._chosen = names[((names.index(self.run) if self.run in names else -by) + by) % len(names)]
        self._say_state()
