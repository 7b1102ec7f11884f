"""A job: long work in a process of its own. What starts, stops, follows, lists and deletes it. No torch.

A study, a post-training and a scaling experiment are jobs. Each has a folder, <home>/.studies/NAME and so on:

    record.jsonl   the lines of the last one that finished: the result that stands
    new.jsonl      the lines of one that runs, or that did not finish
    lock           held while its process lives
    control/       commands to the process, one file each: stop
    process.log    what it printed

A result stands once new.jsonl is renamed to record.jsonl, and until then the earlier one does, whatever is killed.
`lab.job_process` is the process; a kind of job says what its work is.
"""

import os
import platform
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

import filelock
import msgspec

from lab.core.atomic_io import os_error_in_words
from lab.core.child_process import DetachedProcess, torch_environment
from lab.core.errors import UserError, name_error
from lab.core.machine import cores
from lab.core.safe_open import is_real_folder, make_private_folder, refuse_link, run_folder_mode
from lab.core.unfinished_folder import owner
from lab.runs.metrics_log import LineReader, LineWriter, last_line
from lab.runs.rename_delete import DELETED_PREFIX
from lab.runs.run_control import acquire_now, send_command, trainer_lock, trainer_lock_is_held
from lab.runs.run_schema import Count, Seconds, Sentence, UnixTime, Word
from lab.training.command_inbox import StopRequestedError

MOST_LINES = 1_000_000
"""Most lines that are kept of a file, so that a damaged one does not fill the memory."""
STOPPED = "It was stopped."

Write = Callable[[msgspec.Struct], None]
"""Appends a line to the record; it raises `StopRequestedError` where the end was asked for."""


