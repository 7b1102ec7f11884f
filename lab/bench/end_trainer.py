"""The end of a measurement's trainer, which would outlive the command as every trainer does."""

import contextlib

import psutil  # type: ignore[import-untyped]

from lab.runs.run_folder import Run

END_SECONDS = 30.0
"""Time for a trainer to save and end, before it is killed."""


def end_trainer(run: Run) -> None:
    """End the trainer of the run, if this process started one and it still works, and wait for it."""
    own = [child for child in psutil.Process().children() if _trains(child, run)]
    for child in own:
        child.terminate()
    for child in psutil.wait_procs(own, timeout=END_SECONDS)[1]:
        child.kill()
        child.wait()


def _trains(child: psutil.Process, run: Run) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return str(run.path) in child.cmdline()
    return False
