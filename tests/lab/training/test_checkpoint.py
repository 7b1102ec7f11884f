"""Checkpoints: a resume is exact, and a crash, damage or a full disk at any moment leaves a good one."""

import errno
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lab.core.atomic_io import remove_leftovers
from lab.core.errors import UserError
from lab.core.safetensors_file import is_whole, read_metadata
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from lab.runs.weights_file import NotFiniteError, load_model, save_best, save_snapshot
from lab.training.checkpoint import load_checkpoint, load_optimizer, optimizer_tensors
from models import optimizers
from models.config import ModelConfig
from models.gpt import GPT
from tests.fixture_types import EmptyRun
from tests.lab.trainee import Trainee, loaded

pytestmark = pytest.mark.usefixtures("one_core")


def test_the_file_is_what_the_safetensors_library_reads(empty_run: EmptyRun) -> None:
    run = empty_run()
    trainee = Trainee(run, 2)
    trainee.save(run)
    tensors = load_file(run.path / "last.safetensors")
    for name, weight in trainee.model.state_dict().items():
        assert torch.equal(tensors[f"model.{name}"], weight)
        assert tensors[f"optimizer.exp_avg.{name}"].shape == weight.shape
        assert float(tensors[f"optimizer.step.{name}"]) == 2.0
    with safe_open(run.path / "last.safetensors", framework="pt") as file:
        assert file.metadata()["step"] == "2"
        assert read_metadata(run.path / "last.safetensors") == file.metadata()


def test_what_is_loaded_goes_on_as_what_was_saved(empty_run: EmptyRun) -> None:
    run = empty_run()
    fresh = Trainee(run)
    assert load_checkpoint(run, fresh.model, fresh.optimizer) is None
    trainee = Trainee(run, 3)
    trainee.save(run)
    other, state, note = loaded(run)
    assert (state.step, note) == (3, "")
    assert other.equals(trainee)
    trainee.train(4)
    other.train(4)
    assert other.equals(trainee)

    before = empty_run("before the first step")  # it has no optimizer state
    Trainee(before).save(before)
    other, _, _ = loaded(before)
    other.train(2)
    assert other.equals(Trainee(before, 2))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone"])
