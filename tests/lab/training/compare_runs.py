"""Comparison of two runs: numbers of their metrics that no clock changes, and weights, bit for bit."""

import torch

from lab.runs.run_folder import Run
from lab.runs.run_schema import Metric
from lab.runs.weights_file import load_model


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