class Begun(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """The first line: the process at work."""

    pid: Count
    host: Word
    seed: Count = 0
    cores: Count = 0
    time: UnixTime = 0.0


class Ended(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """The last line."""

    is_finished: bool
    seconds: Seconds
    message: Sentence = ""
    """The reason, if it is not finished; else what is to be told of the result."""
    runs: dict[Word, Word] = {}
    """Names of the runs of a post-training by their models, where an earlier version wrote the line."""


@dataclass
class History:
    """All lines of one record, sorted. A kind of job adds what its own lines say."""

    LINE: ClassVar[Any] = Begun | Ended
    """The types of the lines."""

    begun: Begun | None = None
    ended: Ended | None = None
    lines: int = 0

    def add(self, lines: Sequence[msgspec.Struct]) -> None:
        for line in lines[: MOST_LINES - self.lines]:
            if isinstance(line, Begun):
                self.begun = line
            elif isinstance(line, Ended):
                self.ended = line
            self.take(line)
        self.lines += len(lines)

    def take(self, line: msgspec.Struct) -> None:
        """Add what a line of this kind of job says."""


H = TypeVar("H", bound=History)


def reader_of(path: Path, kind: type[History]) -> "LineReader[msgspec.Struct]":
    return LineReader(path, cast(type[msgspec.Struct], kind.LINE))


def histories_of(path: Path, kind: type[H]) -> list[H]:
    """The records in a file, one after the other; none where there is no file."""
    found = list[H]()
    for line in reader_of(path, kind).read()[:MOST_LINES]:
        if isinstance(line, Begun) or not found:
            found.append(kind())
        found[-1].add([line])
    return found


def history_of(path: Path, kind: type[H]) -> H:
    """The last record in a file; an empty one where there is none."""
    return (histories_of(path, kind) or [kind()])[-1]


def record_work(
    path: Path,
    work: Callable[[Write], str],
    *,
    seed: int = 0,
    poll: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
    log: str = "what it printed",
) -> Ended:
    """Do the work and append its lines to the file; return the last one, which says how it ended, however it came.

    `work` returns what is to be told of its result. A fault of its own is told in `log`.
    """
    writer, began = LineWriter(path), clock()

    def write(line: msgspec.Struct) -> None:
        poll()
        writer.write(line)

    def end(message: str, *, is_finished: bool = False) -> Ended:
        ended = Ended(is_finished=is_finished, seconds=clock() - began, message=message)
        writer.write(ended)
        writer.sync()
        return ended

    try:
        writer.write(Begun(seed=seed, pid=os.getpid(), host=platform.node(), cores=cores(), time=time.time()))
        poll()
        return end(work(write), is_finished=True)
    except StopRequestedError:
        return end(STOPPED)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return end(str(error))
    except Exception as error:
        traceback.print_exc()
        return end(f"It failed with an internal error ({name_error(error)}); see {log}.")
    finally:
        writer.close()


MODULE = "lab.job_process"
WORDS = {".scaling": "scaling experiment", ".posttraining": "post-training of", ".studies": "study"}
"""Kinds of jobs in words by the folder that each has in a home."""
STOP_SECONDS = 120.0
"""Longest wait for a process to end after the command to stop."""
POLL_SECONDS = 0.1
START_BYTES = 8192
"""Bytes at the beginning of a record that are sure to hold its first line."""
INTERRUPTED = "It was interrupted."


class Job:
    """The files of a job. The constructor reads nothing."""

    FOLDER: ClassVar[str]
    """One of `WORDS`."""
    NICENESS: ClassVar[int] = 10
    """Priority of its process: below that of the screen and of other people's processes."""
    THREADS: ClassVar[int | None] = 1
    """Threads of torch: for models as small as most jobs' more are slower, and a result depends on their number."""

    def __init__(self, name: str, home: Path) -> None:
        self.name, self.home = name, home.absolute()
        self.path = self.home / self.FOLDER / name
        self.record_path = self.path / "record.jsonl"
        self.new_path = self.path / "new.jsonl"
        self.lock_path = self.path / "lock"
        self.control_path = self.path / "control"
        self.log_path = self.path / "process.log"

    @property
    def words(self) -> str:
        return f"{WORDS[self.FOLDER]} {self.name}"

    def prepare(self, request: bytes) -> None:
        """Make ready for the work, with the lock held; the record is not begun yet. Raises UserError if it may not begin."""
        self.settle()

    def work(self, request: bytes, write: Write, poll: Callable[[], None]) -> str:
        """Do what was asked for; return what is to be told of the result, else "".

        `poll`, which `write` calls too, raises `StopRequestedError` where the end was asked for.
        """
        raise NotImplementedError

    def seed(self, request: bytes) -> int:
        """The seed of what was asked for, for the first line."""
        return 0

    def clock(self) -> float:
        """Seconds, for the last line."""
        return time.monotonic()

    def settle(self) -> None:
        """Carry out what a kill, or an earlier version, left undone. Only while the lock is held."""

    def is_settled(self) -> bool:
        """False if there is something to `settle`."""
        return True

    def delete_result(self) -> None:
        """Delete what was made outside of the folder. Only while the lock is held."""

    def settle_if_idle(self) -> None:
        """`settle`, for what shows the result. Raises UserError if the system refuses."""
        if not self.is_settled() and not self.is_running():
            try:
                self.make()
                with suppress(filelock.Timeout), acquire_now(trainer_lock(self.lock_path)):
                    self.settle()
            except OSError as error:
                raise os_error_in_words(error, f"read the {self.words}") from error

    def make(self) -> None:
        """Make the folder. Raises: UserError if a link has its name; OSError as the system says."""
        make_private_folder(self.home)
        for folder in (self.path.parent, self.path):
            refuse_link(folder)
            folder.mkdir(run_folder_mode(self.home), exist_ok=True)

    def exists(self) -> bool:
        """True if there is something to show and to delete."""
        return self.record_path.exists() or self.new_path.exists()

    def is_running(self) -> bool:
        """True while its process lives: it holds the lock."""
        return trainer_lock_is_held(self.lock_path)

    def start(self, request: msgspec.Struct | None = None) -> None:
        """Start its process and wait until it has begun. It belongs to no terminal and outlives this process.

        Raises:
            UserError: if it runs already; if it could not begin, with the last line of its log.
        """
        if self.is_running():
            raise UserError(f"The {self.words} runs already.")
        try:
            self.make()
            process = DetachedProcess(
                MODULE,
                (str(self.path), msgspec.json.encode(request).decode()),
                log=self.log_path,
                folder=self.path,
                environment=torch_environment(self.THREADS),
            )
        except OSError as error:
            raise os_error_in_words(error, f"start the {self.words}") from error

        def has_begun() -> bool:
            begun = (next(LineReader(path, Begun).parts(START_BYTES)) for path in (self.new_path, self.record_path))
            return next((lines[0].pid == process.pid for lines in begun if lines), False)

        process.wait_for_start(has_begun, f"The {self.words}")

    def stop(self) -> bool:
        """Ask the process to end, which it does at its next line. False if there is none. Raises UserError if it cannot."""
        if not self.is_running():
            return False
        try:
            send_command(self.control_path, "stop")
        except OSError as error:
            raise os_error_in_words(error, f"stop the {self.words}") from error
        return True

    def end(self) -> None:
        """Stop the process and wait until it is gone. Raises UserError if it has not ended after `STOP_SECONDS`."""
        give_up = time.monotonic() + STOP_SECONDS
        while self.is_running():
            if not (self.control_path / "stop").exists():  # or a process that begins just now takes it for an old one
                self.stop()
            if time.monotonic() > give_up:
                raise UserError(f"The {self.words} has not stopped within {STOP_SECONDS:.0f} s; it may still do so.")
            time.sleep(POLL_SECONDS)

    def delete(self) -> None:
        """Stop it, and delete its result and its folder.

        The folder gets a hidden name first, so that no process that starts meanwhile works in it.

        Raises:
            UserError: if it does not stop, or something cannot be deleted now, with the reason.
        """
        refuse_link(self.path)
        self.end()
        gone = self.path.with_name(f"{DELETED_PREFIX}{owner()}")
        try:
            if is_real_folder(self.path):
                with acquire_now(trainer_lock(self.lock_path)):
                    self.settle()
                    self.delete_result()
                    os.rename(self.path, gone)
                shutil.rmtree(gone)
        except filelock.Timeout:
            raise UserError(f"The {self.words} was started again meanwhile.") from None
        except OSError as error:
            raise os_error_in_words(error, f"delete the {self.words}") from error


class JobFollower(Generic[H]):
    """Reads a record as it grows: that of the job that runs, else the one that stands; if there is none, an unfinished one."""

    def __init__(self, job: Job, kind: type[H]) -> None:
        self.job, self._kind = job, kind
        self.history = kind()
        self.is_running = False
        """As of the last `read`, as all here."""
        self.stands = False
        """True if what is shown is the result that stands."""
        self.exists = False
        """True if there is a record of here, also of what did not finish."""
        self.problem = ""
        """The reason why what was started last did not finish."""
        self._lines: LineReader[msgspec.Struct] | None = None

    def read(self) -> bool:
        """Read on; True if something has changed. Raises: UserError as `Job.settle_if_idle`."""
        if self._lines is None:
            self.job.settle_if_idle()
        before = (self.is_running, self.exists, self.problem)
        self.is_running, self.exists = self.job.is_running(), self.job.exists()
        self.problem = "" if self.is_running or not self.job.new_path.exists() else self._problem()
        self.stands = not self.is_running and self.job.record_path.exists()
        path = self.job.record_path if self.stands else self.job.new_path
        if is_other := self._lines is None or path != self._lines.path:
            self._lines = reader_of(path, self._kind)
        lines = self._lines.read()
        if is_other or self._lines.restarted:
            self.history = self._kind()
        self.history.add(lines)
        return bool(lines) or is_other or self._lines.restarted or before != (self.is_running, self.exists, self.problem)

    def _problem(self) -> str:
        ended = last_line(self.job.new_path, Ended)
        return (ended.message if ended is not None else "") or INTERRUPTED


def jobs_under_way(home: Path) -> dict[Path, tuple[str, str]]:
    """The jobs that have a process now, by their folders: the kind in words, and the name."""
    locks = (lock for folder in WORDS for lock in sorted((home / folder).glob("*/lock")) if trainer_lock_is_held(lock))
    return {lock.parent: (WORDS[lock.parts[-3]], lock.parts[-2]) for lock in locks}
