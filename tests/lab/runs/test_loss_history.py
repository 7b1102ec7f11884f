import math

import numpy as np
import pytest

from lab.runs.loss_history import LONGEST_SMOOTHING, SMOOTHED_SHARE, SPEED_STEPS, LossHistory
from lab.runs.run_schema import Metric


def metric(step: int, loss: float | None = None, val_loss: float | None = None) -> Metric:
    return Metric(step=step, tokens=step * 8, epoch=step / 10, seconds=float(step), loss=loss, val_loss=val_loss)


def test_history_keeps_the_latest_of_each_kind_and_the_best_evaluation() -> None:
    history = LossHistory()
    assert not history.add([])
    assert history.add([metric(0, None, 7.0), metric(1, 6.0), metric(2, 5.0, 4.0), metric(3, 4.5), metric(4, None, 4.2)])
    assert (history.latest, history.last_training, history.last_evaluation, history.best_evaluation) == (
        metric(4, None, 4.2),
        metric(3, 4.5),
        metric(4, None, 4.2),
        metric(2, 5.0, 4.0),
    )
    assert list(history.steps) == [1, 2, 3]
    assert list(history.eval_steps) == [0, 2, 4]
    before = history.version
    history.add([metric(5, 4.0)])
    assert history.version > before
    history.clear()
    assert not history.steps
    assert history.best_evaluation is None


def test_the_speed_is_a_mean_that_one_slow_step_does_not_upset() -> None:
    history = LossHistory()
    assert history.speed is None
    history.add([metric(0, None, 3.0)])
    assert history.speed is None
    fast = Metric(step=1, tokens=0, epoch=0.0, seconds=0.0, loss=3.0, tokens_per_second=1000.0)
    history.add([fast] * 30)
    assert history.speed == pytest.approx(1000.0)
    history.add([Metric(step=2, tokens=0, epoch=0.0, seconds=0.0, loss=3.0, tokens_per_second=100.0)])
    assert history.speed == pytest.approx(1000.0 - 900.0 / SPEED_STEPS)


def test_columns_of_a_step_go_together_and_what_is_missing_is_no_number() -> None:
    history = LossHistory()
    history.add([metric(0, None, 7.0), Metric(step=1, tokens=8, epoch=0.1, seconds=2.5, loss=3.0, lr=0.5), metric(2, 1.0)])
    assert list(history.seconds) == [2.5, 2.0]
    assert history.lrs[0] == 0.5
    assert math.isnan(history.lrs[1])
    assert all(math.isnan(norm) for norm in history.grad_norms)
    assert history.lowest_smooth == 1.0


@pytest.mark.parametrize("at_once", [1, 7, 3000])
def test_the_running_mean_does_not_depend_on_how_the_lines_arrive(at_once: int) -> None:
    losses = np.random.default_rng(1).normal(3.0, 1.0, 6000).tolist()
    for share, longest in ((SMOOTHED_SHARE, LONGEST_SMOOTHING), (1 / 5, 1000), (1 / 100, 20)):
        history = LossHistory()
        for start in range(0, 6000, at_once):
            part = losses[start : start + at_once]
            history.add([Metric(step=start + at, tokens=0, epoch=0.0, seconds=0.0, loss=loss) for at, loss in enumerate(part, 1)])
            if at_once > 1:
                history.smoothed(share, longest)
        mean, expected = 0.0, []
        for number, loss in enumerate(losses, 1):
            mean += (loss - mean) / min(max(1.0, number * share), longest)
            expected.append(mean)
        np.testing.assert_allclose(history.smoothed(share, longest).values, expected, rtol=1e-9)
