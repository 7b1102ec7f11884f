"""The lab with stderr led elsewhere: it is drawn on the terminal that stdout leads to."""

import subprocess
import sys
from pathlib import Path

from tests.e2e.pseudo_terminal import PseudoTerminal


def test_the_lab_is_drawn_where_stdout_leads(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "lab.cli"]
    lab = PseudoTerminal(command, {"LLMLAB_HOME": str(tmp_path)}, tmp_path, (80, 24), stderr=subprocess.DEVNULL)
    try:
        lab.until("1 Home", "From text to prediction")
        lab.press("q")
        assert lab.ended() == 0
    finally:
        lab.close()
