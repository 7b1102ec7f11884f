"""Live widget `scaling`: train four sizes for the same minutes, watch their curves fill, and see the fitted lines."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from textual.binding import Binding
from textual.reactive import var

from lab.core.errors import UserError
from lab.training.scaling.scaling_experiment import ScalingExperiment, start_scaling
from lab.training.scaling.scaling_plan import SIZES, ScalingPlan
from lab.views.screen_state import ScreenState
from screens.about_key import keyless
from screens.learn.learn_page import LearnEngine
from screens.learn.live.job_widget import JobWidget, Picture
from screens.learn.live.scaling_follower import ScalingFollower, Snapshot, name_to_show
from screens.widgets.status_line import StatusLine

PICTURES = ("numbers", "compute", "parameters")
TITLES = {
    "compute": "loss over the compute of training: log₁₀ of FLOPs",
    "parameters": "loss over the size of the model: log₁₀ of parameters",
}
"""Titles of the plots, which name their x axes: between the ticks there is not always room."""
KEPT = "scaling"
"""Key of the name of the experiment that is shown: the next step of the lesson shows the same."""
WIDE = 100
"""Columns from which on both plots are side by side."""
BEGUN = ("running", "stopped", "finished")
PHASES = {
    **dict.fromkeys(("start", "guess", "text"), ("none",)),
    "resume": ("stopped",),
    "stop": ("running",),
    **dict.fromkeys(("delete", "turn"), BEGUN),
}
"""Phases of the experiment in which an action is possible."""


class ScalingWidget(JobWidget, inherit_bindings=False):
    """Option: the `picture` to begin with once there is one: `compute`, `parameters` or `numbers`."""

    OPTIONS = ("picture",)
    USES_MODEL = False
    HELP = "**Scaling.** The sizes are trained one after the other, in the background; it goes on when you leave."
    DEFAULT_CSS = """
    ScalingWidget {
        & > PlotPane { padding: 0 1; }
        & > PlotPane > LinePlot { padding: 0; }
        & #job-right { margin: 0 0 0 2; }
    }
    """
    BINDINGS = [
        Binding("enter", "start", "Start", id="scaling.start", tooltip="Train the sizes in the background"),
        Binding("enter", "resume", "Go on", id="scaling.resume", tooltip="Go on training where it stopped, in the background"),
        Binding("x", "stop", "Stop", id="scaling.stop", tooltip="Stop and save; enter resumes"),
        keyless("text", "scaling.text", "Train on the text chosen in Data, or on the usual one", "Text"),
        Binding("v", "turn(1)", "Next picture", id="scaling.view", tooltip="Loss over compute, over parameters, the numbers"),
        keyless("turn(-1)", "scaling.view_back", "The picture before", "Picture before"),
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

    guess: var[int] = var(0)
    """The size, from 1, that is predicted to be the best; 0 for no prediction."""
    own_text: var[bool] = var(False)
    """True to train on the text chosen in Data."""

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self._first_picture = self.options.get("picture", PICTURES[1])
        if self._first_picture not in PICTURES:
            raise UserError(f"The option picture is one of {', '.join(PICTURES)}, not {self._first_picture!r}.")
        self.follower: ScalingFollower | None = None
        self._shown: Snapshot | None = None
        """The snapshot in sight."""
        self._chosen_run = ""

    def on_mount(self) -> None:
        self.follow()

    def find(self) -> ScalingFollower:
        name = name_to_show(self.engine.kept.get(KEPT, ""))
        return ScalingFollower(ScalingExperiment(name), self._plan, self.lesson, shows_recorded="picture" in self.options)

    @property
    def snapshot(self) -> Snapshot | None:
        """The experiment as it was read last; None while it is not known."""
        return self.follower.snapshot if self.follower is not None else None

    def full_screen(self) -> ScreenState | None:
        run = self.run
        return ScreenState(mode="train", run=run) if run else None

    @property
    def run(self) -> str:
        """The run that `i` opens: the chosen one, else the best."""
        names = self.snapshot.names if self.snapshot is not None else ()
        return self._chosen_run if self._chosen_run in names else self.snapshot.best if self.snapshot is not None else ""

    @property
    def names(self) -> Sequence[str]:
        """The pictures; where both plots are side by side, one of them stands for both."""
        return (PICTURES[0], self.chosen if self.chosen in TITLES else PICTURES[1]) if self.size.width >= WIDE else PICTURES

    def picture(self, name: str) -> Picture | None:
        if (new := self.snapshot) is None:
            return None
        figures = {TITLES["compute"]: new.compute, TITLES["parameters"]: new.parameters}
        if name == PICTURES[0]:
            return Picture(new.view)
        return Picture(figures if self.size.width >= WIDE else {TITLES[name]: figures[TITLES[name]]})

    def _plan(self) -> ScalingPlan:
        """The plan of a new experiment."""
        guess = self.guess or None
        if self.own_text and self.lab.text_source:
            return ScalingPlan(text=self.lab.text_source, encoding=self.lab.text_encoding or None, guess=guess)
        return ScalingPlan(guess=guess)

    def show(self) -> None:
        """Lead to the picture of the lesson where anything has been trained when it opens, else to the numbers."""
        before, new = self._shown, self.snapshot
        if self.follower is not None and new is not None and new is not before:
            self._shown, self.engine.kept[KEPT] = new, self.follower.name
            if new.unkept and (before is None or before.unkept != new.unkept):
                self.notify(new.unkept, severity="error", markup=False)
            if before is None or before.progress.phase != new.progress.phase:
                if new.progress.phase == "none" and not new.is_recorded:
                    self.chosen = PICTURES[0]
                elif before is None and (new.names or new.is_recorded):
                    self.chosen = self._first_picture
                self.say("")
        super().show()
        if self.follower is not None and self.follower.problem and not self.busy:  # a deletion takes the files away one by one
            self.say(self.follower.problem, error=True)

    def say_state(self) -> None:
        if self.snapshot is not None:
            problem = self.snapshot.progress.problem
            opens = f" i opens {self.run}." if self.run else ""
            then = " enter goes on, x deletes it." if self.phase == "stopped" else ""
            then += f" }} shows {self.snapshot.others[0]}." if self.check_action("other", ()) else ""
            words = self.busy.capitalize() or problem or f"{self.snapshot.words}{then}{opens}"
            self.query_one("#job-state", StatusLine).say(words, error=bool(problem and not self.busy))

    def action_other(self) -> None:
        """Show the next experiment; until it is read, no key acts on one."""
        assert self.snapshot is not None
        self.engine.kept[KEPT], self.follower, self._shown = self.snapshot.others[0], None, None
        self.follow()

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
        assert self.follower is not None
        plan = self._plan() if self.phase == "none" else None
        self.command("starting…", asyncio.to_thread(start_scaling, self.follower.experiment, plan))

    action_resume = action_start

    def action_stop(self) -> None:
        assert self.follower is not None
        self.command("stopping, and saving the run in training…", asyncio.to_thread(self.follower.job.end))

    def action_text(self) -> None:
        self.own_text = not self.own_text
        self.follow()

    def action_guess(self, by: int) -> None:
        self.guess = (self.guess + by) % (len(SIZES) + 1)
        self.follow()

    def action_run(self, by: int) -> None:
        assert self.snapshot is not None
        names = self.snapshot.names
        self._chosen_run = names[((names.index(self.run) if self.run in names else -by) + by) % len(names)]
        self.say_state()
