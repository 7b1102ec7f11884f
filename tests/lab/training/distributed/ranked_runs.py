"""Runs that ranks train: their settings, and what is waited for and compared."""

import time
from collections.abc import Callable

import pytest

from lab.runs.run_folder import Run

PLAIN = {"precision": "fp32", "attention": "plain", "dropout": 0.0, "batch": 5, "sample_tokens": 2}
"""So that one rank and two compute the same; five windows are two on rank 0 and three on rank 1."""

PATIENCE = 240.0


def wait_for(what: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.01)


def reached(run: Run, step: int) -> bool:
    assert run.status().phase != "failed", run.log_path.read_text()
    last = run.last_metric()
    return last is not None and last.step >= step


def losses(run: Run) -> list[tuple[int, float | None, float | None]]:
    return [(metric.step, metric.loss, metric.val_loss) for metric in run.metrics().read()]


def assert_close(one: Run, other: Run, steps: int) -> None:
    """The same losses to rounding; metrics.jsonl has five decimal places."""
    first, second = losses(one)[: steps + 1], losses(other)[: steps + 1]
    assert len(first) == len(second) == steps + 1
    for (step, loss, val_loss), (other_step, other_loss, other_val_loss) in zip(first, second, strict=True):
        assert step == other_step
        assert loss == pytest.approx(other_loss, abs=1e-4), step
        assert val_loss == pytest.approx(other_val_loss, abs=1e-4), step