def test_a_damaged_last_checkpoint_falls_back_to_the_previous(damage: str, empty_run: EmptyRun) -> None:
    run = empty_run()
    trainee = Trainee(run, 1)
    trainee.save(run)
    trainee.train(1)
    trainee.save(run)
    last = run.path / "last.safetensors"
    raw = bytearray(last.read_bytes())
    raw[len(raw) // 2] ^= 1
    last.write_bytes({"cut": raw[:-1], "flipped": raw, "empty": b"", "gone": b""}[damage])
    if damage == "gone":
        last.unlink()
        assert load_model(run, "last")[1] == 1
    else:
        other = r"last\.safetensors .*; --checkpoint previous takes the weights of step 1\.$"
        with pytest.raises(UserError, match=f"^tale cannot be opened: {other}"):
            load_model(run, "last")
        assert load_model(run, "previous")[1] == 1
    found, state, note = loaded(run)
    assert state.step == 1
    assert found.equals(Trainee(run, 1))
    assert note == "" if damage == "gone" else "last.safetensors is damaged" in note
    found.train(1)
    found.save(run)
    assert [(file.name, file.step) for file in run.checkpoints()] == [("last", 2), ("previous", 1)]
    assert is_whole(run.path / "previous.safetensors")


def test_with_no_good_checkpoint_one_sentence_says_so(empty_run: EmptyRun) -> None:
    run = empty_run()
    with pytest.raises(UserError, match="has no weights yet: train it first"):
        load_model(run)
    elsewhere = Status(phase="starting", pid=1, host="another machine", heartbeat=time.time())
    run.status_path.write_bytes(msgspec.json.encode(elsewhere))
    with pytest.raises(UserError, match="has no weights yet: its first checkpoint comes soon"):
        load_model(run)
    trainee = Trainee(run, 1)
    trainee.save(run)
    trainee.save(run)
    for name in ("last", "previous"):
        path = run.path / f"{name}.safetensors"
        path.write_bytes(path.read_bytes()[:-5])
    both = r"last\.safetensors is damaged \(5 bytes are missing\) and previous\.safetensors is damaged \(5 bytes are missing\)"
    with pytest.raises(UserError, match=f"^tale cannot be resumed: {both}; start a new run"):
        loaded(run)
    with pytest.raises(UserError, match=rf"^tale cannot be opened: {both}\.$"):
        load_model(run)


class Crash(BaseException):
    """Stands for a kill: nothing catches it to tidy up."""


def test_a_crash_at_any_call_leaves_a_good_checkpoint(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call that changes the folder is made the last one in turn."""
    calls = 0
    for name in ("replace", "link", "fsync", "open"):
        real = getattr(os, name)

        def crashing(*arguments: object, real: Callable[..., object] = real, **options: object) -> object:
            nonlocal calls
            calls -= 1
            if calls == 0:
                raise Crash
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, crashing)
    crashes = 0
    while True:
        run = empty_run(f"tale-{crashes}")
        trainee = Trainee(run, 1)
        trainee.save(run)
        trainee.train(1)
        trainee.save(run)
        trainee.train(1)
        calls = crashes + 1
        try:
            trainee.save(run)
        except Crash:
            calls = 0
            crashes += 1
            found, state, note = loaded(run)
            assert state.step in (2, 3)
            assert note == ""
            assert found.equals(Trainee(run, state.step))
            remove_leftovers(run.path)
            found.train(1)
            found.save(run)
            assert is_whole(run.path / "previous.safetensors")
            assert loaded(run)[1].step == state.step + 1
        else:
            break
    assert crashes >= 6


def test_file_systems_without_hard_links_keep_the_previous_too(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    run = empty_run()
    trainee = Trainee(run)
    for _ in range(3):
        trainee.train(1)
        trainee.save(run)
    assert [(file.name, file.step) for file in run.checkpoints()] == [("last", 3), ("previous", 2)]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, which fails in the middle of a write as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)


SAVES: list[Callable[[Trainee, Run], None]] = [
    Trainee.save,
    lambda trainee, run: save_best(run, trainee.model, 2, 1.0),
    lambda trainee, run: save_snapshot(run, trainee.model, 0),
]


def test_a_save_that_finds_no_room_leaves_everything_as_it_was(empty_run: EmptyRun) -> None:
    run = empty_run()
    trainee = Trainee(run, 1)
    trainee.save(run)
    before = {path: path.read_bytes() for path in run.path.iterdir()}
    trainee.train(1)
    with largest_file(20_000):
        for save in SAVES:
            with pytest.raises(OSError, match="File too large"):
                save(trainee, run)
    assert {path: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == before
    assert os.listdir(run.snapshots_path) == []


def test_no_file_ever_holds_a_nan(empty_run: EmptyRun) -> None:
    run = empty_run()
    trainee = Trainee(run, 1)
    with torch.no_grad():
        trainee.model.wpe.weight[0, 0] = float("inf")
    for save in SAVES:
        with pytest.raises(NotFiniteError, match=r"wpe\.weight"):
            save(trainee, run)
    assert run.checkpoints() == []


CONFIG = ModelConfig(layers=1, heads=1, width=8, context=8, vocab_size=20)


def steps(model: GPT, optimizer: torch.optim.Optimizer, first: int, count: int) -> None:
    for step in range(first, first + count):
        ids = torch.randint(20, (2, 8), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model.loss(ids, ids.roll(1, 1)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@pytest.mark.parametrize("rule", ["adamw", "muon"])
@pytest.mark.parametrize("order", [(True, False), (False, True)], ids=["fused to plain", "plain to fused"])
def test_the_state_of_one_kind_serves_the_other(
    rule: optimizers.OptimizerName, order: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As between a GPU, an MPS device and a CPU: a fused optimizer keeps its step count on the device, a plain one on the CPU."""

    def made(fused: bool, model: GPT) -> torch.optim.Optimizer:
        monkeypatch.setattr(optimizers, "FUSED_ON", ("cpu",) if fused else ())
        optimizer = optimizers.make_optimizer(model, 1e-2, rule=rule)
        optimizers.set_muon_dtype(optimizer, torch.float32)
        return optimizer

    straight, moved, target = (GPT(CONFIG, seed=1) for _ in range(3))
    steps(straight, made(order[0], straight), 0, 6)
    first = made(order[0], moved)
    steps(moved, first, 0, 3)
    target.load_state_dict(moved.state_dict())
    second = made(order[1], target)
    load_optimizer(target, second, {name: value.clone() for name, value in optimizer_tensors(moved, first).items()})
    steps(target, second, 3, 3)
    for (name, one), other in zip(straight.named_parameters(), target.parameters(), strict=True):
        # The bias of the keys changes no output: its gradient is rounding alone, which AdamW makes as large as any other.
        compared = (0, 2) if name.endswith("c_attn.bias") else range(3)
        for part in compared:
            torch.testing.assert_close(one.tensor_split(3)[part], other.tensor_split(3)[part], atol=1e-5, rtol=1e-4)
