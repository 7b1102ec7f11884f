"""Length of a run: the learning rate over its steps or minutes, and early stopping, in real training."""

import math
import time
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from lab.core.errors import UserError
from lab.runs.expected_loss_range import ExpectedLoss
from lab.runs.weights_file import load_model
from lab.training import run_length
from lab.training.run_length import lr_of_next_step
from lab.training.start_trainer import start_trainer
from lab.training.trainer_state import TrainerState
from lab.training.training_setup import seconds_since_asked
from models.learning_rate import schedule_factor
from tests.fixture_types import TinyRun, TrainHere


def test_a_run_follows_wsd_by_steps(tiny_run: TinyRun) -> None:
    config = tiny_run(steps=40, schedule="wsd", warmup=0.1, lr=1e-3).config
    rates = [lr_of_next_step(config, TrainerState(precision="fp32"), step, 0.0, 0.0) for step in range(40)]
    assert rates[:4] == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3])
    assert rates[4:32] == [1e-3] * 28
    assert rates[33] == pytest.approx(1e-4 + 9e-4 * (1 - math.sqrt(2 / 8)))
    assert rates[-1] == pytest.approx(1e-4)


@pytest.mark.usefixtures("ticking_clock")
def test_minutes_of_steps_leave_out_evaluations_and_samples(train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_samples(*_: object) -> list[object]:
        for _reading in range(100):
            run_length.time.monotonic()
        return []

    monkeypatch.setattr("lab.training.training_loop.write_samples", slow_samples)
    steps = {}
    for alone in (False, True):
        run = train_tiny(name=f"alone-{alone}", steps=None, minutes=0.005, eval_every=2, minutes_of_steps=alone)
        done = run.status()
        assert done.phase == "finished"
        assert 0.3 <= done.seconds < 0.3 + 0.4
        steps[alone] = done.step
    assert steps[True] > 5 * steps[False]


def test_a_run_planned_on_a_busy_machine_does_not_memorize_its_text_on_a_quick_one(train_tiny: TinyRun) -> None:
    """It was planned with 8 steps, which read the text several times: it ends after 12, its learning rate at its end by then."""
    expected = ExpectedLoss(bits_per_byte=2.0, low=1.8, high=2.2, by_law=2.0, steps=8)
    run = train_tiny(steps=None, minutes=60.0, batch=64, expected=expected, schedule="cosine", lr=1e-3)
    done = run.status()
    assert (done.phase, done.step) == ("finished", 12), done.message
    assert done.message.startswith("Ended after 1.5 times the planned steps: ")
    rates = [metric.lr for metric in run.metrics().read() if metric.lr is not None]
    assert rates[-1] == pytest.approx(1e-4)
    few = train_tiny(name="few", steps=16, batch=64, expected=expected)
    assert few.status().step == 16, "its steps were asked for"


UNDOING = {"eval_every": 3, "lr": 0.3, "warmup": 0.0, "optimizer": "adamw"}
"""A rate that undoes what was learned: from the best on, every evaluation is worse, or no better."""


def test_patience_ends_a_run_and_says_so_and_is_not_forgotten_when_interrupted(tiny_run: TinyRun, train_here: TrainHere) -> None:
    run, broken = (tiny_run(steps=400, patience=3, **UNDOING) for _ in range(2))
    status = train_here(run)
    evaluations = [
        (metric.step, metric.val_loss) for metric in run.metrics().read() if metric.val_loss is not None and metric.step
    ]
    best = min(evaluations, key=lambda each: each[1] or 0.0)
    assert status.phase == "finished"
    assert status.step == best[0] + 3 * 3 == evaluations[-1][0] < 400
    assert status.message == (
        f"Ended early: no better validation loss in 3 evaluations in a row; the best weights are those of step {best[0]}."
    )
    assert [event.step for event in run.events().read() if event.kind == "early_stop"] == [status.step]
    assert load_model(run, "best")[1] == best[0]
    assert load_model(run, "last")[1] == status.step
    assert run.snapshots()[-1].step == status.step
    with pytest.raises(UserError, match=f"has finished its {status.step} steps"):
        start_trainer(run)
    without = tiny_run(steps=status.step + 10, **UNDOING)
    assert train_here(without).step == status.step + 10

    for stop in range(7, status.step, 13):
        assert train_here(broken, until=stop).step == stop
    assert (train_here(broken).step, broken.status().phase) == (status.step, "finished")


@pytest.mark.parametrize(
    ("length", "asked", "counted"),
    [
        ({"minutes": 1.0}, 10.0, 10.0),
        ({"minutes": 1.0}, 40.0, 30.0),  # training has at least half of them
        ({"minutes": 1.0}, 200.0, 0.0),  # started long after it was made
        ({"minutes": 1.0, "minutes_of_steps": True}, 10.0, 0.0),
        ({"steps": 2}, 10.0, 0.0),
    ],
)
def test_the_minutes_of_a_run_begin_when_it_is_asked_for_and_its_warm_up_with_the_first_step(
    tiny_run: TinyRun, length: dict[str, Any], asked: float, counted: float
) -> None:
    config = tiny_run(**({"steps": None} | length)).config
    config = replace(config, created=time.time() - asked)
    assert seconds_since_asked(config) == pytest.approx(counted, abs=0.5)
    state = TrainerState(precision="fp32", seconds=counted, seconds_before=counted or UNSET)
    if "minutes" in length:
        whole = 60 - counted
        for share in (0.0, 0.3, 1.0):
            lr = lr_of_next_step(config, state, 0, counted + share * whole, 0.0)
            train = config.train
            assert lr == pytest.approx(train.lr * schedule_factor(train.schedule, share, train.warmup, train.final_lr))
