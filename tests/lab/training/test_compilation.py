"""Compiled steps: torch's compiler, on a CPU without its code generator, which takes a minute there; and its failures."""

from collections.abc import Callable

import pytest
import torch
from msgspec import UNSET

from lab.core.safetensors_file import read_header
from lab.planning.device import Card
from lab.runs.run_folder import Run
from lab.training import model_as_trained
from lab.training.compute_setup import ComputeSetup
from lab.training.model_as_trained import compile_parts, is_compiled
from lab.training.trainer_state import TrainerState
from lab.training.training_setup import _initial_state
from models.config import ModelConfig
from models.gpt import GPT, PLAIN, Parts
from tests.fixture_types import TinyRun, TrainHere
from tests.lab.conftest import make_shared_run, train_in_process
from tests.lab.training.compare_runs import assert_equal_weights, same

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is captured for compilation is run as it is, unless there is a GPU."""
    if not torch.cuda.is_available():
        monkeypatch.setattr(model_as_trained, "BACKEND", "eager")


@pytest.mark.usefixtures("captured")
def test_compiled_steps_equal_eager_ones_and_evaluation_compiles_nothing() -> None:
    """One code for all layers; other sizes, evaluation and generation among them, are not compiled."""
    from torch._dynamo.utils import counters

    config = ModelConfig(layers=3, heads=2, width=16, context=8, vocab_size=67)
    model, plain = GPT(config, seed=1), GPT(config, seed=1)
    compile_parts(model)
    counters.clear()
    ids = torch.randint(67, (4, 8), generator=torch.Generator().manual_seed(0))
    for each in (model, plain):
        each.loss(ids, ids.roll(1)).backward()  # type: ignore[no-untyped-call]
    for (name, weight), (own_name, own) in zip(plain.named_parameters(), model.named_parameters(), strict=True):
        assert name == own_name
        assert weight.grad is not None
        assert own.grad is not None
        torch.testing.assert_close(own.grad, weight.grad, atol=1e-6, rtol=1e-4)
    made = counters["stats"]["unique_graphs"]
    assert made == 2, "a block and the loss of a chunk"
    model.eval()
    with torch.inference_mode():
        for tokens in range(1, 8):
            assert torch.equal(model(ids[:1, :tokens]), plain.eval()(ids[:1, :tokens]))
            model.loss(ids[:1, :tokens], ids[:1, :tokens])
    assert counters["stats"]["unique_graphs"] == made
    assert model.state_dict().keys() == plain.state_dict().keys()


def broken_parts(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """A compiler whose code fails after so many calls of a block."""
    left = calls

    def broken(block: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        nonlocal left
        left -= 1
        if left < 0:
            raise torch._dynamo.exc.InternalTorchDynamoError("no C++ compiler")
        return PLAIN.block(block, x)  # type: ignore[arg-type]

    def compile_broken(model: GPT) -> None:
        model.compiled_parts = Parts(broken, PLAIN.chunk_loss)  # type: ignore[arg-type]

    monkeypatch.setattr("lab.training.gradient_accumulation.compile_parts", compile_broken)


SHORT = {"accumulate": 2, "steps": 8, "eval_every": 8}


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in micro-batches that is not compiled, trained to its end."""
    run = make_shared_run(tmp_path_factory.mktemp("eager"), **SHORT, compile="off")
    assert train_in_process(run).phase == "finished"
    return run


