import pytest

from lab.runs.loss_history import LossHistory
from lab.runs.run_progress import fraction_done, planned_length, time_left
from lab.runs.run_schema import Status
from tests.lab.runs.made_up_runs import TRAINING, config, history


def test_time_left_follows_from_the_speed() -> None:
    run = config(steps=110, batch=16)
    # 100 steps of 16 windows of 64 tokens at 2,048 tokens a second
    assert time_left(run, TRAINING, history((10, 3.0, None))) == pytest.approx(100 * 16 * 64 / 2048)
    assert time_left(run, TRAINING, LossHistory()) is None
    by_minutes = config(steps=None, minutes=2.0)
    assert time_left(by_minutes, Status(phase="training", seconds=30.0), LossHistory()) == pytest.approx(90.0)


def test_progress_is_a_share() -> None:
    assert fraction_done(config(steps=200), Status(phase="training", step=50)) == 0.25
    assert fraction_done(config(steps=None, minutes=1.0), Status(phase="training", seconds=90.0)) == 1.0
    assert fraction_done(config(steps=200), Status(phase="finished", step=200)) == 1.0
    assert planned_length(config(steps=2000)) == "2,000 steps"
    assert planned_length(config(steps=None, minutes=5.0)) == "5 min 00 s"
