"""A terminal that goes away without a word: no process has it as its own, so that no signal is sent."""

import os
import pty
import select
import subprocess
import sys
from pathlib import Path


def test_the_lab_ends_with_its_terminal(tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    environment = {**os.environ, "LLMLAB_HOME": str(tmp_path), "TERM": "xterm-256color"}
    lab = subprocess.Popen(
        [sys.executable, "-P", "-m", "lab.cli"],
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    os.close(terminal)
    drawn = b""
    waiting = select.poll()  # select.select takes no descriptor above 1023, which a long test run can reach
    waiting.register(master, select.POLLIN)
    while b"Home" not in drawn and waiting.poll(30_000):
        drawn += os.read(master, 1 << 16)
    assert lab.poll() is None
    os.close(master)
    try:
        lab.wait(30)
    finally:
        lab.kill()
