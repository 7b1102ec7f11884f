"""The tiny run and the engine in this process of the engine's tests, and contexts of experiments."""

from collections.abc import Callable

import pytest

from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_registry import run_experiment
from lab.experiments.experiment_result import ExperimentResult
from lab.inspect.open_model import OpenModel
from lab.inspect.trace_cache import TraceCache
from models.unembed import finish
from tests.lab.engine.conftest import PROMPT, TinyRun, _one_thread, engine, make_run, tiny

__all__ = ["_one_thread", "engine", "make_run", "tiny"]

Measure = Callable[..., ExperimentResult]


def context_of(tiny: TinyRun, prompt: str = PROMPT, **settings: object) -> ExperimentContext:
    """The context of an experiment on the model as it is in memory now."""
    opened = OpenModel(tiny.run, "best", 100, tiny.model.eval(), tiny.tokenizer, (str(tiny.run.path), 0, 0, 0))
    return ExperimentContext(opened, TraceCache(), tiny.tokenizer.encode(prompt), **settings)  # type: ignore[arg-type]


@pytest.fixture
def measure() -> Measure:
    """Runs an experiment on a tiny run, to its end."""

    def run(name: str, tiny: TinyRun, prompt: str = PROMPT, **settings: object) -> ExperimentResult:
        return finish(run_experiment(name, context_of(tiny, prompt, **settings)))

    return run
