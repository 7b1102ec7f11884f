"""Start the trainer process of a run, or refuse with the reason."""

import os
import subprocess
import sys
import time
from pathlib import Path

from lab.core.atomic_io import os_error_in_words
from lab.core.errors import DamagedFileError, UserError
from lab.core.last_lines import last_text_line
from lab.core.safe_open import open_regular, open_to_append
from lab.core.torch_environment import torch_environment
from lab.runs.run_folder import ACTIVE, Run

START_SECONDS = 60.0
"""Seconds that a trainer may take to its first status. Python needs a tenth of a second; a sleeping network disk much more."""

_started: list[subprocess.Popen[bytes]] = []


def start_trainer(run: Run) -> int:
    """Start the process that trains or resumes the run, and wait for its first status or its end. Returns its pid.

    The trainer belongs to no terminal and outlives this process.

    Raises:
        UserError: if the run has finished, another trainer owns it, or the new one died, with the last line of its log.
    """
    refuse_to_start(run)
    _started[:] = [process for process in _started if process.poll() is None]
    try:
        with os.fdopen(open_to_append(run.log_path), "ab") as log:
            log_start = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lab.training.trainer", str(run.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=run.path,
                env=torch_environment(run.config.train.threads),
                start_new_session=True,
            )
    except OSError as error:
        raise os_error_in_words(error, f"start training {run.name}") from error
    _started.append(process)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        status = run.status()
        ended = process.poll() is not None
        if status.pid == process.pid and (status.phase in ACTIVE or (ended and not process.returncode)):
            return process.pid
        if ended:
            reason = status.message if status.pid == process.pid else _last_log_line(run.log_path, log_start)
            raise UserError(reason or f"The trainer of {run.name} ended at once with exit code {process.returncode}.")
        time.sleep(0.02)
    process.terminate()
    raise UserError(f"The trainer of {run.name} did not start within {START_SECONDS:.0f} seconds; its log is {run.log_path}.")


def refuse_to_start(run: Run) -> None:
    """Check that the run can be trained now. Raises UserError if it has finished, or a trainer owns it."""
    status = run.status()
    if run.is_alive():
        raise UserError(f"{run.name} is already being trained by process {status.pid} on {status.host}.")
    refuse_finished(run)
    if not os.path.lexists(run.tokens_path):
        raise UserError(f"{run.name} cannot be trained on: its tokens.bin is not in {run.path}.")


def refuse_finished(run: Run) -> None:
    """Check that the run has not finished: its schedule was made for its number of steps, so none can be added.

    Raises:
        UserError: if it has.
    """
    status = run.status()
    if run.config.imported is not None:
        raise UserError(f"{run.name} was imported, and has no text to train on.")
    if status.phase == "finished":
        raise UserError(f"{run.name} has finished its {status.step} steps; to train longer, start a new run with more steps.")


def _last_log_line(log: Path, start: int) -> str:
    try:
        with open_regular(log) as file:
            return last_text_line(file, start)
    except (OSError, DamagedFileError):
        return ""
