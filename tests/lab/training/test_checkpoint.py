import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lab.core.atomic_io import remove_leftovers
from lab.core.errors import UserError
from lab.core.safetensors_file import is_whole, read_metadata
from lab.runs import snapshots
from lab.runs.run_folder import Run
from lab.runs.snapshots import save_snapshot
from lab.runs.weights_file import NotFiniteError, load_model, save_best
from lab.training.checkpoint import load_checkpoint, optimizer_tensors, save_checkpoint
from lab.training.trainer_state import TrainerState
from models.gpt import GPT
from models.optimizers.optimizer import make_optimizer

EmptyRun = Callable[..., Run]


@pytest.fixture(autouse=True)
def _one_core() -> Iterator[None]:
    """Models this small are quicker on one core, above all beside other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Trainee:
    """A model and its optimizer after some steps on random ids."""

    def __init__(self, run: Run, steps: int = 0) -> None:
        self.model = GPT(run.config.model, seed=1)
        self.optimizer = make_optimizer(self.model, lr=1e-3)
        self.step = 0
        self.train(steps)

    def train(self, steps: int) -> None:
        for _ in range(steps):
            ids = torch.randint(256, (2, 17), generator=torch.Generator().manual_seed(self.step))
            self.optimizer.zero_grad()
            self.model.loss(ids[:, :-1], ids[:, 1:]).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.step += 1

    def save(self, run: Run) -> None:
        save_checkpoint(run, self.model, self.optimizer, TrainerState(step=self.step, precision="fp32"))

    def equals(self, other: "Trainee") -> bool:
        mine, theirs = self.state(), other.state()
        return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)

    def state(self) -> dict[str, torch.Tensor]:
        return self.model.state_dict() | optimizer_tensors(self.model, self.optimizer)


def loaded(run: Run) -> tuple[Trainee, TrainerState, str]:
    trainee = Trainee(run)
    resumed = load_checkpoint(run, trainee.model, trainee.optimizer)
    assert resumed is not None
    trainee.step = resumed.state.step
    return trainee, resumed.state, resumed.note


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


def test_a_checkpoint_before_the_first_step_has_no_optimizer_state(empty_run: EmptyRun) -> None:
    run = empty_run()
    Trainee(run).save(run)
    trainee, _, _ = loaded(run)
    trainee.train(2)
    assert trainee.equals(Trainee(run, 2))


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
    with pytest.raises(UserError, match="has no weights yet"):
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


def test_a_save_that_finds_no_room_leaves_everything_as_it_was(empty_run: EmptyRun) -> None:
    run = empty_run()
    trainee = Trainee(run, 1)
    trainee.save(run)
    before = {path: path.read_bytes() for path in run.path.iterdir()}
    trainee.train(1)
    with largest_file(20_000):
        for save in (
            trainee.save,
            lambda run: save_best(run, trainee.model, 2, 1.0),
            lambda run: save_snapshot(run, trainee.model, 0),
        ):
            with pytest.raises(OSError, match="File too large"):
                save(run)
    assert {path: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == before
    assert os.listdir(run.snapshots_path) == []


def test_no_file_ever_holds_a_nan(empty_run: EmptyRun) -> None:
    run = empty_run()
    trainee = Trainee(run, 1)
    with torch.no_grad():
        trainee.model.wpe.weight[0, 0] = float("inf")
    for save in (
        trainee.save,
        lambda run: save_best(run, trainee.model, 1, 1.0),
        lambda run: save_snapshot(run, trainee.model, 1),
    ):
        with pytest.raises(NotFiniteError, match=r"wpe\.weight"):
            save(run)
    assert run.checkpoints() == []


def test_weights_are_opened_by_name(empty_run: EmptyRun) -> None:
    run = empty_run()
    trainee = Trainee(run, 1)
    save_snapshot(run, trainee.model, 0)
    save_snapshot(run, trainee.model, 1)
    trainee.save(run)
    assert load_model(run, "best")[1] == 1
    trainee.train(1)
    save_best(run, trainee.model, 2, 3.5)
    trainee.train(1)
    trainee.save(run)
    assert [(name, load_model(run, name)[1]) for name in ("best", "last", "previous", "1", "00000001", "0")] == [
        ("best", 2),
        ("last", 3),
        ("previous", 1),
        ("1", 1),
        ("00000001", 1),
        ("0", 0),
    ]
    model, _ = load_model(run, "last")
    assert not model.training
    assert all(torch.equal(weight, trainee.model.state_dict()[name]) for name, weight in model.state_dict().items())
    rounded, _ = load_model(run, "1")
    for name, weight in rounded.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, Trainee(run, 1).model.state_dict()[name].bfloat16().float())
    with pytest.raises(UserError, match="no checkpoint called '7'; there are best and last, and snapshots of steps: 0, 1"):
        load_model(run, "7")
    best = read_metadata(run.path / "best.safetensors") or {}
    assert (best["val_loss"], best["step"]) == ("3.5", "2")
    assert is_whole(run.path / "best.safetensors")


def test_weights_of_another_shape_are_refused_in_words(empty_run: EmptyRun) -> None:
    run, other = empty_run(), empty_run("other")
    Trainee(run).save(run)
    os.replace(run.path / "last.safetensors", other.path / "last.safetensors")
    path = other.path / "config.json"
    path.write_bytes(path.read_bytes().replace(b'"width":16', b'"width":32'))
    with pytest.raises(UserError, match="does not fit the model of other"):
        load_model(other)
    with pytest.raises(UserError, match=r"The config.json of other has changed since its last checkpoint"):
        loaded(other)


def test_snapshots_are_thinned_evenly_and_keep_both_ends(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = empty_run()
    trainee = Trainee(run)
    save_snapshot(run, trainee.model, 1)
    size = run.snapshots()[0].bytes
    monkeypatch.setattr(snapshots, "SNAPSHOT_BYTES", 8 * size)
    for step in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 640, 768, 896):
        save_snapshot(run, trainee.model, step)
        steps = [file.step for file in run.snapshots()]
        assert steps[0] in (0, 1)
        assert steps[-1] == step or step == 0
    assert len(steps) <= 7
    ratios = [(later + 1) / (earlier + 1) for earlier, later in pairwise(steps)]
    assert max(ratios) < 9, steps


def test_a_file_of_another_kind_is_not_taken_for_weights(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for raw in (b"", b"\xff" * 8, b"\xff" * 100, (10).to_bytes(8, "little") + b"[1,2,3,4] ", (2).to_bytes(8, "little") + b"{}x"):
        path.write_bytes(raw)
        assert read_metadata(path) is None
        assert not is_whole(path)
    assert not is_whole(tmp_path / "nothing")
