"""Process of a job, `python -P -m lab.job_process FOLDER REQUEST`, for any kind; see `lab.training.job`.

It holds the job's lock for as long as it lives, so that a second one is refused, and has a low priority. It works in its folder,
so that it knows that one again: a job that was deleted before it had the lock is not done.

Imports `lab.core`, `lab.runs`, `lab.training`, `lab.training.scaling`, `lab.training.posttraining` and
`lab.studies`.
"""

import os
import sys
from pathlib import Path

import filelock

from lab.core.atomic_io import os_error_in_words, replace_atomic, sync_folder
from lab.core.child_process import lower_priority
from lab.core.errors import UserError
from lab.runs.run_control import acquire_now, take_commands, trainer_lock
from lab.studies.study_job import StudyJob
from lab.training.command_inbox import CommandInbox, StopRequestedError
from lab.training.job import MODULE, Job, record_work
from lab.training.posttraining.posttraining_job import PosttrainingJob
from lab.training.scaling.scaling_experiment import ScalingExperiment
from lab.training.stop_signals import StopSignals

KINDS: tuple[type[Job], ...] = (ScalingExperiment, PosttrainingJob, StudyJob)
"""The kinds of jobs. To add one, write its class and its name here, and its words in `lab.training.job.WORDS`."""


def job_at(path: Path) -> Job:
    """The job in this folder. Raises: KeyError for a folder of no job."""
    kinds = {kind.FOLDER: kind for kind in KINDS}
    return kinds[path.parent.name](path.name, path.parent.parent)


def main(arguments: list[str] | None = None) -> int:
    """Do a job. Returns the exit code: 0 finished, 1 failed or stopped, 2 not begun."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 2:
        return _refused(f"usage: python -P -m {MODULE} FOLDER-OF-A-JOB REQUEST-AS-JSON")
    signals = StopSignals()
    signals.install()
    job, request = job_at(Path(arguments[0])), arguments[1].encode()
    try:
        _refuse_if_deleted(job)
        with acquire_now(trainer_lock(job.lock_path)):
            _refuse_if_deleted(job)
            return _work(job, request, CommandInbox(job.control_path, signals))
    except filelock.Timeout:
        return _refused(f"The {job.words} runs already.")
    except StopRequestedError:
        return _refused(f"The {job.words} was stopped before it began.")
    except UserError as error:
        return _refused(str(error))
    except OSError as error:
        return _refused(str(os_error_in_words(error, f"do the {job.words}")))


def _refuse_if_deleted(job: Job) -> None:
    if not job.path.exists() or not os.path.samefile(job.path, "."):
        raise UserError(f"The {job.words} was deleted.")


def _work(job: Job, request: bytes, inbox: CommandInbox) -> int:
    """Do the work while the lock is held; the record says how it ended, however it came."""
    take_commands(job.control_path)  # what is there was meant for an earlier process
    lower_priority(job.NICENESS)
    job.prepare(request)
    replace_atomic(job.new_path, [])
    ended = record_work(
        job.new_path,
        lambda write: job.work(request, write, inbox.poll),
        seed=job.seed(request),
        poll=inbox.poll,
        clock=job.clock,
        log=str(job.log_path),
    )
    if ended.is_finished:
        os.replace(job.new_path, job.record_path)
        sync_folder(job.path)
    job.settle()
    return 0 if ended.is_finished else 1


def _refused(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
    return 2


if __name__ == "__main__":
    sys.exit(main())
