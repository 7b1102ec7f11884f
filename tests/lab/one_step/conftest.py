"""Runs that were stopped after 12 of their 30 steps."""

from collections.abc import Callable, Iterator

import pytest
import torch

from lab.runs.run_folder import Run
from lab.runs.run_schema import Status

TinyRun = Callable[..., Run]
TrainHere = Callable[..., Status]


@pytest.fixture(autouse=True)
def _without_gradients(one_core: None) -> Iterator[None]:
    """As in the engine, where gradients are off unless they are asked for."""
    with torch.no_grad():
        yield


@pytest.fixture
def trained(tiny_run: TinyRun, train_here: TrainHere) -> Run:
    """A run that was stopped after 12 of its 30 steps."""
    run = tiny_run(optimizer="adamw", precision="fp32")
    with torch.enable_grad():
        train_here(run, until=12)
    return run


@pytest.fixture
def in_bf16(tiny_run: TinyRun, train_here: TrainHere) -> Run:
    run = tiny_run(precision="bf16", accumulate=2)
    with torch.enable_grad():
        train_here(run, until=12)
    return run
