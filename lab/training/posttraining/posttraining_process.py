"""Process of a post-training, `python -P -m lab.training.posttraining.posttraining_process RUN HOME SETTINGS PREDICTION`, started
and stopped.

It holds the lock of its work folder for as long as it lives, so that a second one is refused, and has a low priority. A kill at
any moment leaves whole runs only, the models of an earlier one among them, and progress.jsonl up to there; it is then started
anew. torch is imported once the lock is held.

The three models take the places of an earlier one's: all of them, or none. Until the end they are made aside, in the work folder,
and the earlier ones stand, with their course in earlier.jsonl. The line `Ended` with their names decides: before it, what was
made aside is dropped, and that course is progress.jsonl again; after it, they take their places. After a kill the next command
sees to that.
"""

import os
import platform
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

import filelock
import msgspec

from lab.core.atomic_io import os_error_in_words, replace_atomic, sync_folder
from lab.core.detached_process import DetachedProcess, ask_to_end, lower_priority, torch_environment
from lab.core.errors import UserError, name_error
from lab.core.safe_open import JSON_ERRORS
from lab.runs.find_runs import open_run
from lab.runs.home_folder import free_names
from lab.runs.metrics_log import LineWriter
from lab.runs.rename_delete import refuse_to_delete, replace_run
from lab.runs.run_folder import Run
from lab.runs.run_locks import acquire_now, trainer_lock
from lab.training.posttraining.posttraining_history import PosttrainingFollower, history_of
from lab.training.posttraining.posttraining_schema import MODELS, Begun, Ended, Line, PosttrainSettings, Saved
from lab.training.posttraining.work_folder import WorkFolder, check_base, check_replaceable, earlier_runs, tuned_name
from lab.training.trainer import NICENESS

MODULE = "lab.training.posttraining.posttraining_process"
STOPPED = "Stopped."


def start_posttraining(base: Run, home: Path, settings: PosttrainSettings) -> WorkFolder:
    """Start the process and wait until it has begun. It belongs to no terminal and outlives this process.

    The runs of an earlier post-training of this base are replaced.

    Raises:
        UserError: as `check_base` and `WorkFolder.make`; if one runs already; if the process could not begin, with the last line
            of its log, as where one of those runs cannot be replaced now.
    """
    check_base(base, home)
    folder = WorkFolder(base.name, home)
    if folder.is_running():
        raise UserError(f"{base.name} is being post-trained already.")
    try:
        folder.make()
        process = DetachedProcess(
            MODULE,
            (str(base.path), str(home), msgspec.json.encode(settings).decode()),
            log=folder.log_path,
            folder=folder.path,
            environment=torch_environment(1),
        )
    except OSError as error:
        raise os_error_in_words(error, f"start post-training {base.name}") from error
    follower = PosttrainingFollower(folder)

    def has_begun() -> bool:
        follower.read()
        return follower.history.begun is not None and follower.history.begun.pid == process.pid

    process.wait_for_start(has_begun, f"The post-training of {base.name}")
    return folder


def stop_posttraining(folder: WorkFolder) -> bool:
    """Ask the process to end, which it does within a round. False if there is none to ask on this machine."""
    follower = PosttrainingFollower(folder)
    follower.read()
    begun = follower.history.begun
    if begun is None or follower.history.ended is not None or begun.host != platform.node() or not folder.is_running():
        return False
    return ask_to_end(begun.pid, MODULE)


class Stopped(BaseException):
    """A signal asked the process to end."""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 finished, 1 failed or stopped, 2 not begun."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        path, home, settings = arguments
        asked = msgspec.json.decode(settings, type=PosttrainSettings)
    except (ValueError, *JSON_ERRORS):
        sys.stderr.write("usage: python -P -m lab.training.posttraining.posttraining_process RUN HOME SETTINGS-AS-JSON\n")
        return 2
    _handle_signals(_note_stop)
    try:
        base = open_run(Path(path).absolute())
        folder = WorkFolder(base.name, Path(home))
        check_base(base, Path(home))
        folder.make()
        with acquire_now(trainer_lock(folder.lock_path)):
            return _work(base, folder, asked)
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


def _work(base: Run, folder: WorkFolder, settings: PosttrainSettings) -> int:
    """Post-train while the lock is held; returns the exit code. The end is in progress.jsonl, however it came."""
    where = begin(folder)
    lower_priority(NICENESS)
    code = _post_train(base, where, folder, settings)
    settle(folder)
    return code


def _post_train(base: Run, where: Path, folder: WorkFolder, settings: PosttrainSettings) -> int:
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
        PosttrainingJob(base, where, settings, log).run()
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


def begin(folder: WorkFolder) -> Path:
    """Begin progress.jsonl anew while the lock is held; return the folder to make the models in: the home, if none stand there.

    Raises:
        UserError: if one of the models that stand cannot be replaced now; as `settle`.
    """
    settle(folder)
    earlier = earlier_runs(folder.base, folder.home)
    refuse_to_delete(earlier)
    if not earlier:
        folder.earlier_path.unlink(missing_ok=True)
    elif history_of(folder.progress_path).saved:
        folder.progress_path.replace(folder.earlier_path)
    replace_atomic(folder.progress_path, [])
    return folder.aside_path if earlier else folder.home


def end_of(folder: WorkFolder, seconds: float) -> Ended:
    """The last line of a post-training that has made its models, which `settle` then carries out.

    Where an earlier model cannot be replaced now, all of them stay, and the new ones get other names.
    """
    if not folder.aside_path.exists():
        return Ended(is_finished=True, seconds=seconds)
    sync_folder(folder.path)
    names, message = {model: tuned_name(folder.base, model) for model in MODELS[1:]}, ""
    try:
        refuse_to_delete(earlier_runs(folder.base, folder.home))
    except UserError as error:
        names = {model: next(free_names(None, name, folder.home)) for model, name in names.items()}
        message = f"{error} So the earlier models stay, and the new ones are called {', '.join(names.values())}."
    return Ended(is_finished=True, seconds=seconds, message=message, runs=names)


def settle(folder: WorkFolder) -> None:
    """Give the models made aside their names if all were made, else go back to the earlier result. Only while the lock is held.

    Raises:
        UserError: if one cannot have its name now.
    """
    history = history_of(folder.progress_path)
    if history.ended is not None and history.ended.is_finished:
        for model, name in history.saved.items():
            made = folder.aside_path / tuned_name(folder.base, model)
            if made.exists():
                check_replaceable(folder.base, name, folder.home)
                replace_run(Run(folder.home / name), made)
        folder.earlier_path.unlink(missing_ok=True)
    elif folder.earlier_path.exists():
        earlier, writer = history_of(folder.earlier_path), LineWriter(folder.earlier_path)
        why = history.ended.message if history.ended is not None else "It was interrupted."
        seconds = earlier.ended.seconds if earlier.ended is not None else 0.0
        writer.write(Ended(is_finished=False, seconds=seconds, message=f"{why} The earlier result stands.", runs=earlier.saved))
        writer.close()
        folder.earlier_path.replace(folder.progress_path)
    shutil.rmtree(folder.aside_path, ignore_errors=True)


def settle_if_idle(folder: WorkFolder) -> None:
    """`settle` after a kill, for what shows the result."""
    if (folder.aside_path.exists() or folder.earlier_path.exists()) and not folder.is_running():
        with suppress(filelock.Timeout), acquire_now(trainer_lock(folder.lock_path)):
            settle(folder)


if __name__ == "__main__":
    sys.exit(main())
