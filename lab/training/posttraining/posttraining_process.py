"""Process of a post-training: `python -P -m lab.training.posttraining.posttraining_process RUN HOME SETTINGS PREDICTION`.

It holds the lock of its work folder for as long as it lives, so that a second one is refused, and has a low priority. A kill at
any moment leaves whole runs only, the models of an earlier one among them (`result_swap`), and progress.jsonl up to there; it is
then started anew. torch is imported once the lock is held.
"""

import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import filelock
import msgspec

from lab.core.atomic_io import os_error_in_words
from lab.core.detached_process import lower_priority
from lab.core.errors import UserError, name_error
from lab.core.safe_open import JSON_ERRORS
from lab.runs.find_runs import open_run
from lab.runs.metrics_log import LineWriter
from lab.runs.run_folder import Run
from lab.runs.run_locks import acquire_now, trainer_lock
from lab.training.posttraining.posttraining_schema import Begun, Ended, Line, PosttrainSettings, Saved
from lab.training.posttraining.result_swap import begin, end_of, settle
from lab.training.posttraining.work_folder import WorkFolder, check_base
from lab.training.trainer import NICENESS

STOPPED = "Stopped."


class Stopped(BaseException):
    """A signal asked the process to end."""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 finished, 1 failed or stopped, 2 not begun."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        path, home, settings, prediction = arguments
        asked = msgspec.json.decode(settings, type=PosttrainSettings)
    except (ValueError, *JSON_ERRORS):
        sys.stderr.write(
            "usage: python -P -m lab.training.posttraining.posttraining_process RUN HOME SETTINGS-AS-JSON PREDICTION\n"
        )
        return 2
    _handle_signals(_note_stop)
    try:
        base = open_run(Path(path).absolute())
        folder = WorkFolder(base.name, Path(home))
        check_base(base, Path(home))
        folder.make()
        with acquire_now(trainer_lock(folder.lock_path)):
            return _work(base, folder, asked, prediction)
    except filelock.Timeout:
        sys.stderr.write(f"{base.name} is being post-trained already.\n")
        return 2
    except Stopped:
        sys.stderr.write(f"{STOPPED}\n")
        return 1
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{os_error_in_words(error, 'post-train')}\n")
        return 2


_stops: list[int] = []
"""Signals that asked for the end. What they raise is lost where it meets a callback of torch's, or of the garbage collection."""


def _note_stop(number: int, _frame: FrameType | None) -> None:
    """Raises nothing: an exception in the import of torch can abort the process."""
    _stops.append(number)


def _stop(number: int, _frame: FrameType | None) -> None:
    _stops.append(number)
    raise Stopped


def _handle_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, handler)


def _raise_if_stopped() -> None:
    if _stops:
        raise Stopped


def _work(base: Run, folder: WorkFolder, settings: PosttrainSettings, prediction: str) -> int:
    """Post-train while the lock is held; returns the exit code. The end is in progress.jsonl, however it came."""
    where = begin(folder)
    lower_priority(NICENESS)
    code = _post_train(base, where, folder, settings, prediction)
    settle(folder)
    return code


def _post_train(base: Run, where: Path, folder: WorkFolder, settings: PosttrainSettings, prediction: str) -> int:
    writer = LineWriter(folder.progress_path)
    began = time.monotonic()

    def log(line: Line) -> None:
        _raise_if_stopped()
        if where == folder.home or not isinstance(line, Saved):
            writer.write(line)

    def ended(message: str) -> int:
        writer.write(Ended(is_finished=False, seconds=time.monotonic() - began, message=message))
        return 1

    try:
        log(Begun(pid=os.getpid(), host=platform.node()))
        from lab.training.posttraining.posttraining_job import PosttrainingJob

        _handle_signals(_stop)
        _raise_if_stopped()
        PosttrainingJob(base, where, settings, log, prediction).run()
        _handle_signals(_note_stop)
        log(end_of(folder, time.monotonic() - began))
        writer.sync()
    except Stopped:
        return ended(STOPPED)
    except UserError as error:
        return ended(str(error))
    except Exception as error:
        traceback.print_exc()
        if _stops:  # it interrupted an import or a callback, which raised an error of its own
            return ended(STOPPED)
        return ended(f"Post-training failed with an internal error ({name_error(error)}); see {folder.log_path}.")
    finally:
        writer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
