import os

import pytest

from lab.core.detached_process import KEEP_FREED_MEMORY, OPENMP_SPIN, torch_environment


def test_the_environment_is_the_user_s_with_what_training_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*KEEP_FREED_MEMORY, *OPENMP_SPIN, "OMP_WAIT_POLICY", "OMP_NUM_THREADS"]:
        monkeypatch.delenv(name, raising=False)
    assert torch_environment(None) == dict(os.environ) | KEEP_FREED_MEMORY | OPENMP_SPIN
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert torch_environment(3) == dict(os.environ) | {"OMP_NUM_THREADS": "3"}
