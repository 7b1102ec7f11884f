"""Steps in parts: the same update as in one, and fewer windows at once where memory does not suffice, tried with a real limit."""

import os
import resource
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from lab.core.errors import UserError, is_out_of_memory
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from lab.runs.weights_file import load_model
from lab.training.distributed.one_rank import OneRank
from lab.training.gradient_accumulation import GradientAccumulator
from lab.training.status_file import StatusBoard
from lab.training.stop_signals import StopSignals
from lab.training.training_loop import Training
from lab.training.training_setup import set_up_training
from tests.fixture_types import TinyRun, TrainHere
from tests.lab.conftest import make_shared_run, train_in_process
from tests.lab.training.compare_runs import assert_equal_weights, short_of_memory
from tests.lab.training.module_forker import ModuleForker


def test_a_step_in_parts_is_the_step(train_tiny: TinyRun) -> None:
    """But for the order of additions; the parts of seven windows are of different sizes."""
    settings = {"batch": 7, "steps": 8, "dropout": 0.0, "precision": "fp32", "lr": 1e-3}
    whole, split = train_tiny(**settings), train_tiny(**settings, accumulate=3)
    for one, other in zip(whole.metrics().read(), split.metrics().read(), strict=True):
        assert (one.tokens, one.epoch, one.lr) == (other.tokens, other.epoch, other.lr)
        assert one.loss == (None if other.loss is None else pytest.approx(other.loss, abs=2e-5))
        assert one.grad_norm == (None if other.grad_norm is None else pytest.approx(other.grad_norm, abs=2e-4))
    first, second = (load_model(run, "last")[0].state_dict() for run in (whole, split))
    for name, weight in first.items():
        torch.testing.assert_close(weight, second[name], atol=2e-5, rtol=1e-4)


REFUSALS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("Invalid buffer size: 20.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
]


SIX_WINDOWS = {"batch": 6, "steps": 4, "eval_every": 100}


@pytest.fixture(scope="module")
def in_four_parts(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_shared_run(tmp_path_factory.mktemp("in four parts"), **SIX_WINDOWS, accumulate=4)
    train_in_process(run)
    return run


def test_each_way_to_be_refused_memory_is_known() -> None:
    assert [error for error in REFUSALS if not is_out_of_memory(error)] == []


@pytest.mark.parametrize("error", [REFUSALS[0], REFUSALS[-1]], ids=lambda error: type(error).__name__)
def test_out_of_memory_halves_the_micro_batch_and_goes_on(
    error: Exception, in_four_parts: Run, tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(**SIX_WINDOWS)
    sizes = short_of_memory(monkeypatch, 2, error)
    assert train_here(run, until=2).phase == "stopped"
    assert sizes == [6, 3, 2, 2, 1, 1, 2, 2, 1, 1]
    sizes.clear()
    status = train_here(run)
    assert status.phase == "finished"
    assert sizes == [2, 2, 1, 1] * 2, "what was found is remembered in the checkpoint"
    said = [event.text for event in run.events().read() if event.kind == "micro_batch"]
    assert said == [
        "A step of 6 windows did not fit into memory; since step 1 it is computed in 4 parts of 2 windows, which draw other "
        "dropout masks than the whole would."
    ]
    assert_equal_weights(run, in_four_parts)  # as if it had been asked for


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_parts_are_said_to_give_the_same_result_only_where_they_do(
    dropout: float, train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps, so that the second begins with weights that the first has left."""
    settings = {"batch": 4, "steps": 2, "eval_every": 100, "dropout": dropout, "precision": "fp32", "lr": 1e-3}
    whole = train_tiny(**settings)
    short_of_memory(monkeypatch, 2, MemoryError())
    run = train_tiny(**settings)
    said = next(event.text for event in run.events().read() if event.kind == "micro_batch")
    losses = [[metric.loss or 0.0 for metric in each.metrics().read()[1:]] for each in (whole, run)]
    same = losses[0] == pytest.approx(losses[1], abs=2e-5)
    assert same == (dropout == 0.0)
    assert same == ("with the same result but for rounding" in said)


def test_if_one_window_does_not_fit_that_is_one_sentence(train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = short_of_memory(monkeypatch, 0, MemoryError())
    status = train_tiny().status()
    assert status.phase == "failed"
    sentence = "There is not enough memory for even one window of 16 tokens; start a new run with a smaller --context or "
    assert status.message == sentence + "a smaller model."
    assert sizes == [4, 2, 1]


def test_another_error_of_torch_is_not_taken_for_it(train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(monkeypatch, 0, RuntimeError("expected scalar type Long"))
    with pytest.raises(RuntimeError, match="expected scalar type Long"):
        train_tiny()


def main(arguments: list[str]) -> int:
    """Train runs with so many megabytes more than this process has before each."""
    torch.ones(1, requires_grad=True).backward()  # type: ignore[no-untyped-call]  # starts autograd's threads, one for each GPU
    for path, megabytes in zip(arguments[::2], arguments[1::2], strict=True):
        board = StatusBoard(Run(Path(path)).status_path, Status(phase="starting", pid=os.getpid()))
        training = Training(Run(Path(path)), board, StopSignals())
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + int(megabytes) * 2**20, resource.RLIM_INFINITY))
        try:
            training.train()
        except UserError as error:
            board.update("failed", message=str(error))
        board.end()
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return 0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set by what Linux says is used")
def test_with_a_limit_on_the_process(tiny_run: TinyRun, forker: ModuleForker, tmp_path: Path) -> None:
    """64 windows of 128 tokens need some 60 MB here, and the gradients of layers of width 512 alone 25 MB.

    The limit is RLIMIT_AS, at which the system itself refuses memory.
    """
    settings = {"width": 64, "layers": 2, "context": 128, "batch": 64, "steps": 1, "eval_every": 100, "precision": "fp32"}
    settings |= {"device": "cpu"}
    fits = tiny_run(text="stories:60kB", dropout=0.0, **settings)
    does_not = tiny_run(text="stories:20kB", dropout=0.0, **(settings | {"width": 512, "batch": 2, "attention": "plain"}))
    log = tmp_path / "log"
    pid = forker.fork(__name__, [str(does_not.path), "10", str(fits.path), "20"], log=log)
    assert forker.code_of(pid) == 0, log.read_text()
    assert fits.status().phase == "finished", fits.status().message
    assert [metric.step for metric in fits.metrics().read()] == [0, 1]
    assert [event.kind for event in fits.events().read()].count("micro_batch") >= 1
    assert does_not.status().phase == "failed"
    assert "not enough memory" in does_not.status().message


def test_of_eight_ranks_each_is_given_smaller_micro_batches_at_once(tiny_run: TinyRun) -> None:
    """Each computes one micro-batch at least: eight on all together are no smaller than one."""
    asked: list[int] = []

    class EightRanks(OneRank):
        count = 8

        def rows(self, batch: int) -> slice:
            return slice(0, batch // 8)

        def begin_step(self, step: int, micro_batches: int, lr: float) -> None:
            asked.append(micro_batches)

        def total(self, loss: float | None) -> float | None:
            return loss if len(asked) == 3 else None

    ranks = EightRanks()
    setup = set_up_training(tiny_run(batch=32), ranks)
    gradient = GradientAccumulator(setup.trained, setup.batches, setup.state, nullcontext, ranks)
    gradient.compute(0)
    assert asked == [1, 16, 32]
