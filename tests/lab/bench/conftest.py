"""Workers that are measured, called in this process, which has torch."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

Serve = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def same_precision(one_core: None) -> Iterator[None]:
    """Put back what a worker sets for the whole of its process."""
    precision = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(precision)


@pytest.fixture
def serve(same_precision: None, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Calls a worker's `main` with a job and lines to read; gives what it answers when it is ready and to each line."""

    def call(worker: ModuleType, job: dict[str, Any], rounds: int) -> list[dict[str, Any]]:
        out = io.StringIO()
        for name, value in (("argv", ["", json.dumps(job)]), ("stdin", io.StringIO("\n" * rounds)), ("stdout", out)):
            monkeypatch.setattr(sys, name, value)
        worker.main()
        return [json.loads(line) for line in out.getvalue().splitlines()]

    return call
