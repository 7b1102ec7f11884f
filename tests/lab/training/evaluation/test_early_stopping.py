"""Early stopping in real training."""

import pytest

from lab.core.errors import UserError
from lab.runs.weights_file import load_model
from lab.training.start_trainer import start_trainer
from tests.fixture_types import TinyRun, TrainHere


def test_patience_ends_a_run_and_says_so(tiny_run: TinyRun, train_here: TrainHere) -> None:
    """A rate that undoes what was learned: from the best on, every evaluation is worse, or no better."""
    run = tiny_run(steps=400, eval_every=5, patience=3, lr=0.3, warmup=0.0, optimizer="adamw")
    status = train_here(run)
    evaluations = [
        (metric.step, metric.val_loss) for metric in run.metrics().read() if metric.val_loss is not None and metric.step
    ]
    best = min(evaluations, key=lambda each: each[1] or 0.0)
    assert status.phase == "finished"
    assert status.step == best[0] + 3 * 5 == evaluations[-1][0] < 400
    assert status.message == (
        f"Ended early: no better validation loss in 3 evaluations in a row; the best weights are those of step {best[0]}."
    )
    assert [event.step for event in run.events().read() if event.kind == "early_stop"] == [status.step]
    assert load_model(run, "best")[1] == best[0]
    assert load_model(run, "last")[1] == status.step
    assert run.snapshots()[-1].step == status.step
    with pytest.raises(UserError, match=f"has finished its {status.step} steps"):
        start_trainer(run)
    without = tiny_run(steps=status.step + 10, eval_every=5, lr=0.3, warmup=0.0, optimizer="adamw")
    assert train_here(without).step == status.step + 10


def test_patience_is_not_forgotten_when_interrupted(tiny_run: TinyRun, train_here: TrainHere) -> None:
    settings = {"steps": 400, "eval_every": 5, "patience": 4, "lr": 0.3, "warmup": 0.0, "optimizer": "adamw"}
    straight, broken = tiny_run(**settings), tiny_run(**settings)
    end = train_here(straight).step
    for stop in range(7, end, 13):
        assert train_here(broken, until=stop).step == stop
    assert train_here(broken).step == end
    assert broken.status().phase == "finished"
