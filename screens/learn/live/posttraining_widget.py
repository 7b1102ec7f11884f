"""Live widget `posttraining`: fine-tune the model at hand, reinforce it, and compare what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.reactive import var

from lab.core.errors import UserError
from lab.core.number_format import date_and_time, duration
from lab.core.visible_text import visible
from lab.runs.home_folder import home
from lab.runs.run_folder import Run
from lab.training.posttraining.posttraining_history import PosttrainingFollower, PosttrainingHistory, recorded_history
from lab.training.posttraining.posttraining_process import settle_if_idle, start_posttraining, stop_posttraining
from lab.training.posttraining.posttraining_schema import MODELS, Model, PosttrainSettings
from lab.training.posttraining.posttraining_views import (
    NAMES,
    comparison_view,
    examples_view,
    pairs_view,
    rounds_sentence,
    sft_view,
)
from lab.training.posttraining.work_folder import WorkFolder, suitable_base, tuned_name
from lab.views.blocks import View
from lab.views.screen_state import ScreenState
from screens.about_key import keyless
from screens.background import in_thread, still_wanted
from screens.blocks.block_view import BlockView
from screens.learn.learn_engine import LearnEngine
from screens.learn.live.live_widget import LiveWidget, ModelAtHand
from screens.learn.live.posttraining_figures import loss_figure, plan_view, reward_figure, rounds_figure
from screens.plot.figure import Figure
from screens.plot.line_plot import LinePlot
from screens.widgets.status_line import StatusLine

VIEWS = ("plan", "pairs", "loss", "reward", "kl", "comparison")
"""What can be shown, in the order in which it comes about."""
DEMO = "demo"
"""The base of the recorded post-training."""
POLL_SECONDS = 0.5
"""Time between two looks at the progress: a round takes longer."""
PLOTTED = ("loss", "reward", "kl")


class PosttrainingWidget(LiveWidget):
    """Option: `view`, one of `VIEWS`, to begin with. Without one it follows the post-training."""

    OPTIONS = ("view",)
    HELP = "**Post-training.** Started here, it goes on while you are elsewhere."
    DEFAULT_CSS = """
    PosttrainingWidget {
        & > Horizontal { height: 1fr; display: none; }
        & > Horizontal > LinePlot { width: 1fr; border-top: solid $foreground 30%; padding: 0 1; }
        & > Horizontal > LinePlot { border-title-color: $foreground 90%; }
        & > #posttraining-sentence { display: none; }
        & > BlockView { height: 1fr; }
        &.-plotted > Horizontal, &.-plotted > #posttraining-sentence { display: block; }
        &.-plotted > BlockView { display: none; }
        &.-single #posttraining-right { display: none; }
    }
    """
    BINDINGS = [
        Binding("r", "start", "Start", id="posttraining.start", tooltip="Start the post-training in the background"),
        Binding("r", "restart", "Start again", id="posttraining.restart", tooltip="Start it again, in place of its result"),
        Binding("x", "stop", "Stop", id="posttraining.stop", tooltip="Stop the post-training"),
        Binding("v", "turn(1)", "Next view", id="posttraining.view", tooltip="Questions, curves, comparison"),
        keyless("turn(-1)", "posttraining.view_back", "The view before", "View before"),
        Binding("right_square_bracket,left_square_bracket", "model", "Model", id="posttraining.model", tooltip="Another model"),
    ]

    chosen: var[str] = var("")
    """The view that the user chose; "" to follow the post-training."""
    opens: var[Model | None] = var[Model | None](None)
    """The model that `i` opens; None for the last one that there is."""

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        view = self.options.get("view", "")
        if view and view not in VIEWS:
            raise UserError(f"The option view of the live widget posttraining is one of {', '.join(VIEWS)}, not {view!r}.")
        self.set_reactive(PosttrainingWidget.chosen, view)
        self._base: Run | None = None
        self._reason = ""
        self._follower: PosttrainingFollower | None = None
        self._is_starting = False

    def compose(self) -> ComposeResult:
        yield StatusLine(most_lines=2, id="posttraining-state")
        yield StatusLine(most_lines=3, id="posttraining-sentence")
        with Horizontal():
            yield LinePlot(id="posttraining-left")
            yield LinePlot(id="posttraining-right")
        yield BlockView(id="posttraining-view")

    @property
    def is_settled(self) -> bool:
        return self._follower is not None and not self._is_starting

    @property
    def history(self) -> PosttrainingHistory:
        return self._follower.history if self._follower is not None else PosttrainingHistory()

    @property
    def shown(self) -> PosttrainingHistory:
        """The history in sight: the recorded one until a post-training of the demo here has something for the view."""
        own, name = self.history, self.view_name
        parts = {"loss": own.sft, "reward": own.rounds, "kl": own.rounds, "comparison": own.evaluations}
        is_of_demo = self._base is not None and self._base.name == DEMO
        return recorded_history() if is_of_demo and name in parts and not parts[name] else own

    @property
    def is_running(self) -> bool:
        return self._follower is not None and self._follower.is_running

    def show_model(self, model: ModelAtHand) -> None:
        self._follow(model.run)

    @work(exclusive=True, group="follow", exit_on_error=True)
    async def _follow(self, name: str) -> None:
        """Find the run, then read its progress for as long as the widget is there."""
        try:
            base, self._reason = await in_thread(suitable_base, name, home())
            follower = PosttrainingFollower(WorkFolder(base.name, home()))
            await in_thread(settle_if_idle, follower.folder)
        except UserError as error:
            self.say(str(error))  # no error of the learner's: there is no run for it here
            return
        await in_thread(follower.read)
        self._base, self._follower = base, follower
        self.stand_in = base.name if base.name != name else ""
        self.say(self._reason)
        while True:
            self._show()
            await still_wanted(asyncio.sleep(POLL_SECONDS))
            while not await in_thread(follower.read):
                await still_wanted(asyncio.sleep(POLL_SECONDS))

    @property
    def view_name(self) -> str:
        """The view in sight: the chosen one, else the one that belongs to the stage."""
        if self.chosen:
            return self.chosen
        stage = self._follower.stage if self._follower is not None else "none"
        return {"starting": "pairs", "fine-tuning": "loss", "reinforcing": "reward", "finished": "comparison"}.get(stage, "plan")

    def _show(self) -> None:
        """Draw what is in sight, and what is said of the state."""
        name = self.view_name
        self.query_one("#posttraining-state", StatusLine).say(self._state_sentence())
        self.set_class(name in PLOTTED, "-plotted")
        self.set_class(name == "loss", "-single")
        if name in PLOTTED:
            self._plot(name)
        else:
            self.query_one(BlockView).show(self._view(name))
        self.refresh_bindings()

    def _view(self, name: str) -> View:
        if name == "pairs":
            return pairs_view(self.history) if self.history.started is not None else examples_view()
        if name == "plan":
            base = self._base.name if self._base is not None else "the run"
            return plan_view(base, self.history, is_running=self.is_running)
        return comparison_view(self.shown, self.content_size.width - self.query_one(BlockView).gutter.width - 1)

    def _plot(self, name: str) -> None:
        history = self.shown
        figures: dict[str, tuple[tuple[str, Figure], ...]] = {
            "loss": (("fine-tuning", loss_figure(history)),),
            "reward": (
                ("with the KL penalty", reward_figure(history, "rl")),
                ("without a penalty", reward_figure(history, "rl-free")),
            ),
            "kl": (
                ("KL from SFT (nats)", rounds_figure(history, "kl", lambda line: line.kl)),
                ("loss on stories (nats)", rounds_figure(history, "stories", lambda line: line.story_loss)),
            ),
        }
        for (title, figure), side in zip(figures[name], ("left", "right"), strict=False):
            plot = self.query_one(f"#posttraining-{side}", LinePlot)
            plot.border_title = Text(title)
            plot.figure = figure
        kept, free = history.rounds.get("rl", []), history.rounds.get("rl-free", [])
        sentence = sft_view(history).sentence if name == "loss" else rounds_sentence(kept, free) if kept else ""
        self.query_one("#posttraining-sentence", StatusLine).say(sentence)

    def _state_sentence(self) -> str:
        follower = self._follower
        if follower is None or self._base is None:
            return ""
        if self._is_starting:
            return "starting…"
        stage, history, at = follower.stage, self.history, f"‹ {self.view_name} › v · "
        if self.shown is recorded_history():
            at += f"{_recorded_words()} · "
        if stage == "none":
            return f"{at}r runs it here" if self.shown is recorded_history() else f"{at}not started: r starts it"
        if stage == "starting":
            return f"{at}{'drawing questions' if history.started is None else 'evaluating the base model'}…"
        if stage == "fine-tuning":
            step = history.sft[-1] if history.sft else None
            return f"{at}SFT step {step.step}/{step.steps}" if step else f"{at}SFT begins"
        if stage == "reinforcing":
            lines = history.rounds.get("rl-free", []) or history.rounds.get("rl", [])
            line = lines[-1] if lines else None
            left = history.seconds_left()
            words = f"{NAMES[line.model]}: round {line.round}/{line.rounds}" if line is not None else "RL begins"
            return f"{at}{words}" + (f" · {duration(left)} left" if left is not None else "")
        model = self._model_to_open()
        opens = f" · i opens {visible(history.saved[model])}, ] another" if model else ""
        if stage == "finished":
            return f"{at}finished{opens}"
        reason = history.ended.message if history.ended is not None else "Its process is gone."
        return f"{at}{reason} r starts it again{opens}"

    def _model_to_open(self) -> Model | None:
        saved = self.history.saved
        if self.opens is not None and self.opens in saved:
            return self.opens
        return "rl" if "rl" in saved else "sft" if "sft" in saved else None

    def full_screen(self) -> ScreenState | None:
        """Inspect, at the attention of the last position of a held-out question, in the last layer of a model that was made."""
        model, started = self._model_to_open(), self.history.started
        if model is None or started is None or not started.questions or self._base is None:
            return None
        return ScreenState(
            mode="inspect",
            run=self.history.saved[model],
            prompt=started.questions[0].prompt,
            stage="scores",
            layer=self._base.config.model.layers - 1,
            head=0,
        )

    def take_focus(self) -> bool:
        self.can_focus = True
        self.focus()
        return True

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("start", "restart"):
            is_first = self.history.started is None
            return self._base is not None and not self.is_running and not self._is_starting and is_first == (action == "start")
        if action == "stop":
            return self.is_running
        return action != "model" or bool(self.history.saved)

    def action_turn(self, by: int) -> None:
        self.chosen = VIEWS[(VIEWS.index(self.view_name) + by) % len(VIEWS)]

    def action_model(self) -> None:
        saved = [model for model in MODELS if model in self.history.saved]
        current = self._model_to_open()
        self.opens = saved[(saved.index(current) + 1) % len(saved)] if current in saved else saved[0]

    def _show_if_ready(self) -> None:
        if self.is_mounted and self._follower is not None:
            self._show()

    on_resize = watch_chosen = watch_opens = _show_if_ready

    def action_start(self) -> None:
        if self._base is not None:
            self._is_starting = True
            self._show_if_ready()
            self._start(self._base)

    action_restart = action_start

    @work(exclusive=True, group="start", exit_on_error=True)
    async def _start(self, base: Run) -> None:
        """Have this lab let go of the runs that will be replaced, then start the process."""
        try:
            for model in MODELS[1:]:
                for release in self.lab.release_run:
                    await release(home() / tuned_name(base.name, model))
            await asyncio.to_thread(start_posttraining, base, home(), PosttrainSettings())
        except UserError as error:
            self.say(str(error), error=True)
        finally:
            self._is_starting = False
        self.chosen, self.opens = "", None
        self._show_if_ready()

    @work(exclusive=True, group="start", exit_on_error=True)
    async def action_stop(self) -> None:
        if self._follower is not None:
            await asyncio.to_thread(stop_posttraining, self._follower.folder)


def _recorded_words() -> str:
    recorded = recorded_history()
    begun, started, ended = recorded.begun, recorded.started, recorded.ended
    if begun is None or started is None or ended is None:
        raise AssertionError("the recorded post-training is whole")
    return f"{DEMO}, recorded on {begun.host}, {date_and_time(started.time)[:10]}, in {duration(ended.seconds)}"
