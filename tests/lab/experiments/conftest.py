"""Tiny runs with a text of their own, and experiments on them, each run to its end."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_registry import run_experiment
from lab.experiments.experiment_result import ExperimentResult
from lab.inspect.model_cache import OpenModel, TraceCache
from lab.runs.run_folder import Run
from lab.views.blocks import Cell, Table
from tests.lab.engine.conftest import (
    PROMPT,
    TEXT,
    MakeRun,
    TinyRun,
    _one_thread,
    engine,
    make_run,
    oracle_of,
    shared_engine,
    tiny,
)

__all__ = ["_one_thread", "engine", "make_run", "oracle_of", "shared_engine", "tiny"]

MakeTextRun = Callable[..., TinyRun]
Measure = Callable[..., ExperimentResult]


def with_text(tiny: TinyRun, text: str = TEXT * 20, split: float = 0.8) -> TinyRun:
    """The run with `text` as its own, in its folder."""
    ids = np.array(tiny.tokenizer.encode(text), "<u2")
    (tiny.run.path / "tokens.bin").write_bytes(ids.tobytes())
    config = Run(tiny.run.path).config
    config = msgspec.structs.replace(
        config, data=msgspec.structs.replace(config.data, tokens=len(ids), split=int(len(ids) * split))
    )
    (tiny.run.path / "config.json").write_bytes(msgspec.json.encode(config))
    return tiny._replace(run=Run(tiny.run.path))


def windows(tiny: TinyRun, part: str, count: int, length: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """At most `count` evenly spaced windows of the "training text" or the "validation text" of a run, read from its file."""
    ids, split = np.fromfile(tiny.run.path / "tokens.bin", "<u2").astype(int), tiny.run.config.data.split
    ids = ids[:split] if part == "training text" else ids[split:]
    starts = np.unique(np.linspace(0, len(ids) - length, count).astype(int))
    return np.stack([ids[start : start + length] for start in starts.tolist()])


def rows(result: ExperimentResult) -> list[list[Cell]]:
    """The rows of the first table."""
    return next(block for block in result.view.blocks if isinstance(block, Table)).rows


@pytest.fixture
def text_run(make_run: MakeRun) -> MakeTextRun:
    """Makes a tiny run whose folder holds its text."""
    return lambda **shape: with_text(make_run(**shape))


@pytest.fixture
def measure() -> Measure:
    """Runs an experiment on the model of a tiny run as it is in memory."""

    def run(name: str, tiny: TinyRun, prompt: str = PROMPT, **settings: object) -> ExperimentResult:
        opened = OpenModel(tiny.run, "best", 100, tiny.model.eval(), tiny.tokenizer, (str(tiny.run.path), 0, 0, 0))
        context = ExperimentContext(opened, TraceCache(), tiny.tokenizer.encode(prompt), **settings)  # type: ignore[arg-type]
        return run_experiment(name, context)

    return run
