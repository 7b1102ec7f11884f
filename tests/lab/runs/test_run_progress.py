import pytest
from msgspec.structs import replace

from lab.runs.loss_history import LossHistory
from lab.runs.run_schema import Metric, Status
from lab.runs.run_summary import fraction_done, planned_length, time_left
from tests.lab.runs.made_up_runs import TRAINING, config, history


def test_time_left_follows_from_the_speed() -> None:
    run = config(steps=110, batch=16)
    # 100 steps of 16 windows of 64 tokens at 2,048 tokens a second
    assert time_left(run, TRAINING, history((10, 3.0, None))) == pytest.approx(100 * 16 * 64 / 2048)
    assert time_left(run, TRAINING, LossHistory()) is None
    # 40 steps of half a second, of which the last ten took four seconds more for an evaluation
    slower = LossHistory()
    slower.add(
        Metric(step=step, tokens=0, epoch=0.0, seconds=step / 2 + 4.0 * (step > 30), loss=3.0, tokens_per_second=2048.0)
        for step in range(1, 41)
    )
    often = replace(run, train=replace(run.train, eval_every=20))
    assert time_left(often, TRAINING, slower) == pytest.approx(70 * (20 / 2 + 4) / 20)
    by_minutes = config(steps=None, minutes=2.0)
    assert time_left(by_minutes, Status(phase="training", seconds=30.0), LossHistory()) == pytest.approx(90.0)


def test_progress_is_a_share() -> None:
    assert fraction_done(config(steps=200), Status(phase="training", step=50)) == 0.25
    assert fraction_done(config(steps=None, minutes=1.0), Status(phase="training", seconds=90.0)) == 1.0
    assert fraction_done(config(steps=200), Status(phase="finished", step=200)) == 1.0
    assert planned_length(config(steps=2000)) == "2,000 steps"
    assert planned_length(config(steps=None, minutes=5.0)) == "5 min 00 s"
