"""Trainer process of one run: `python -P -m lab.training.trainer RUN`. It owns the run's lock for as long as it lives.

This module holds everything around the training itself: the run's lock, signals, status, and errors. torch is imported only once
the lock is held, in `lab.training.training_loop`, so that a second trainer is refused at once.

Started by torchrun, or rather by `lab.training.distributed.launcher`, it is one rank of several: rank 0 owns the run, and the
others (`lab.training.distributed`) compute what it tells them.

SIGTERM, SIGINT and SIGHUP save and end; the same signal once more ends at once, and the last checkpoint stands.
"""

import contextlib
import os
import platform
import shlex
import sys
import time
import traceback

import filelock
import psutil  # type: ignore[import-untyped]

from lab.core.atomic_io import os_error_in_words, remove_leftovers
from lab.core.child_process import lower_priority
from lab.core.errors import UserError, name_error
from lab.core.machine import machine
from lab.core.number_format import counted, fixed
from lab.runs.find_runs import open_run
from lab.runs.rename_delete import refuse_if_gone
from lab.runs.run_control import take_commands, trainer_lock
from lab.runs.run_folder import Run, heard_elsewhere, may_train_elsewhere
from lab.runs.run_schema import Status
from lab.training.distributed.launcher import OWN_LAUNCHER, RankEnvironment, read_rank_environment
from lab.training.start_trainer import already_training, finished_sentence, log, refuse_finished
from lab.training.status_file import StatusBoard
from lab.training.stop_signals import StopSignals


def start_line(run: Run, status: Status, environment: RankEnvironment | None) -> str:
    """The line at the start, told under torchrun: `big trains on 16 ranks (cuda), from step 0 of 100000; `llmlab` shows it.`"""
    count = environment.count if environment is not None else 1
    steps = f" of {run.config.train.steps}" if run.config.train.steps else ""
    return f"{run.name} trains on {counted(count, 'rank')} ({status.device}), from step {status.step}{steps}; `llmlab` shows it."


def end_line(run: Run, status: Status) -> str:
    """The end of a training that has not failed: its losses, or the step that is saved and how to go on."""
    message = f" {status.message}" if status.message else ""
    if status.phase == "finished":
        last, final = run.last_metric(), status.final
        losses = {"loss": last.loss if last else None, "validation loss": final.val_loss if final else None}
        words = ", ".join(f"{name} {fixed(value)}" for name, value in losses.items() if value is not None)
        return f"{run.name} has finished its {status.step} steps{f': {words}' if words else ''}.{message}"
    saved = any(file.name == "last" and file.step == status.step for file in run.checkpoints())
    how = f"stopped at step {status.step} and saved" if saved else "stopped"
    go_on = f"The same command goes on, or `llmlab resume {shlex.quote(run.name)}`."
    return f"{run.name} is {how}.{message} {go_on}"


NICENESS = 10
"""Priority below that of the screen and of other people's processes: a key waits for a tenth of a core at most."""

REFUSE_SECONDS = 20.0
"""Longest wait of a rank for its launcher to end it, when the run cannot be trained."""

LOCK_SECONDS = 2.0
"""Time to retry a lock whose holder seems to be gone, or only tests whether it is held."""


