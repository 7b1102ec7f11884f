"""Start the trainer process of a run, or the processes of one on several GPUs. No torch."""

import os
import shlex
import sys
from collections.abc import Callable

from lab.core.atomic_io import os_error_in_words
from lab.core.child_process import DetachedProcess, torch_environment
from lab.core.errors import UserError
from lab.core.machine import cores, machine
from lab.planning.device import check_ranks
from lab.planning.settings_table import SettingError
from lab.runs.rename_delete import refuse_if_gone
from lab.runs.run_folder import ACTIVE, Run, is_on_other_host
from lab.runs.run_schema import Status
from lab.training.distributed.launcher import OWN_LAUNCHER


def start_trainer(run: Run, ranks: int | None = None, waiting: Callable[[], None] = lambda: None) -> int:
    """Start the process that trains or resumes the run, and wait for its first status or its end. Returns its pid.

    With several `ranks`, by default as many as the run was made for, that is rank 0, and PyTorch's launcher starts them. The
    trainer belongs to no terminal and outlives this process. `waiting` is called again and again until it has begun; if that
    raises, the process is ended.

    Raises:
        UserError: if the run has finished, another trainer owns it, the machine has too few GPUs, or the new trainer died, with
            the last line of its log; if the run is renamed or deleted meanwhile.
    """
    refuse_to_start(run)
    count = ranks or run.config.train.ranks
    try:
        check_ranks(run.config.train, count, machine())
    except SettingError as error:
        raise UserError(f"{error} `llmlab resume {shlex.quote(run.name)} --ranks N` chooses another number.") from error
    before = run.status()
    try:
        threads = run.config.train.threads
        if count == 1:
            module, arguments, environment = "lab.training.trainer", [str(run.path)], torch_environment(threads)
        else:
            module = "lab.training.distributed.launcher"
            arguments = ["--standalone", "--nproc-per-node", str(count), str(run.path)]
            environment = torch_environment(max(1, (threads or cores()) // count)) | {OWN_LAUNCHER: "1"}
        process = DetachedProcess(module, arguments, log=run.log_path, folder=run.path, environment=environment)
    except OSError as error:
        refuse_if_gone(run)
        raise os_error_in_words(error, f"start training {run.name}") from error

    def is_its_own(status: Status) -> bool:
        if count == 1:
            return status.pid == process.pid
        if status.pid_started == before.pid_started or is_on_other_host(status):
            return False
        parent = _parent(status.pid)
        return parent == process.pid or (parent is None and status.phase not in ACTIVE)

    def has_begun() -> bool:
        try:
            waiting()
        except Exception:
            process.end()
            raise
        status = run.status()
        return is_its_own(status) and (status.phase in ACTIVE or process.returncode == 0)

    def reason() -> str:
        refuse_if_gone(run)
        status = run.status()
        if is_its_own(status):
            return status.message
        return already_training(run.name, status) if run.is_alive() else ""

    process.wait_for_start(has_begun, f"The trainer of {run.name}", reason)
    return run.status().pid


def _parent(pid: int) -> int | None:
    """The process that has started this one; None if it is gone."""
    import psutil  # type: ignore[import-untyped]

    try:
        parent: int = psutil.Process(pid).ppid()
    except psutil.Error:
        return None
    return parent


def refuse_to_start(run: Run) -> None:
    """Check that the run can be trained now. Raises UserError if it has finished, or a trainer owns it."""
    run.refuse_if_watched()
    status = run.status()
    if run.is_alive():
        raise UserError(already_training(run.name, status))
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
        raise UserError(finished_sentence(run))


def already_training(name: str, status: Status) -> str:
    return f"{name} is already being trained by process {status.pid} on {status.host}."


def finished_sentence(run: Run) -> str:
    return f"{run.name} has finished its {run.status().step} steps; to train longer, start a new run with more steps."


def log(sentence: str) -> None:
    """Write a line to trainer.log, which a trainer's standard error is redirected to."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()
