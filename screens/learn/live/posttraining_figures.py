"""Curves of a post-training: the loss of fine-tuning, reward and exact answers, KL, and the loss on ordinary stories."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.core.number_format import duration
from lab.core.visible_text import visible
from lab.training.posttraining.posttraining_record import MODELS, Model, PosttrainingHistory, PosttrainSettings, Round, tuned_name
from lab.training.posttraining.posttraining_views import NAMES
from lab.views.blocks import Paragraph, View
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


def reward_figure(history: PosttrainingHistory, model: Model) -> Figure:
    """Shares of the sampled answers that are rewarded and that are exact, by round, of one policy."""
    rounds = history.rounds.get(model, [])
    series = (
        _series("rewarded", "train", rounds, lambda line: line.reward),
        _series("exact", "validation", rounds, lambda line: line.exact, dashes=DASHES),
    )
    return Figure(series, (_time(history), model, len(rounds)), x_label="round", y_window=(0.0, 1.0), empty="No rounds yet.")


def _time(history: PosttrainingHistory) -> float:
    """The time when it was started, which tells one post-training from another."""
    return history.started.time if history.started is not None else 0.0


def rounds_figure(history: PosttrainingHistory, name: str, value: Callable[[Round], float | None]) -> Figure:
    """One measure by round, with the penalty and without."""
    kept, free = history.rounds.get("rl", []), history.rounds.get("rl-free", [])
    series = (
        _series(NAMES["rl"].removeprefix("RL, "), "train", kept, value),
        _series(NAMES["rl-free"].removeprefix("RL, "), "validation", free, value, dashes=DASHES),
    )
    return Figure(series, (_time(history), name, len(kept), len(free)), x_label="round", empty="No rounds yet.")


def _series(
    name: str,
    role: str,
    rounds: Sequence[Round],
    value: Callable[[Round], float | None],
    dashes: tuple[int, int] | None = None,
) -> Series:
    points = [(line.round, found) for line in rounds if (found := value(line)) is not None]
    return Series(name, name, "line", role, [x for x, _ in points], [y for _, y in points], dashes=dashes)
