"""The record of a job: its first line and its last, the work whose lines it holds, and the record as it is read. No torch."""

import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import msgspec

from lab.core.errors import UserError, name_error
from lab.core.machine import cores
from lab.runs.metrics_log import LineReader, LineWriter
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
