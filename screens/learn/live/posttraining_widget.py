"""Live widget `posttraining`: fine-tune the model at hand, reinforce it, and compare what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from textual.binding import Binding
from textual.reactive import var

from lab.core.errors import UserError
from lab.core.number_format import date_and_time, duration
from lab.core.visible_text import visible
from lab.runs.home_folder import home
from lab.runs.run_folder import Run
from lab.training.posttraining.posttraining_job import PosttrainingJob, start_posttraining, suitable_base
from lab.training.posttraining.posttraining_record import (
    MODELS,
    Model,
    PosttrainingFollower,
    PosttrainingHistory,
    PosttrainSettings,
    Round,
    recorded_histories,
    tuned_name,
)
from lab.training.posttraining.posttraining_views import (
    NAMES,
    comparison_view,
    examples_view,
    pairs_view,
    rounds_sentence,
    sft_view,
)
from lab.views.blocks import Paragraph, View
from lab.views.screen_state import ScreenState
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine
from screens.learn.live.job_widget import JobWidget, Picture
from screens.learn.live.live_widget import ModelAtHand
from screens.plot.figure import Figure, Series


def plan_view(base: str, history: PosttrainingHistory, *, is_running: bool) -> View:
    """The plan of a post-training of `base` beside an earlier one, where `history` has one."""
    settings, base = PosttrainSettings(), visible(base)
    names = ", ".join(tuned_name(base, model) for model in MODELS[1:])
    earlier = history.ended
    took = f" The last one took {duration(earlier.seconds)}." if earlier is not None and earlier.is_finished else ""
    again = "" if is_running or history.started is None else " Another start replaces them when it has finished."
    blocks = [
        Paragraph(
            f"1. SFT: {settings.epochs} passes over {settings.pairs} questions with answers. 2. RL: {settings.rounds} rounds "
            f"with the KL penalty. 3. The same without it. {base} stays as it is; the three models become runs: {names}."
        ),
        Paragraph(
            f"It takes some minutes on one core, at low priority; after {duration(settings.seconds)} it makes do with fewer "
            f"rounds.{took}{again}"
        ),
    ]
    return View("plan", "the plan", "", list(blocks))


DASHES = (2, 2)


def loss_figure(history: PosttrainingHistory) -> Figure:
    """Loss on the answers, by step of fine-tuning."""
    steps = history.sft
    series = Series("loss on the answers", "loss", "line", "train", [step.step for step in steps], [step.loss for step in steps])
    return Figure((series,), (_time(history), "loss", len(steps)), x_label="step", log_y=True, empty="No steps yet.")


def _time(history: PosttrainingHistory) -> float:
    """The time when it was started, which tells one post-training from another."""
    return history.started.time if history.started is not None else 0.0


ROUNDS_A_DOT = 10
Measured = Callable[[Round], float | None]
Curves = Mapping[str, tuple[Model, Measured]]
"""Two curves by their names, each a measure of the rounds of a model."""


def rounds_figure(
    history: PosttrainingHistory,
    seeds: Sequence[PosttrainingHistory],
    name: str,
    curves: Curves,
    y_window: tuple[float, float] | None = None,
) -> Figure:
    """Measures by round, the second one dashed; of recorded seeds every `ROUNDS_A_DOT`th round as a dot."""
    series, dots = list[Series](), list[Series]()
    for (words, (model, value)), role, dashes in zip(curves.items(), ("train", "validation"), (None, DASHES), strict=True):
        series.append(Series(words, words, "line", role, *_points(history, model, value), dashes=dashes))
        of_seeds = (_points(seed, model, value, ROUNDS_A_DOT) for seed in seeds)
        dots += [Series(words, words, "dots", role, *points, in_legend=False) for points in of_seeds]
    version = (_time(history), name, *(len(history.rounds.get(model, [])) for model, _ in curves.values()))
    return Figure((*series, *dots), version, x_label="round", y_window=y_window, empty="No rounds yet.")


def _points(history: PosttrainingHistory, model: Model, value: Measured, every: int = 1) -> tuple[list[float], list[float]]:
    rounds = history.rounds.get(model, [])
    points = [(line.round, found) for line in rounds if line.round % every == 0 and (found := value(line)) is not None]
    return [x for x, _ in points], [y for _, y in points]


VIEWS = ("plan", "pairs", "loss", "reward", "kl", "comparison")
"""What can be shown, in the order in which it comes about."""
DEMO = "demo"
"""The base of the recorded post-training."""


class PosttrainingWidget(JobWidget):
    """Option: `view`, one of `VIEWS`, to begin with. Without one it follows the post-training."""

    OPTIONS = ("view",)
    names = VIEWS
    HELP = "**Post-training.** Started here, it goes on while you are elsewhere."
    BINDINGS = [
        Binding("right_square_bracket,left_square_bracket", "model", "Model", id="posttraining.model", tooltip="Another model"),
    ]

    opens: var[Model | None] = var[Model | None](None)
    """The model that `i` opens; None for the last one that there is."""

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        if self.chosen not in ("", *VIEWS):
            raise UserError(f"The option view of the live widget posttraining is one of {', '.join(VIEWS)}, not {self.chosen!r}.")
        self._run = ""
        self._base: Run | None = None
        self._posttraining: PosttrainingFollower | None = None

    @property
    def history(self) -> PosttrainingHistory:
        return self._posttraining.history if self._posttraining is not None else PosttrainingHistory()

    @property
    def shown(self) -> PosttrainingHistory:
        """The history in sight: the recorded one until a post-training of the demo here has something for the view."""
        own, name = self.history, self.view_name
        parts = {"loss": own.sft, "reward": own.rounds, "kl": own.rounds, "comparison": own.evaluations}
        return recorded_histories()[0] if self._is_of_demo and name in parts and not parts[name] else own

    @property
    def _is_of_demo(self) -> bool:
        return self._base is not None and self._base.name == DEMO

    @property
    def _seeds(self) -> tuple[PosttrainingHistory, ...]:
        """The recorded post-trainings to compare with: those of the same base."""
        return recorded_histories() if self._is_of_demo else ()

    def show_model(self, model: ModelAtHand) -> None:
        self._run = model.run
        self.follow()

    def find(self) -> PosttrainingFollower:
        self._base, self.about = suitable_base(self._run, home())
        self.stand_in = self._base.name if self._base.name != self._run else ""
        self._posttraining = PosttrainingFollower(PosttrainingJob(self._base.name, home()))
        return self._posttraining

    def start(self) -> None:
        assert self._base is not None
        started = [each.started for each in (*self._seeds, self.history) if each.started is not None]
        seed = 1 + max((each.settings.seed for each in started), default=0)
        start_posttraining(self._base, home(), PosttrainSettings(seed=seed))

    def action_start(self) -> None:
        self.chosen, self.opens = "", None
        super().action_start()

    def made_runs(self) -> list[str]:
        base = self._base.name if self._base is not None else DEMO
        names = {*(tuned_name(base, model) for model in MODELS[1:]), *self.history.saved.values()}
        return sorted(names & {run.name for run in self.lab.runs})

    @property
    def view_name(self) -> str:
        """The view in sight: the chosen one, else the one that belongs to the stage."""
        stage = self._posttraining.stage if self._posttraining is not None else "none"
        of_stage = {"starting": "pairs", "fine-tuning": "loss", "reinforcing": "reward", "finished": "comparison"}
        return self.chosen or of_stage.get(stage, "plan")

    def picture(self, name: str) -> Picture:
        history = self.shown
        if name == "pairs":
            return Picture(pairs_view(self.history) if self.history.started is not None else examples_view())
        if name == "plan":
            base = self._base.name if self._base is not None else "the run"
            return Picture(plan_view(base, self.history, is_running=self.is_running))
        if name == "comparison":
            width = self.content_size.width - self.query_one(BlockView).gutter.width - 1
            return Picture(comparison_view(history, width, self._seeds))
        if name == "loss":
            return Picture({"fine-tuning": loss_figure(history)}, sft_view(history).sentence)
        kept, free = history.rounds.get("rl", []), history.rounds.get("rl-free", [])
        sentence = rounds_sentence(kept, free) if kept else ""
        if name == "reward":
            titles: dict[str, Model] = {"with the KL penalty": "rl", "without a penalty": "rl-free"}
            figures = {}
            for title, model in titles.items():
                curves: Curves = {"rewarded": (model, lambda line: line.reward), "exact": (model, lambda line: line.exact)}
                figures[title] = rounds_figure(history, self._seeds, model, curves, (0.0, 1.0))
            return Picture(figures, sentence)
        measures: dict[str, Measured] = {
            "KL from SFT (nats)": lambda line: line.kl,
            "loss on stories (nats)": lambda line: line.story_loss,
        }
        kinds: tuple[Model, ...] = ("rl", "rl-free")
        models = {NAMES[model].removeprefix("RL, "): model for model in kinds}
        figures = {
            title: rounds_figure(history, self._seeds, title, {words: (model, value) for words, model in models.items()})
            for title, value in measures.items()
        }
        return Picture(figures, sentence)

    def state(self) -> str:
        follower, history = self._posttraining, self.history
        if follower is None:
            return ""
        stage, recorded = follower.stage, f"{_recorded_words()} · " if self.shown is recorded_histories()[0] else ""
        if stage == "none":
            return f"{recorded}r runs it here" if recorded else "not started: r starts it"
        if stage == "starting":
            return f"{recorded}{'drawing questions' if history.started is None else 'evaluating the base model'}…"
        if stage == "fine-tuning":
            step = history.sft[-1] if history.sft else None
            return recorded + (f"SFT step {step.step}/{step.steps}" if step else "SFT begins")
        if stage == "reinforcing":
            lines = history.rounds.get("rl-free", []) or history.rounds.get("rl", [])
            left = history.seconds_left()
            words = f"{NAMES[lines[-1].model]}: round {lines[-1].round}/{lines[-1].rounds}" if lines else "RL begins"
            return f"{recorded}{words}" + (f" · {duration(left)} left" if left is not None else "")
        model = self._model_to_open()
        keys = " · x deletes it" + (f", i opens {visible(history.saved[model])}, ] another" if model else "")
        return f"{recorded}{'finished' if stage == 'finished' else f'{visible(follower.reason)} r starts it again'}{keys}"

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.history.saved) if action == "model" else super().check_action(action, parameters)

    def action_model(self) -> None:
        saved = [model for model in MODELS if model in self.history.saved]
        current = self._model_to_open()
        self.opens = saved[(saved.index(current) + 1) % len(saved)] if current in saved else saved[0]

    watch_opens = JobWidget.show


def _recorded_words() -> str:
    first, *_ = seeds = recorded_histories()
    if first.begun is None or first.started is None or first.ended is None:
        raise AssertionError("the recorded post-training is whole")
    day, took = date_and_time(first.started.time)[:10], duration(first.ended.seconds)
    return f"{DEMO}, seed 1 of {len(seeds)} recorded on {first.begun.host}, {day}, in {took}; dots and ranges: all {len(seeds)}"
