"""Preparing for a GPU: the micro-batch that fits, batches copied ahead, and the meter of its use."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from lab.runs.schema_parts import GpuUse, describe_gpu
from lab.training import training_loop
from lab.training.compute_setup import GPU_SECONDS, GpuMeter, meter_of
from lab.training.gradient_accumulation import (
    BatchFeed,
    GradientAccumulator,
    find_micro_batches,
    has_room,
    later_bytes,
    micro_batches_that_fit,
)
from lab.training.training_setup import set_up_training
from models.config import PRESETS
from models.parameter_count import flops_per_token
from screens.train.run_header import computed_sentence
from tests.lab.training.compare_runs import short_of_memory

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
    assert has_room(11 * GB, 15 * GB, 2 * GB)
    assert not has_room(11 * GB, 15 * GB, 3 * GB)
    assert not has_room(11 * GB, 12 * GB, 0), "others hold the rest of the card"


def test_a_run_is_computed_in_what_fits_and_resumes_so(
    tiny_run: Callable[..., Run], train_here: Callable[..., Status], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = training_loop.prepare_steps

    def on_a_gpu(setup: object, gradient: object, clock: object, logs: object, *, alone: bool) -> None:
        """The search of a card, on this CPU."""
        prepare(setup, gradient, clock, logs, alone=alone)  # type: ignore[arg-type]
        if setup.loaded is None:  # type: ignore[attr-defined]
            find_micro_batches(setup, gradient, logs)  # type: ignore[arg-type]

    monkeypatch.setattr(training_loop, "prepare_steps", on_a_gpu)
    settings = {"batch": 7, "steps": 3, "eval_every": 100, "dropout": 0.0, "precision": "fp32"}
    asked, run = tiny_run(**settings, accumulate=4), tiny_run(**settings)
    train_here(asked)
    sizes = short_of_memory(monkeypatch, 3, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."))
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


def test_an_attempt_that_fails_for_another_reason_is_not_hidden(
    tiny_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = set_up_training(tiny_run())
    gradient = GradientAccumulator(setup.trained, setup.batches, setup.state, nullcontext)
    short_of_memory(monkeypatch, 0, RuntimeError("expected scalar type Long"))
    with pytest.raises(RuntimeError, match="expected scalar type Long"):
        gradient.fits(1)


CPU = torch.device("cpu")


class Numbered:
    """The batch of a step holds its number."""

    def __init__(self) -> None:
        self.read = list[int]()

    def at(self, step: int) -> tuple[Any, Any]:
        self.read.append(step)
        return np.full((2, 3), step), np.full((2, 3), step + 1)


@pytest.fixture
def feed() -> tuple[BatchFeed, Numbered]:
    """One that reads ahead, as beside a GPU."""
    numbered = Numbered()
    batches = BatchFeed(numbered, CPU)  # type: ignore[arg-type]
    batches.reads_ahead = True
    return batches, numbered


Feed = tuple[BatchFeed, Numbered]


def test_each_step_has_its_own_batch_which_is_read_once_and_before_it(feed: Feed) -> None:
    batches, numbered = feed
    for step in range(3):
        ids, targets = batches.at(step)
        assert (int(ids[0, 0]), int(targets[1, 2])) == (step, step + 1)
        batches.prepare(step + 1)
        batches.prepare(step + 1)
    assert numbered.read == [0, 1, 2, 3]


def test_a_step_begun_anew_or_another_than_was_prepared_has_the_right_batch(feed: Feed) -> None:
    batches, numbered = feed
    batches.at(5)
    batches.prepare(6)
    assert int(batches.at(5)[0][0, 0]) == 5
    assert int(batches.at(6)[0][0, 0]) == 6
    assert numbered.read == [5, 6, 5, 6]


def test_on_a_cpu_nothing_is_prepared_or_copied() -> None:
    kept = np.arange(6).reshape(2, 3)

    class Same:
        def at(self, step: int) -> tuple[Any, Any]:
            return kept, kept

    batches = BatchFeed(Same(), CPU)
    batches.prepare(1)
    assert batches.at(0)[0].data_ptr() == kept.ctypes.data


GPT2 = PRESETS["gpt2"].config(50257)
CARD = "NVIDIA A100-SXM4-40GB"


def test_it_is_measured_at_a_modest_pace() -> None:
    times = iter([0.0, 0.5, GPU_SECONDS, GPU_SECONDS + 0.1])
    reads = iter([(10, 40, None), (20, 40, 0.97)])
    meter = GpuMeter(CARD, GPT2, "bf16", lambda: next(reads), lambda: next(times))
    speed = 0.4 * 312e12 / flops_per_token(GPT2)
    assert meter.measure(speed) == GpuUse(memory=10, total=40, mfu=0.4)
    assert meter.measure(speed) is None
    assert meter.measure(speed / 2) == GpuUse(memory=20, total=40, busy=0.97, mfu=0.2)
    assert meter.measure(speed) is None
    assert GpuMeter("another", GPT2, "bf16", lambda: (1, 2, None)).measure(1e5) == GpuUse(memory=1, total=2), "no known peak"
    assert meter_of(torch.device("cpu"), GPT2, "fp32").measure(1e5) is None


def test_it_is_told_in_one_line() -> None:
    use = GpuUse(memory=34_100_000_000, total=80_000_000_000, busy=0.97, mfu=0.412)
    assert describe_gpu(use) == "GPU memory 34.1 GB of 80.0 GB, busy 97%, MFU 41%"
    assert describe_gpu(GpuUse(memory=1000, total=2000)) == "GPU memory 1.0 kB of 2.0 kB"
    status = Status(phase="training", computed="bf16, for the tensor cores of it", gpu=use)
    assert computed_sentence(status) == f"Steps run in bf16, for the tensor cores of it. {describe_gpu(use)}."
    assert msgspec.json.decode(msgspec.json.encode(status), type=Status) == status


@pytest.mark.parametrize("spoiled", ['"memory":-1,"total":2', '"memory":1,"total":2,"mfu":1e9', '"memory":1,"total":2,"busy":-1'])
def test_what_a_folder_says_is_bounded(spoiled: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(f'{{"phase":"training","gpu":{{{spoiled}}}}}', type=Status)
