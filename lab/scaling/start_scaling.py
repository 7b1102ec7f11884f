"""Start the process of a scaling experiment, new or interrupted."""

import os
import subprocess
import sys
import time

from lab.core.atomic_io import os_error_in_words
from lab.core.errors import UserError
from lab.core.last_lines import last_text_line
from lab.core.safe_open import open_regular, open_to_append
from lab.scaling.scaling_experiment import ScalingExperiment
from lab.scaling.scaling_plan import ScalingPlan

START_SECONDS = 60.0
"""Seconds that the process may take to its first status: a tenth on a quiet machine."""

_started: list[subprocess.Popen[bytes]] = []


def start_scaling(experiment: ScalingExperiment, plan: ScalingPlan | None = None) -> None:
    """Start its process, and return when that owns the experiment. With a `plan`, a new experiment is made of it first.

    The process belongs to no terminal and outlives this one. Where one runs already, in another lab, nothing happens.

    Raises:
        UserError: what `ScalingExperiment.create` raises with a plan, and `ScalingExperiment.plan` without; if the process ends
            at once, with the reason.
    """
    if plan is not None:
        experiment.create(plan)
    else:
        experiment.plan()
    if experiment.is_running():
        return
    _started[:] = [process for process in _started if process.poll() is None]
    try:
        with os.fdopen(open_to_append(experiment.log_path), "ab") as log:
            log_start = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lab.scaling.scaling_process", str(experiment.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=experiment.path,
                start_new_session=True,
            )
    except OSError as error:
        raise os_error_in_words(error, f"start {experiment.name}") from error
    _started.append(process)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if experiment.status().pid == process.pid:
            return
        if process.poll() is not None:
            if experiment.is_running():
                return  # another lab was quicker
            with open_regular(experiment.log_path) as file:
                reason = last_text_line(file, log_start)
            raise UserError(reason or f"The process of {experiment.name} ended at once with exit code {process.returncode}.")
        time.sleep(0.02)
    process.terminate()
    raise UserError(f"{experiment.name} did not start within {START_SECONDS:.0f} seconds; its log is {experiment.log_path}.")
