"""Detached processes: their priority."""

import subprocess
import sys

import pytest

from lab.core.detached_process import AUTOGROUP

LOWERED = "from lab.core.detached_process import *; lower_priority(7); print(os.nice(0), AUTOGROUP.read_text())"


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not share the processor out by session")
@pytest.mark.parametrize(("leads", "niceness"), [(True, 7), (False, 0)])
def test_a_session_has_the_priority_of_the_process_that_leads_it(leads: bool, niceness: int) -> None:
    shell = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:], check=True)"]
    said = subprocess.run(
        [*([] if leads else shell), sys.executable, "-c", LOWERED],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    ).stdout.split()
    assert (said[0], said[-2:]) == ("7", ["nice", str(niceness)])
