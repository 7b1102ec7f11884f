"""Start the trainer process of a run, or refuse with the reason."""

import os

from lab.core.atomic_io import os_error_in_words
from lab.core.errors import UserError
from lab.core.parallel.detached_process import DetachedProcess
from lab.core.torch_environment import torch_environment
from lab.runs.run_folder import ACTIVE, Run


def start_trainer(run: Run) -> int:
    """Start the process that trains or resumes the run, and wait for its first status or its end. Returns its pid.

    The trainer belongs to no terminal and outlives this process.

    Raises:
        UserError: if the run has finished, another trainer owns it, or the new one died, with the last line of its log.
    """
    refuse_to_start(run)
    try:
        process = DetachedProcess(
            "lab.training.trainer",
            [str(run.path)],
            log=run.log_path,
            folder=run.path,
            environment=torch_environment(run.config.train.threads),
        )
    except OSError as error:
        raise os_error_in_words(error, f"start training {run.name}") from error

    def has_begun() -> bool:
        status = run.status()
        return status.pid == process.pid and (status.phase in ACTIVE or process.returncode == 0)

    def reason() -> str:
        status = run.status()
        return status.message if status.pid == process.pid else ""

    process.wait_for_start(has_begun, f"The trainer of {run.name}", reason)
    return process.pid


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