@pytest.mark.parametrize("calls", [0, 7])
def test_a_failure_to_compile_is_told_once_and_changes_nothing(
    eager: Run, tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """At the first call, and in the middle of a step in micro-batches."""
    pytest.importorskip("torch._dynamo")
    run = tiny_run(**SHORT, compile="on")
    broken_parts(monkeypatch, calls)
    status = train_here(run, until=6)
    assert status.phase == "stopped"
    assert "compiled" not in status.computed
    assert train_here(run).phase == "finished"
    assert same(run.metrics().read()) == same(eager.metrics().read())
    assert_equal_weights(eager, run)
    (said,) = [event for event in run.events().read() if event.kind == "computing"]
    assert said.text.startswith("torch.compile failed (InternalTorchDynamoError: ")
    assert said.text.endswith(
        "so that steps are computed without it; the results are the same but for rounding and the dropout masks."
    )


def test_a_compiler_that_refuses_this_python_changes_nothing(
    eager: Run, train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("torch.compile is not supported on Python 3.99+")

    monkeypatch.setattr(torch, "compile", refuse)
    run = train_tiny(**SHORT, compile="on")
    assert run.phase() == "finished"
    assert_equal_weights(eager, run)
    (said,) = [event for event in run.events().read() if event.kind == "computing"]
    assert said.text.startswith("torch.compile failed (RuntimeError: torch.compile is not supported on Python 3.99+), so that")


def test_a_fault_that_is_not_the_compilers_is_not_hidden(train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes up again without compiled code, and then ends the run."""
    broken_parts(monkeypatch, 10**9)

    def faulty(self: GPT, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("expected scalar type Long")

    monkeypatch.setattr(GPT, "loss", faulty)
    with pytest.raises(RuntimeError, match="expected scalar type Long"):
        train_tiny(compile="on")


@pytest.mark.usefixtures("captured")
def test_a_compiled_run_is_saved_as_any_other_and_resumes(tiny_run: TinyRun, train_here: TrainHere) -> None:
    straight, broken = (tiny_run(compile="on", steps=4, eval_every=2, precision="fp32") for _ in range(2))
    status = train_here(straight)
    assert (status.phase, status.computed.endswith(", compiled")) == ("finished", True)
    names = read_header(straight.path / "last.safetensors").tensors
    assert not [name for name in names if "_orig_mod" in name]
    train_here(broken, until=2)
    assert train_here(broken).phase == "finished"
    assert same(straight.metrics().read()) == same(broken.metrics().read())
    assert_equal_weights(straight, broken)


H100, T4 = Card("NVIDIA H100 PCIe", (9, 0), 80 << 30), Card("Tesla T4", (7, 5), 15 << 30)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Callable[[Card], None]:
    """Puts a card into this machine."""

    def put(card: Card) -> None:
        for module in ("lab.planning.compute_choice", "lab.planning.device", "lab.training.model_as_trained"):
            monkeypatch.setattr(f"{module}.describe_card", lambda device: card)
        monkeypatch.setattr("lab.training.compute_setup.describe_card", lambda device: card)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: card.name)

    return put


def test_a_run_that_begins_on_a_card_decides_by_its_length_and_keeps_the_decision(
    tiny_run: TinyRun, card: Callable[[Card], None]
) -> None:
    card(T4)
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    short = _initial_state(tiny_run(steps=10), cuda)
    assert (short.precision, short.compiled) == ("fp16", UNSET)
    assert short.computed.endswith(", not compiled, since a run of less than 5 minutes does not repay it")
    run = tiny_run(steps=None, minutes=60.0)
    long = _initial_state(run, cuda)
    assert (long.precision, long.compiled) == ("fp16", True)
    train = run.config.train
    words = "fp16 with a scaled loss, for the tensor cores of Tesla T4, which have no bf16 (compute capability 7.5)"
    assert ComputeSetup(train, long, cuda).describe() == f"{words}, compiled"
    assert "compiled" not in ComputeSetup(train, long, cpu).describe(), "a CPU that resumes it does not compile for minutes"
    assert is_compiled(long, "on", cpu)
    assert not is_compiled(TrainerState(precision="bf16"), "auto", cuda), "that of an older version never is"


def test_a_run_that_moves_to_another_machine_tells_of_its_own_and_of_this_one(
    tiny_run: TinyRun, card: Callable[[Card], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.planning.device.processor", lambda: "a CPU")
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    train = tiny_run(steps=None, minutes=60.0).config.train
    card(H100)
    state = _initial_state(tiny_run(steps=None, minutes=60.0), cuda)
    assert ComputeSetup(train, state, cuda).describe() == "bf16, for the tensor cores of NVIDIA H100 PCIe, compiled"
    assert ComputeSetup(train, state, cpu).describe() == "bf16, as the run began on NVIDIA H100 PCIe"
    card(T4)
    words = "bf16, as the run began on NVIDIA H100 PCIe, though Tesla T4 only emulates it"
    assert ComputeSetup(train, state, cuda).describe() == words, "Triton has no bf16 there, so that nothing would be compiled"
    assert not is_compiled(state, "on", cuda)


def test_threads_are_not_changed_beside_a_gpu(
    tiny_run: TinyRun, card: Callable[[Card], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code is compiled for a number of threads."""
    card(H100)
    monkeypatch.setattr("lab.planning.compute_choice.cores", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    run = tiny_run(steps=10, threads=None)
    state = _initial_state(run, torch.device("cuda"))
    compute = ComputeSetup(run.config.train, state, torch.device("cuda"))
    assert compute.threads == 4
    assert not any(compute.adjust_threads(seconds) for seconds in (0.5,) * 20 + (50.0,) * 20)
    assert compute.threads == 4
