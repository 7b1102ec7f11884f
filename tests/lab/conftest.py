"""Runs to test with."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from lab.runs.run_folder import Run
from lab.runs.run_schema import DataConfig, RunConfig, Status, TokenizerConfig, TrainConfig
from models.config import ModelConfig
from tests.fixture_types import EmptyRun, TinyRun
from tests.lab.training.module_forker import ModuleForker


class Done(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str

    def assert_mistake(self, *words: str) -> None:
        """Exit code 2, nothing on stdout, one line on stderr with these words in it."""
        assert self.code == 2
        assert self.out == ""
        assert self.err.startswith("llmlab: ")
        assert self.err.count("\n") == 1
        assert self.err.endswith("\n")
        for word in words:
            assert word in self.err


Call = Callable[..., Done]


SMALL_EXPERIMENTS = {
    "experiments.feature_twins.MOST": 1024,
    "experiments.feature_twins.STEPS": 5,
    "experiments.induction.SEQUENCES": 8,
    "experiments.inference.LARGER": ModelConfig(layers=2, heads=2, width=32, context=32, vocab_size=64),
    "experiments.inference.NEW_TOKENS": 8,
    "experiments.inference.QUANTIZED_WINDOWS": 8,
    "experiments.inference.READ": 1 << 20,
    "experiments.inference.ROUNDS": 1,
    "experiments.lens_distance.FITTED": 2048,
    "experiments.lens_distance.JUDGED": 1024,
    "experiments.loss.STEPS": 5,
    "experiments.probes.MOST_SNAPSHOTS": 3,
    "experiments.probes.PLACES": 2048,
    "experiments.steering.TEXT": 512,
    "experiments.superposition.STEPS": 5,
    "inspect.fitted_lenses.STEPS": 5,
}


@pytest.fixture
def small_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer steps and places of experiments, for tests of what they are asked and what they answer, but not of their numbers."""
    for name, size in SMALL_EXPERIMENTS.items():
        monkeypatch.setattr(f"lab.{name}", size)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, which the lab and the processes it starts use."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("LLMLAB_HOME", str(folder))
    return folder


@pytest.fixture
def empty_run(home: Path) -> EmptyRun:
    """Makes a run's folder that holds a config.json and nothing else."""

    def make(name: str = "tale", created: float = 1.0) -> Run:
        config = RunConfig(
            name=name,
            created=created,
            model=ModelConfig(layers=2, heads=2, width=16, context=16, vocab_size=256),
            tokenizer=TokenizerConfig(kind="bytes", vocab_size=256),
            data=DataConfig(
                name=name,
                source=f"{name}.txt",
                encoding="utf-8",
                sha256="",
                bytes=1000,
                characters=1000,
                tokens=1000,
                split=900,
                train_bytes=900,
                val_bytes=100,
            ),
            train=TrainConfig(),
        )
        (home / name).mkdir()
        (home / name / "config.json").write_bytes(msgspec.json.encode(config))
        return Run(home / name)

    return make


@pytest.fixture
def llmlab(capfd: pytest.CaptureFixture[str]) -> Call:
    """Calls a command of the command line in this process."""
    from lab.cli.command_registry import run

    def call(*arguments: str | Path) -> Done:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return Done(code, *capfd.readouterr())

    return call


TALE = "".join(
    f"The {size} dog met the {colour} cat.\nThen they ran home.\n" for size in ("big", "old", "wet") for colour in "abcdefgh"
)


def make_small_run(text: Path, /, **settings: object) -> Run:
    """Make a run in `home()` that is ready to train, whose steps take some milliseconds on one core."""
    from lab.planning.prepare_run import prepare_run
    from lab.planning.settings_table import RunRequest

    small: dict[str, object] = {"preset": "nano", "tokenizer": "bytes", "layers": 1, "heads": 2, "width": 16, "context": 16}
    small |= {"batch": 4, "threads": 1, "steps": 30, "eval_every": 10, "sample_tokens": 4, "dropout": 0.1, "device": "cpu"}
    return prepare_run(RunRequest(**({"text": str(text)} | small | settings)))  # type: ignore[arg-type]


def make_shared_run(folder: Path, **settings: object) -> Run:
    """Make a run as `make_small_run` does, with its text, in a folder that several tests share."""
    text = folder / "tale.txt"
    text.write_text(TALE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLMLAB_HOME", str(folder))
        return make_small_run(text, **settings)


@pytest.fixture
def tiny_run(home: Path, tmp_path: Path) -> TinyRun:
    """Makes a run as `make_small_run` does, of a small text."""
    text = tmp_path / "tale.txt"
    text.write_text(TALE)
    return functools.partial(make_small_run, text)


@pytest.fixture
def one_core() -> Iterator[None]:
    """Models this small are quicker on one core, above all beside other work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train_in_process(run: Run, until: int | None = None) -> Status:
    """Train a run in this process, to its end or until a signal seems to come after step `until`. Returns the last status."""
    import torch

    from lab.core.errors import UserError
    from lab.training.status_file import StatusBoard
    from lab.training.stop_signals import StopSignals
    from lab.training.training_loop import Training

    class SignalAfter(StopSignals):
        @property  # type: ignore[override]
        def caught(self) -> str | None:
            return "SIGTERM" if until is not None and training and training[0].state.step >= until else None

        @caught.setter
        def caught(self, name: str | None) -> None:
            pass

    training: list[Training] = []
    threads = torch.get_num_threads()
    board = StatusBoard(run.status_path, Status(phase="starting", pid=os.getpid()))
    board.start()
    try:
        training.append(Training(run, board, SignalAfter()))
        training[0].train()
    except UserError as error:
        board.update("failed", message=str(error))
    finally:
        board.end()
        torch.set_num_threads(threads)
    return run.status()


@pytest.fixture
def train_here() -> Callable[..., Status]:
    """`train_in_process`."""
    return train_in_process


@pytest.fixture
def forked_trainers(forker: ModuleForker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainers are forked, for tests of something else than their start."""
    monkeypatch.setattr("lab.training.start_trainer.DetachedProcess", forker.detached_process)
