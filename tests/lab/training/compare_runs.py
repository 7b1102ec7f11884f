"""Comparison of two runs: numbers of their metrics that no clock changes, and weights, bit for bit; the settings that they follow
from; and a machine that is short of memory."""

from typing import Literal, get_args, get_origin

import pytest
import torch

from lab.core.limits import LIMITS
from lab.planning.settings_table import TYPES
from lab.runs.run_folder import Run
from lab.runs.run_schema import Metric, TrainConfig
from lab.runs.weights_file import load_model
from models.gpt import GPT


def same(metrics: list[Metric]) -> list[tuple[object, ...]]:
    """What of the metrics must not depend on how fast the machine was."""
    return [(m.step, m.tokens, m.epoch, m.loss, m.lr, m.grad_norm, m.val_loss, m.bits_per_byte) for m in metrics]


def weights(run: Run, which: str = "last") -> dict[str, torch.Tensor]:
    return load_model(run, which)[0].state_dict()


def assert_equal_weights(one: Run, other: Run, which: str = "last") -> None:
    first, second = weights(one, which), weights(other, which)
    assert all(torch.equal(first[name], second[name]) for name in first)


def assert_same_run(one: Run, other: Run) -> None:
    assert same(one.metrics().read()) == same(other.metrics().read())
    assert_equal_weights(one, other)


NOT_OF_A_STEP = {
    "steps",
    "minutes",
    "minutes_of_steps",
    "eval_every",
    "patience",
    "average",
    "log_to",
    "prompts",
    "sample_tokens",
} | {*("device", "threads", "precision", "compile", "ranks", "shard_optimizer")}
"""Settings of training that the numbers of a step do not follow from, or only to rounding."""


def settings_of_a_step() -> dict[str, object]:
    """Another value than the default for every setting that a step's numbers follow from: of a choice, or within the limits."""
    found: dict[str, object] = {}
    for name in set(TrainConfig.__struct_fields__) - NOT_OF_A_STEP:
        usual = getattr(TrainConfig(), name)
        choices = next((get_args(each) for each in TYPES[name] if get_origin(each) is Literal), None)
        others = choices or ((2 * usual,) if isinstance(usual, int) else (10 * usual, 0.3))
        found[name] = next(other for other in others if other != usual and (choices or not LIMITS[name].problem(other)))
    return dict(sorted(found.items()))


def short_of_memory(monkeypatch: pytest.MonkeyPatch, most: int, error: Exception) -> list[int]:
    """Has the model fail in training with more than so many windows at once. Gives the sizes it was asked for."""
    loss, sizes = GPT.loss, list[int]()

    def limited(self: GPT, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.training:
            sizes.append(len(ids))
            if len(ids) > most:
                raise error
        return loss(self, ids, targets)

    monkeypatch.setattr(GPT, "loss", limited)
    return sizes
