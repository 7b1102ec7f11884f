"""Runs that were stopped after 12 of their 30 steps."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lab.runs.run_folder import Run
from tests.lab.conftest import make_shared_run, train_in_process


@pytest.fixture(autouse=True)
def _without_gradients(one_core: None) -> Iterator[None]:
    """As in the engine, where gradients are off unless they are asked for."""
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def first_trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_shared_run(tmp_path_factory.mktemp("trained"), optimizer="adamw", precision="fp32")
    train_in_process(run, until=12)
    return run


@pytest.fixture(scope="session")
def first_in_bf16(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_shared_run(tmp_path_factory.mktemp("bf16"), precision="bf16", accumulate=2)
    train_in_process(run, until=12)
    return run


@pytest.fixture
def trained(first_trained: Run, home: Path) -> Run:
    """A run that was stopped after 12 of its 30 steps; a copy of its own for each test."""
    return Run(Path(shutil.copytree(first_trained.path, home / first_trained.name)))


@pytest.fixture
def in_bf16(first_in_bf16: Run, home: Path) -> Run:
    return Run(Path(shutil.copytree(first_in_bf16.path, home / first_in_bf16.name)))
