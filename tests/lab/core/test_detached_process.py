import os
import subprocess
import sys

import pytest

from lab.core.child_process import AUTOGROUP, KEEP_FREED_MEMORY, OPENMP_SPIN, torch_environment

LOWERED = "from lab.core.child_process import *; lower_priority(15); lower_priority(10); print(os.nice(0), AUTOGROUP.read_text())"


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not share the processor out by session")
@pytest.mark.parametrize(("leads", "niceness"), [(True, 15), (False, 0)])
def test_a_session_has_the_priority_of_the_process_that_leads_it(
    leads: bool, niceness: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")  # with which processes keep their priority
    shell = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:], check=True)"]
    said = subprocess.run(
        [*([] if leads else shell), sys.executable, "-c", LOWERED],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    ).stdout.split()
    assert (said[0], said[-2:]) == ("15", ["nice", str(niceness)])


def test_the_environment_is_the_user_s_with_what_training_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*KEEP_FREED_MEMORY, *OPENMP_SPIN, "OMP_WAIT_POLICY", "OMP_NUM_THREADS"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # as the lab sets it where numpy is imported
    assert torch_environment(None) == dict(os.environ) | KEEP_FREED_MEMORY | OPENMP_SPIN
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert torch_environment(3) == dict(os.environ) | {"OMP_NUM_THREADS": "3"}
