"""Process for a learner's code: a fork of this one with limits, whose messages and output are followed until it ends.

It is the learner's own code, with their rights. It knows what this process knew when it forked, and nothing that is computed
here afterwards. What it prints is kept up to a size; it is ended when it takes too long, prints too much, or the lab is gone.
"""

import math
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from lab.core.number_format import bytes_
from lab.exercises.check_result import KILLED

WAITS = 5
"""Multiple of its processor time which it may take by the clock: other programs take time, too."""
MOST_MEMORY = 4 << 30
"""Bytes that the learner's code may take beyond what torch has."""
MOST_WRITTEN = 1 << 26
"""Bytes of a file that it may write."""
MOST_PRINTED = 1 << 16
"""Bytes of what the code prints that are kept."""
MOST_OUTPUT = 16_000_000
"""Bytes after which code that prints without end is ended."""
LAB = 0
"""This process's standard input, the end of which is the end of the lab."""
ENDLESS = "a loop without an end, or too slow a way"
ENDED = "Your code ended Python itself, or closed what its result goes through"

Send = Callable[[bytes], None]


def followed(work: Callable[[Send], object], seconds: float) -> tuple[list[bytes], str, str]:
    """Do this work in a fork, which gets a function that sends messages, and follow it for so many seconds of processor time.
    Returns the messages, what it printed, and how it ended, as a sentence for the case that messages are missing."""
    fork = multiprocessing.get_context("fork")
    answers, send_end = fork.Pipe(duplex=False)
    output, print_end = os.pipe()
    process = fork.Process(target=_work, args=(work, send_end, print_end, seconds))
    process.start()
    send_end.close()
    os.close(print_end)
    messages, printed, written, end = list[bytes](), b"", 0, ""
    ends, most, is_alive = list[Any]((LAB, answers, output)), WAITS * seconds, True
    deadline = time.monotonic() + most
    while not end and ((ready := wait(ends, 0.05)) or is_alive):  # a process that it has left may hold the pipes
        is_alive = process.is_alive()  # what it wrote before it ended is read in the next round
        for each in ready:
            try:
                content = os.read(each, 1 << 16) if isinstance(each, int) else answers.recv_bytes()
            except (EOFError, OSError):  # the code may have written there itself
                content = b""
            if not content and each == LAB:
                os.killpg(process.pid or 0, signal.SIGKILL)
                os._exit(1)
            if not content:
                ends.remove(each)
            elif isinstance(each, int):
                printed, written = (printed + content)[:MOST_PRINTED], written + len(content)
            else:
                messages.append(content)
        if written > MOST_OUTPUT:
            end = f"It printed more than {bytes_(MOST_OUTPUT)}."
        elif time.monotonic() > deadline:
            end = f"It took longer than {most:g} s by the clock: {ENDLESS}."
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid or 0, signal.SIGKILL)  # it, or what it has left
    process.join()
    code = process.exitcode or 0
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    late = f"It took longer than {seconds:g} s of processor time: {ENDLESS}."
    known = {-signal.SIGXCPU: late, -signal.SIGKILL: KILLED.format(seconds)}
    return messages, printed.decode(errors="replace"), end or known.get(code, f"{ENDED} ({how}).")


def _work(work: Callable[[Send], object], send_end: Connection, print_end: int, seconds: float) -> None:
    os.setsid()  # so that it does not end the check by ending its group
    for stream in (1, 2):
        os.dup2(print_end, stream)
    printed = sys.stdout  # the code may put another in its place
    _limit(seconds)
    try:
        work(send_end.send_bytes)
    finally:
        with suppress(OSError, ValueError):
            printed.flush()
        os._exit(0)  # threads that the code has started do not keep it


def _limit(seconds: float) -> None:
    limits = {resource.RLIMIT_CPU: math.ceil(seconds), resource.RLIMIT_FSIZE: MOST_WRITTEN}
    with suppress(OSError, StopIteration):  # Linux tells what is taken already
        taken = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
        limits[resource.RLIMIT_DATA] = int(taken.split()[1]) * 1024 + MOST_MEMORY
    for kind, most in limits.items():
        with suppress(ValueError, OSError):  # a lower limit holds already
            resource.setrlimit(kind, (most, most + (kind == resource.RLIMIT_CPU)))  # SIGXCPU, and a second later SIGKILL
