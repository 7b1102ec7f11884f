"""What makes a step bad: on recorded curves, on noise of known spread, and on real training."""

import math
import random

import msgspec
import pytest

from lab.training.spike_detector import MIN_JUMP, MIN_LOSSES, WINDOW, SpikeDetector
from models.config import uniform_baseline
from tests.fixture_types import TinyRun, TrainHere
from tests.lab.reports.recorded_curves import NAMES, recorded


def bad_steps(name: str) -> list[int]:
    """Up to the first rollback, after which the losses before it count again."""
    run = recorded(name)
    back = next((event.step for event in run.events if event.kind == "back"), math.inf)
    worst = uniform_baseline(run.head.config.model.vocab_size)
    watch = SpikeDetector()
    return [
        metric.step
        for metric in run.metrics
        if metric.lr is not None and metric.step <= back and watch.is_bad(_number(metric.loss), 0.0, worst)
    ]


def _number(loss: float | None) -> float:
    return math.nan if loss is None else loss


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("without-rollback")])
def test_the_bad_steps_of_a_recorded_run_are_those_that_its_trainer_left_out(name: str) -> None:
    events = recorded(name).events
    back = next((event.step for event in events if event.kind == "back"), math.inf)
    assert bad_steps(name) == [event.step for event in events if event.kind == "bad_step" and event.step <= back]


def test_runs_that_go_well_have_no_bad_step() -> None:
    for name in NAMES:
        if name.startswith(("learning", "overfitting", "small", "too-short", "differs", "copied", "lr-too-low")):
            assert bad_steps(name) == [], name


def test_the_steps_of_the_diverged_runs_are_bad() -> None:
    assert bad_steps("diverged-nan-without-rollback") == [2, 3, 4]
    assert len(bad_steps("diverged-without-rollback")) > 30


@pytest.mark.parametrize("context", [4, 16])
def test_no_step_of_ordinary_training_is_bad(context: int, tiny_run: TinyRun, train_here: TrainHere) -> None:
    """At a high rate, with one window a step; also where that has four tokens only, and every one is another's loss."""
    run = tiny_run(steps=150, eval_every=150, context=context, batch=1, lr=0.02)
    assert train_here(run).phase == "finished"
    assert not [event for event in run.events().read() if event.kind in ("bad_step", "back")]


def test_a_spike_is_seven_deviations_above_the_mean_and_a_nat() -> None:
    noise = random.Random(1)
    losses = [3.0 + noise.gauss(0.0, 0.3) for _ in range(WINDOW)]
    mean = sum(losses) / WINDOW
    deviation = math.sqrt(sum((loss - mean) ** 2 for loss in losses) / WINDOW)
    watch = SpikeDetector(losses=losses)
    assert not watch.is_bad(mean + 6.9 * deviation, 1.0, 9.0)
    assert SpikeDetector(losses=losses).is_bad(mean + 7.1 * deviation, 1.0, 9.0)
    memorized = [0.05] * WINDOW
    assert not SpikeDetector(losses=memorized).is_bad(0.04 + MIN_JUMP, 1.0, 9.0)
    assert SpikeDetector(losses=memorized).is_bad(0.06 + MIN_JUMP, 1.0, 9.0)


def test_with_few_losses_only_those_far_above_uniform_and_nan_are_bad() -> None:
    watch = SpikeDetector(losses=[1.0] * (MIN_LOSSES - 1))
    assert not watch.is_bad(8.0, 1.0, 5.0)
    assert SpikeDetector().is_bad(10.1, 1.0, 5.0)
    assert SpikeDetector().is_bad(math.nan, 1.0, 5.0)
    assert SpikeDetector().is_bad(1.0, math.inf, 5.0)


def test_a_large_gradient_alone_is_no_reason() -> None:
    assert not SpikeDetector(losses=[1.0] * WINDOW).is_bad(1.0, 1e6, 5.0)


def test_an_odd_place_of_the_text_is_passed_over_twice_not_for_ever() -> None:
    """Every tenth loss is 4 nats above the rest, which hardly spread."""
    watch = SpikeDetector(losses=[2.0] * WINDOW)
    judged = [watch.is_bad(6.0 if step % 10 == 0 else 2.0, 1.0, 6.0) for step in range(200)]
    assert [step for step, bad in enumerate(judged) if bad] == [0, 10]


def test_what_is_held_while_steps_are_bad_hides_no_further_one() -> None:
    watch = SpikeDetector(losses=[2.0] * WINDOW)
    assert all(watch.is_bad(6.0, 1.0, 6.0) for _ in range(50))
    assert watch.bad == 50
    assert not watch.is_bad(2.0, 1.0, 6.0)
    assert watch.bad == 0
    assert len(watch.losses) == WINDOW


def test_it_is_the_same_after_being_saved() -> None:
    noise = random.Random(2)
    watch = SpikeDetector(losses=[noise.gauss(3.0, 0.1) for _ in range(WINDOW)], held=[9.123456789], bad=1)
    assert msgspec.json.decode(msgspec.json.encode(watch), type=SpikeDetector) == watch
