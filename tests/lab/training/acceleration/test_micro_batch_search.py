"""The micro-batch of a run that begins on a GPU, tried with an allocator that refuses, and with a described card."""

from collections.abc import Callable

import pytest
import torch

from lab.core.errors import is_out_of_memory
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from lab.training import training_loop
from lab.training.acceleration.prepare_steps import (
    MemoryUse,
    find_micro_batches,
    later_bytes,
    micro_batches_that_fit,
    try_windows,
)
from models.config import PRESETS
from models.gpt import GPT

pytestmark = pytest.mark.usefixtures("one_core")
GB = 1 << 30


@pytest.mark.parametrize(
    ("batch", "most", "tried", "parts"),
    [
        (16, 100, [1, 2, 4, 8, 16], 1),
        (16, 5, [1, 2, 4, 8], 4),
        (12, 12, [1, 2, 4, 8, 12], 1),
        (12, 9, [1, 2, 4, 8, 12], 2),
        (480, 12, [1, 2, 4, 8, 16], 60),
        (1, 1, [1], 1),
        (7, 0, [1], 7),
    ],
)
def test_the_largest_micro_batch_is_found_by_doubling(batch: int, most: int, tried: list[int], parts: int) -> None:
    asked = list[int]()

    def fits(windows: int) -> bool:
        asked.append(windows)
        return windows <= most

    assert micro_batches_that_fit(batch, fits) == parts
    assert asked == tried


def test_a_margin_and_what_later_steps_hold_must_fit_too() -> None:
    gpt2 = later_bytes(PRESETS["gpt2"].config(50257))
    assert gpt2 == 5 * 4 * 124_439_808
    assert MemoryUse(peak=11 * GB, reserved=12 * GB, free=3 * GB).has_room(2 * GB)
    assert not MemoryUse(peak=11 * GB, reserved=12 * GB, free=3 * GB).has_room(3 * GB)
    assert not MemoryUse(peak=11 * GB, reserved=12 * GB, free=0).has_room(0), "others hold the rest of the card"


def refusing(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """An allocator that has no room for more than so many windows at once in training. Gives the sizes it was asked for."""
    loss, sizes = GPT.loss, list[int]()

    def limited(self: GPT, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.training:
            sizes.append(len(ids))
            if len(ids) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return loss(self, ids, targets)

    monkeypatch.setattr(GPT, "loss", limited)
    return sizes


def test_a_run_is_computed_in_what_fits_and_resumes_so(
    tiny_run: Callable[..., Run], train_here: Callable[..., Status], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = training_loop.prepare_steps

    def on_a_gpu(setup: object, gradient: object, clock: object, logs: object, *, alone: bool) -> None:
        """The search of a card, on this CPU."""
        prepare(setup, gradient, clock, logs, alone=alone)  # type: ignore[arg-type]
        if setup.loaded is None:  # type: ignore[attr-defined]
            fits = lambda windows: try_windows(gradient.try_out, windows, setup.device)  # type: ignore[attr-defined] # noqa: E731
            find_micro_batches(setup, gradient, fits, logs)  # type: ignore[arg-type]

    monkeypatch.setattr(training_loop, "prepare_steps", on_a_gpu)
    settings = {"batch": 7, "steps": 3, "eval_every": 100, "dropout": 0.0, "precision": "fp32"}
    asked, run = tiny_run(**settings, accumulate=4), tiny_run(**settings)
    train_here(asked)
    sizes = refusing(monkeypatch, 3)
    assert train_here(run, until=1).phase == "stopped"
    assert sizes == [1, 2, 4, 2, 2, 2, 1]
    sizes.clear()
    assert train_here(run).phase == "finished"
    assert sizes == [2, 2, 2, 1] * 2
    (said,) = [event for event in run.events().read() if event.kind == "micro_batch"]
    assert said.step == 0
    assert said.text == (
        "A step of 7 windows is computed in 4 parts of 2 windows: more would not fit into the GPU's memory with room to spare."
    )
    assert [metric.loss for metric in run.metrics().read()] == [metric.loss for metric in asked.metrics().read()]


def test_an_attempt_that_fails_for_another_reason_is_not_hidden() -> None:
    def attempt(windows: int) -> None:
        raise RuntimeError("expected scalar type Long")

    with pytest.raises(RuntimeError, match="expected scalar type Long"):
        try_windows(attempt, 1, torch.device("cpu"))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
