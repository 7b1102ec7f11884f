"""Start and stop the process of a post-training. No torch."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]

from lab.core.atomic_io import os_error_in_words
from lab.core.errors import UserError
from lab.core.last_lines import last_text_line
from lab.core.safe_open import open_regular, open_to_append
from lab.core.torch_environment import torch_environment
from lab.posttraining.history import PosttrainingFollower
from lab.posttraining.settings import PosttrainSettings
from lab.posttraining.work_folder import WorkFolder, check_base
from lab.runs.run_folder import Run

MODULE = "lab.posttraining.process"
START_SECONDS = 60.0
"""Seconds that a process may take to hold its lock: Python and its imports, on a slow disk too."""
POLL_SECONDS = 0.02

_started: list[subprocess.Popen[bytes]] = []


def start_posttraining(base: Run, home: Path, settings: PosttrainSettings, prediction: str = "") -> WorkFolder:
    """Start the process and wait until it holds its lock. It belongs to no terminal and outlives this process.

    The runs of an earlier post-training of this base are replaced. `prediction` is the learner's, kept in progress.jsonl.

    Raises:
        UserError: as `check_base`; if one runs already; if it could not begin, with the last line of its log.
    """
    check_base(base, home)
    folder = WorkFolder(base.name, home)
    if folder.is_running():
        raise UserError(f"{base.name} is being post-trained already.")
    _started[:] = [process for process in _started if process.poll() is None]
    try:
        folder.make()
        with os.fdopen(open_to_append(folder.log_path), "ab") as log:
            log_start = log.tell()
            process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", MODULE),
                    *(str(base.path), str(home), msgspec.json.encode(settings).decode(), prediction),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder.path,
                env=torch_environment(1),
                start_new_session=True,
            )
    except OSError as error:
        raise os_error_in_words(error, f"start post-training {base.name}") from error
    _started.append(process)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if folder.is_running():
            return folder
        if process.poll() is not None:
            if process.returncode == 0:
                return folder
            with open_regular(folder.log_path) as file:
                reason = last_text_line(file, log_start)
            raise UserError(reason or f"The post-training of {base.name} ended at once with exit code {process.returncode}.")
        time.sleep(POLL_SECONDS)
    process.terminate()
    raise UserError(f"The post-training of {base.name} did not start within {START_SECONDS:.0f} seconds; see {folder.log_path}.")


def stop_posttraining(folder: WorkFolder) -> bool:
    """Ask the process to end, which it does within a round. False if there is none to ask on this machine."""
    follower = PosttrainingFollower(folder)
    follower.read()
    started = follower.history.started
    if started is None or follower.history.ended is not None or started.host != platform.node() or not folder.is_running():
        return False
    try:
        process = psutil.Process(started.pid)
        if MODULE not in process.cmdline():  # the file is input, not truth: it may name a process of something else
            return False
        process.send_signal(signal.SIGTERM)
    except psutil.Error:
        return False
    return True