def main(arguments: list[str] | None = None) -> int:
    """Train the run in the given folder. Returns the exit code: 0 finished or stopped, 1 failed, 2 not begun.

    To ranks a run that has finished already is 0, too.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        log("usage: python -P -m lab.training.trainer RUN, a name or a path")
        return 2
    try:
        environment = read_rank_environment()
        signals = StopSignals(may_come_twice=environment is not None)
        signals.install()
    except UserError as error:
        log(str(error))
        return 2
    try:
        run = open_run(arguments[0])
        if environment is not None and run.status().phase == "finished":
            if environment.local_rank == 0:
                log(finished_sentence(run))
            return 0  # on all ranks, so that torchrun has no failure to tell
    except UserError as error:
        return refuse(str(error), environment, signals)
    try:
        if environment is not None:
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a lost connection is told in a sentence, not as a C++ trace
        if environment is not None and environment.rank > 0:
            lower_priority_on_cpu(run)
            from lab.training.distributed.rank_roles import train_with_rank_0

            return train_with_rank_0(run, environment, signals)
        lock = acquire_run(run)
    except UserError as error:
        log(str(error))
        return 2
    try:
        return train(run, signals, environment)
    finally:
        lock.release()


def refuse(sentence: str, environment: RankEnvironment | None, signals: StopSignals) -> int:
    """Say why the run cannot be trained, once on each machine: its other ranks would say the same. Returns the exit code.

    They wait until the launcher ends them, for it would end rank 0 before it has spoken if they were the first to end.
    """
    if environment is not None and environment.local_rank > 0:
        deadline = time.monotonic() + REFUSE_SECONDS
        while signals.caught is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if signals.caught:
            return 2
    log(sentence)
    return 2


def acquire_run(run: Run) -> filelock.BaseFileLock:
    """Acquire the run's lock. Raises UserError if another trainer holds it, saying who; if the run is gone."""
    if heard := heard_elsewhere([run]):
        raise UserError(already_training(run.name, heard[1]))
    lock = trainer_lock(run.lock_path)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            status = run.status()
            if run.is_alive() or time.monotonic() > deadline:
                raise UserError(already_training(run.name, status)) from None
            time.sleep(0.05)
        except OSError as error:
            raise os_error_in_words(error, f"train {run.name}") from error
        else:
            break
    try:
        refuse_if_gone(run)
    except UserError:
        lock.release()
        raise
    return lock


def takeover_note(status: Status) -> str:
    """A sentence if the last trainer was on another machine and has fallen silent."""
    if not may_train_elsewhere(status):
        return ""
    return f"Process {status.pid} on {status.host} trained it before and is silent, so that this one has taken over."


def train(run: Run, signals: StopSignals, environment: RankEnvironment | None = None) -> int:
    """Train a run whose lock is held; returns the exit code."""
    before = run.status()
    try:
        refuse_finished(run)
        remove_leftovers(run.path)
        take_commands(run.control_path)
        status = Status(
            phase="starting",
            step=before.step,
            steps=run.config.train.steps,
            pid=os.getpid(),
            pid_started=psutil.Process().create_time(),
            host=platform.node(),
            seconds=before.seconds,
        )
        board = StatusBoard(run.status_path, status)
        board.start()
    except UserError as error:
        log(str(error))
        return 2
    except OSError as error:
        log(str(os_error_in_words(error, f"write into {run.path}")))
        return 2
    lower_priority_on_cpu(run)
    from models.config import TokenizerError

    try:
        from lab.training.training_loop import Training
        from lab.training.training_setup import telling_out_of_memory

        with telling_out_of_memory(run.config), contextlib.ExitStack() as stack:
            notes, ranks = [takeover_note(before)], None
            if environment is not None:
                from lab.training.distributed.rank_roles import leading

                ranks = stack.enter_context(leading(run, environment, board, signals))
                if run.config.model.dropout:
                    notes.append(f"Each of the {environment.count} ranks draws its own dropout masks.")
            training = Training(run, board, signals, " ".join(filter(None, notes)), ranks)
            tell(start_line(run, board.status, environment))
            training.train()
    except (UserError, TokenizerError) as error:
        report_failure(board, str(error))
    except Exception as error:
        traceback.print_exc()
        report_failure(board, f"The trainer failed with an internal error ({name_error(error)}); see trainer.log.")
    try:
        board.end()
    except OSError as error:
        log(str(os_error_in_words(error, f"write the status of {run.name}")))
        return 1
    if board.status.phase == "failed":
        return 1
    tell(end_line(run, board.status))
    return 0


def report_failure(board: StatusBoard, sentence: str) -> None:
    """Write the reason into the log, and into the status where the disk allows."""
    log(sentence)
    with contextlib.suppress(OSError):
        board.update("failed", message=sentence)


def lower_priority_on_cpu(run: Run) -> None:
    """Let the screen have a core when it needs one. A GPU leaves the cores to it, and must not wait for one itself."""
    if not machine().trains_on_gpu(run.config.train.device):
        lower_priority(NICENESS)


def tell(sentence: str) -> None:
    """Say it to the user of torchrun; `llmlab` tells of the ranks that it has started itself."""
    if "RANK" in os.environ and OWN_LAUNCHER not in os.environ:
        log(sentence)


if __name__ == "__main__":
    code = main()
    if "RANK" in os.environ:  # without the teardown of its process group, which may wait for ranks that are gone
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
