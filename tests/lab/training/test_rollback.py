"""Bad steps: which are, and the way back from them."""

import math
import random
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file

from lab.runs.run_folder import Run
from lab.runs.weights_file import OPTIMIZER_PREFIX, load_model
from lab.training.distributed.one_rank import OneRank
from lab.training.rollback import MAX_HALVINGS
from lab.training.trainer_state import MIN_JUMP, MIN_LOSSES, WINDOW, SpikeDetector
from models.config import uniform_baseline
from models.gpt import GPT
from tests.fixture_types import TinyRun, TrainHere
from tests.lab.analysis.recorded_curves import NAMES, recorded
from tests.lab.conftest import make_shared_run, train_in_process
from tests.lab.training.compare_runs import assert_same_run

WILD = {"lr": 3.0, "optimizer": "adamw", "warmup": 0.0, "steps": 40, "precision": "fp32"}


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose learning rate is far too high, trained to its end."""
    run = make_shared_run(tmp_path_factory.mktemp("wild"), **WILD)
    assert train_in_process(run).phase == "finished"
    return run


def backs(run: Run) -> list[int]:
    return [event.step for event in run.events().read() if event.kind == "back"]


def assert_every_file_is_finite(run: Run) -> None:
    for file in run.checkpoints():
        assert all(bool(torch.isfinite(weight).all()) for weight in load_model(run, file.name)[0].state_dict().values()), file


def test_an_absurd_rate_is_halved_until_it_learns(wild: Run) -> None:
    times = len(backs(wild))
    assert 1 <= times < MAX_HALVINGS
    factor = 1 / 2**times
    metrics = wild.metrics().read()
    assert [m.step for m in metrics] == list(range(41)), "no step twice, and none missing"
    assert metrics[-1].lr == pytest.approx(0.1 * 3.0 * factor)
    assert metrics[-1].val_loss is not None
    assert metrics[-1].val_loss < math.log(256)
    assert f"the learning rate is 1/{2**times} of the chosen one, {3.0 * factor:.2g} at its peak." in wild.status().message
    first = next(event for event in wild.events().read() if event.kind == "back")
    assert first.text.startswith(
        f"Rolled back from step {first.step} to the weights of step 0, because the loss was NaN, infinite or"
    )
    bad = [event for event in wild.events().read() if event.kind == "bad_step"]
    assert len(bad) >= 3 * times
    assert "so its update was not applied" in bad[0].text
    assert_every_file_is_finite(wild)


def test_interrupted_anywhere_around_it_nothing_changes(wild: Run, tiny_run: TinyRun, train_here: TrainHere) -> None:
    """Also between bad steps, and right after going back: the good state is in the checkpoint then, and so are rate and count."""
    broken = tiny_run(**WILD)
    for stop in (2, 3, 4, 5, 9, 12, 30):
        assert train_here(broken, until=stop).step == stop
    status = train_here(broken)
    assert status.phase == "finished"
    assert backs(broken) == backs(wild)
    assert_same_run(broken, wild)
    assert (status.best_val_loss, status.best_step) == (wild.status().best_val_loss, wild.status().best_step)


def spoil(monkeypatch: pytest.MonkeyPatch, is_bad: Callable[[int], bool]) -> list[dict[str, torch.Tensor]]:
    """Make the loss of some steps, counted from 1, NaN. Returns the weights before each step."""
    loss, before = GPT.loss, list[dict[str, torch.Tensor]]()

    def spoiled(self: GPT, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return loss(self, ids, targets)
        before.append({name: weight.detach().clone() for name, weight in self.named_parameters()})
        return loss(self, ids, targets) * (math.nan if is_bad(len(before)) else 1.0)

    monkeypatch.setattr(GPT, "loss", spoiled)
    return before


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def optimizer_state(run: Run) -> dict[str, torch.Tensor]:
    every = load_file(run.path / "last.safetensors")
    return {name: tensor for name, tensor in every.items() if name.startswith(OPTIMIZER_PREFIX)}


def test_a_rollback_restores_the_weights_and_the_optimizer_of_the_last_state_kept(
    tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.training.rollback.KEEP_STATE_EVERY", 10)
    then, run = (tiny_run(steps=22, eval_every=100) for _ in range(2))
    train_here(then, until=10)
    before = spoil(monkeypatch, lambda step: step in (16, 17, 18))
    train_here(run, until=18)
    assert equal(optimizer_state(run), optimizer_state(then))
    assert optimizer_state(run).keys() == optimizer_state(then).keys() != set()
    assert train_here(run).phase == "finished"
    assert backs(run) == [18]
    assert equal(before[15], before[16])
    assert equal(before[15], before[17])
    assert not equal(before[14], before[15])
    assert equal(before[18], before[10]), "the 19th step begins where the 11th did"
    metrics = run.metrics().read()
    assert [m.step for m in metrics if m.step and m.loss is None] == [16, 17, 18]
    assert_every_file_is_finite(run)


def test_it_gives_up_in_a_sentence_when_halving_does_not_help(train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, lambda step: step > 5)
    run = train_tiny(steps=100)
    status = run.status()
    assert status.phase == "failed"
    assert len(backs(run)) == MAX_HALVINGS
    assert f"the learning rate was halved {MAX_HALVINGS} times" in status.message
    assert "start a new run with a lower one, such as " in status.message
    assert_every_file_is_finite(run)


def test_a_good_stretch_makes_the_next_time_the_first(train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """One time more than it may go back in a row."""
    monkeypatch.setattr("lab.training.rollback.RECENT_STEPS", 6)
    every = 12
    spoil(monkeypatch, lambda step: step % every in (every - 3, every - 2, every - 1))
    run = train_tiny(steps=(MAX_HALVINGS + 1) * every, eval_every=10_000, layers=1, width=8)
    assert run.status().phase == "finished", run.status().message
    assert len(backs(run)) == MAX_HALVINGS + 1


def test_weights_that_are_nan_are_never_saved(tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are ruined by the tenth step, after which it is told to end."""
    step, calls = torch.optim.AdamW.step, 0

    def ruin(self: torch.optim.AdamW, *arguments: object) -> object:
        nonlocal calls
        calls += 1
        done = step(self, *arguments)
        if calls == 10:
            self.param_groups[0]["params"][0].data[255] = math.inf
        return done

    run = tiny_run(steps=30, optimizer="adamw")
    monkeypatch.setattr(torch.optim.AdamW, "step", ruin)
    assert train_here(run, until=10).phase == "stopped"
    assert backs(run) == [10]
    assert_every_file_is_finite(run)
    assert train_here(run).phase == "finished"
    assert backs(run) == [10]
    assert_every_file_is_finite(run)


