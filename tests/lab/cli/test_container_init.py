"""`llmlab` as process 1, as in a container: a signal saves what trains there, and so does the end of the command."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lab.runs.run_folder import Run
from lab.runs.weights_file import load_model

LLMLAB = Path(sys.executable).with_name("llmlab")
PATIENCE = 240.0
NEW_NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def can_be_process_one() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*NEW_NAMESPACE, "true"], check=False).returncode == 0


def start(*command: str) -> tuple[subprocess.Popen[str], psutil.Process]:
    """Start a command as process 1 of a namespace of its own; returns what started it, and that process."""
    outer = subprocess.Popen([*NEW_NAMESPACE, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (below := psutil.Process(outer.pid).children()):
        assert outer.poll() is None, outer.communicate()
        time.sleep(0.01)
    return outer, below[0]


def step_of(run: Run) -> int:
    last = run.last_metric()
    return last.step if last is not None else -1


needs_namespace = pytest.mark.skipif(not can_be_process_one(), reason="no namespace of process numbers is allowed here")


@needs_namespace
def test_as_process_1_a_signal_saves_what_trains(tiny_run: Callable[..., Run]) -> None:
    run = tiny_run(steps=1_000_000)
    outer, process_one = start(str(LLMLAB), "resume", run.name, "--quiet")
    while step_of(run) < 5:
        assert outer.poll() is None, outer.communicate()
        time.sleep(0.05)
    process_one.send_signal(signal.SIGTERM)
    out, err = outer.communicate(timeout=PATIENCE)
    step = run.status().step
    assert (outer.returncode, err) == (0, "")
    assert f"{run.name} is stopped at step {step} and saved. Ended by SIGTERM." in out
    assert (run.status().phase, run.phase()) == ("stopped", "stopped")
    assert load_model(run, "last")[1] == step >= 5


BEGIN_AND_END = """
import os, subprocess, sys
from lab.cli.container_init import run_below_process_one

def begin() -> int:
    trainer = subprocess.Popen(
        ["bash", "-c", sys.argv[1]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert trainer.stdout.readline() == b"training\\n"
    return 7

assert os.getpid() == 1
raise SystemExit(run_below_process_one(begin))
"""


@needs_namespace
def test_as_process_1_the_end_of_the_command_waits_until_what_trains_has_saved(tmp_path: Path) -> None:
    trainer = f"trap 'sleep 0.5; echo saved > {tmp_path}/saved; exit' TERM; echo training; while true; do sleep 0.02; done"
    outer, _ = start(sys.executable, "-P", "-c", BEGIN_AND_END, trainer)
    out, err = outer.communicate(timeout=PATIENCE)
    assert (outer.returncode, out) == (7, "")
    assert err == "llmlab: the container ends with this command: a run that is training saves and stops.\n"
    assert (tmp_path / "saved").read_text() == "saved\n"
