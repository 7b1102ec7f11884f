"""The average of the latest weights: its closed form, what is evaluated and kept, and a run that is interrupted."""

import pytest
import torch

from lab.planning.device import check_ranks
from lab.planning.settings_table import SettingError
from lab.runs.run_schema import TrainConfig
from lab.training.model_as_trained import ModelAsTrained
from lab.training.weight_average import EVERY, WeightAverage
from models.config import ModelConfig
from tests.fixture_types import TinyRun, TrainHere
from tests.lab.planning.planned_runs import MACHINE
from tests.lab.training.compare_runs import assert_same_run, weights
from tests.lab.training.test_evaluation import mean_loss

pytestmark = pytest.mark.usefixtures("one_core")

SHAPE = ModelConfig(layers=1, heads=1, width=8, context=4, vocab_size=10)
SHARE = 0.5


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_average_is_that_of_its_formula_and_the_weights_come_back(optimizer: str) -> None:
    """a ← a + (w − a) · 4 / (share · step), every fourth step, and w itself while that is above 1."""
    trained = ModelAsTrained(SHAPE, TrainConfig(average=SHARE, optimizer=optimizer), seed=1)  # type: ignore[arg-type]
    average = WeightAverage(trained)
    ids = torch.arange(8).reshape(2, 4)
    expected: dict[str, torch.Tensor] = {}
    for step in range(1, 25):
        trained.optimizer.zero_grad()
        trained.model.loss(ids, ids + 1).backward()  # type: ignore[no-untyped-call]
        trained.optimizer.step()
        average.update(step)
        if step % EVERY == 0:
            for name, weight in trained.model.state_dict().items():
                before = expected.get(name, weight)
                expected[name] = before + (weight - before) * min(1.0, EVERY / (SHARE * step))
    latest = {name: weight.clone() for name, weight in trained.model.state_dict().items()}

    def holds(values: dict[str, torch.Tensor]) -> bool:
        return all(torch.allclose(weight, values[name], atol=1e-6) for name, weight in trained.model.state_dict().items())

    assert not holds(expected)
    with average.shown():
        assert holds(expected)
        with average.shown(is_shown=False):
            assert holds(latest)
        assert holds(expected)
    with pytest.raises(KeyError), average.shown():
        raise KeyError
    assert holds(latest)


def test_what_is_evaluated_and_kept_is_the_average_and_what_is_resumed_the_last_weights(train_tiny: TinyRun) -> None:
    run = train_tiny(average=SHARE, precision="fp32")
    plain = train_tiny(precision="fp32")
    status, last = run.status(), run.last_metric()
    assert last is not None
    assert status.best_step == last.step == 30
    assert status.final is not None
    assert (last.val_loss, status.final.val_loss) == pytest.approx((mean_loss(run, run.config.data.evaluated, "best")[0],) * 2)
    assert all(torch.equal(weight, weights(plain)[name]) for name, weight in weights(run).items()), "training goes as without it"
    assert not all(torch.equal(weight, weights(run, "best")[name]) for name, weight in weights(run).items())
    assert "average of the weights over the latest 50%" in status.computed


def test_an_interrupted_run_keeps_the_same_average(tiny_run: TinyRun, train_here: TrainHere) -> None:
    straight, broken = tiny_run(average=SHARE), tiny_run(average=SHARE)
    train_here(straight)
    for stop in (6, 13, 20):
        train_here(broken, until=stop)
    train_here(broken)
    assert_same_run(straight, broken)
    assert all(torch.equal(weight, weights(broken, "best")[name]) for name, weight in weights(straight, "best").items())


def test_one_process_alone_averages() -> None:
    with pytest.raises(SettingError, match="by one process alone"):
        check_ranks(TrainConfig(average=SHARE, device="cpu"), 2, MACHINE)