def test_the_next_steps_are_careful_once_more_is_kept_and_a_copy_without_memory_is_tried_at_the_usual_steps_only(
    tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first state has weights only, that of step 10 the optimizer's state, too, and that of step 20 is no larger."""
    monkeypatch.setattr("lab.training.rollback.KEEP_STATE_EVERY", 10)
    run = tiny_run(steps=25, eval_every=1000)
    careful: list[int] = []
    monkeypatch.setattr(OneRank, "make_retryable", lambda ranks: careful.append(len(run.metrics().read())))
    assert train_here(run).phase == "finished"
    assert careful == [1, 11], "lines in metrics.jsonl, that of step 0 among them"

    without_memory, tries = tiny_run(steps=15, eval_every=1000), list[int]()

    def fail(*arguments: object) -> None:
        tries.append(len(without_memory.metrics().read()))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("lab.training.rollback.optimizer_tensors", fail)
    assert train_here(without_memory).phase == "finished"
    assert tries == [1, 11]


def bad_steps(name: str) -> tuple[list[int], list[int]]:
    """Those found bad and those left out, up to the first rollback, after which the losses before it count again."""
    run = recorded(name)
    back = next((event.step for event in run.events if event.kind == "back"), math.inf)
    worst = uniform_baseline(run.head.config.model.vocab_size)
    watch = SpikeDetector()
    found = [
        metric.step
        for metric in run.metrics
        if metric.lr is not None
        and metric.step <= back
        and watch.is_bad(math.nan if metric.loss is None else metric.loss, 0.0, worst)
    ]
    return found, [event.step for event in run.events if event.kind == "bad_step" and event.step <= back]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("without-rollback")])
def test_the_bad_steps_of_a_recorded_run_are_those_that_its_trainer_left_out(name: str) -> None:
    found, left_out = bad_steps(name)
    assert found == left_out
    if name.startswith(("learning", "overfitting", "small", "too-short", "differs", "copied", "lr-too-low")):
        assert left_out == [], "a run that goes well"


def test_the_steps_of_the_diverged_runs_are_bad() -> None:
    assert bad_steps("diverged-nan-without-rollback")[0] == [2, 3, 4]
    assert len(bad_steps("diverged-without-rollback")[0]) > 30


def test_no_step_of_ordinary_training_is_bad(train_tiny: TinyRun) -> None:
    """At a high rate, with one window a step, which has four tokens only, and every one is another's loss."""
    run = train_tiny(steps=90, eval_every=90, context=4, batch=1, lr=0.02)
    assert run.phase() == "finished"
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


@pytest.mark.parametrize(
    ("losses", "loss", "grad_norm", "is_bad"),
    [
        ([1.0] * (MIN_LOSSES - 1), 8.0, 1.0, False),
        ([], 10.1, 1.0, True),
        ([], math.nan, 1.0, True),
        ([], 1.0, math.inf, True),
        ([1.0] * WINDOW, 1.0, 1e6, False),
    ],
    ids=["few losses", "far above uniform", "NaN", "infinite gradient", "large gradient alone"],
)
def test_without_a_spike_only_what_is_far_above_uniform_or_no_number_is_bad(
    losses: list[float], loss: float, grad_norm: float, is_bad: bool
) -> None:
    assert SpikeDetector(losses=losses).is_bad(loss, grad_norm, 5.0) == is_bad


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
