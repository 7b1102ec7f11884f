"""Curves of a post-training: the loss of fine-tuning, reward and exact answers, KL, and the loss on ordinary stories."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.posttraining.history import PosttrainingHistory
from lab.posttraining.progress_log import Model, Round
from lab.posttraining.reading import NAMES
from screens.plot.figure import Figure, Series

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
    return Figure(
        series,
        (_time(history), model, len(rounds)),
        x_label="round",
        y_window=(0.0, 1.0),
        empty="No rounds yet.",
    )


def kl_figure(history: PosttrainingHistory) -> Figure:
    """KL divergence from the fine-tuned model, by round, with the penalty and without."""
    return _both(history, "kl", lambda line: line.kl)


def story_figure(history: PosttrainingHistory) -> Figure:
    """Loss on ordinary stories, by round, with the penalty and without."""
    return _both(history, "stories", lambda line: line.story_loss)


def _time(history: PosttrainingHistory) -> float:
    """The time when it was started, which tells one post-training from another."""
    return history.started.time if history.started is not None else 0.0


def _both(history: PosttrainingHistory, name: str, value: Callable[[Round], float | None]) -> Figure:
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
