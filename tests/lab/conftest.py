"""Runs to test with."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from lab.run_config import DataConfig, RunConfig, TokenizerConfig, TrainConfig
from lab.runs import Run
from models.config import ModelConfig

EmptyRun = Callable[..., Run]


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
    from lab.commands.group import run

    def call(*arguments: str | Path) -> Done:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return Done(code, *capfd.readouterr())

    return call
