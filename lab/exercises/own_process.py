"""Process for a learner's code: a fork of this one with limits, whose messages and output are followed until it ends.

It is the learner's own code, with their rights. It knows what this process knew when it forked, and nothing that is computed
here afterwards. What it prints is kept up to a size; it is ended when it takes too long, prints too much, or the lab is gone.
"""

import math
import os
import resource
import selectors
import signal
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

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
LENGTH = struct.Struct("<Q")
"""Of a message, before it."""
ENDLESS = "a loop without an end, or too slow a way"
ENDED = "Your code ended Python itself, or closed what its result goes through"

Send = Callable[[bytes], None]


@dataclass
class Followed:
    """What came from the process."""

    messages: list[bytes] = field(default_factory=list)
    printed: str = ""
    end: str = ""
    """How it ended, as a sentence for the case that messages are missing."""


def followed(work: Callable[[Send], None], seconds: float) -> Followed:
    """Do this work in a fork, which gets a function that sends messages, and follow it for so many seconds of processor time."""
    (answers, send_end), (output, print_end) = os.pipe(), os.pipe()
    sys.stdout.flush()
    if not (child := os.fork()):
        os.setsid()  # so that it does not end this process by ending its group
        for stream, end in enumerate((os.open(os.devnull, os.O_RDONLY), print_end, print_end)):
            os.dup2(end, stream)
        for end in (answers, output, print_end):
            os.close(end)
        _limit(seconds)
        _work(work, send_end)
    os.close(send_end)
    os.close(print_end)
    return _Follower(child, answers, output, seconds).result()


def _work(work: Callable[[Send], None], send_end: int) -> None:
    printed = sys.stdout  # the code may put another in its place
    try:
        with os.fdopen(send_end, "wb") as to_asker:

            def send(message: bytes) -> None:
                to_asker.write(LENGTH.pack(len(message)) + message)
                to_asker.flush()

            work(send)
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


class _Follower:
    def __init__(self, child: int, answers: int, output: int, seconds: float) -> None:
        self._child, self._answers, self._output, self._seconds = child, answers, output, seconds
        self._received = {answers: bytearray(), output: bytearray()}
        self._written = 0

    def result(self) -> Followed:
        end, code = self._follow()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child, signal.SIGKILL)  # it, or what it has left
        end = end or self._in_words(os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1]) if code is None else code)
        received, messages = self._received[self._answers], list[bytes]()
        while len(received) >= LENGTH.size and len(received) >= (size := LENGTH.size + LENGTH.unpack_from(received)[0]):
            messages.append(bytes(received[LENGTH.size : size]))
            del received[:size]
        return Followed(messages, self._received[self._output].decode(errors="replace"), end)

    def _in_words(self, code: int) -> str:
        if code == -signal.SIGXCPU:
            return f"It took longer than {self._seconds:g} s of processor time: {ENDLESS}."
        if code == -signal.SIGKILL:
            return KILLED.format(self._seconds)
        return f"{ENDED} ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})."

    def _follow(self) -> tuple[str, int | None]:
        """Read until the process has ended; a sentence where it is to be cut short, else its exit code."""
        most = WAITS * self._seconds
        deadline, code = time.monotonic() + most, None
        with selectors.DefaultSelector() as selector:
            for end in (0, self._answers, self._output):
                selector.register(end, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                ready = selector.select(0.05)
                if code is None and (ended := os.waitpid(self._child, os.WNOHANG))[0]:
                    code = os.waitstatus_to_exitcode(ended[1])
                elif code is not None and not ready:
                    return "", code  # all is read; a process that it has left may hold the pipes
                for key, _ in ready:
                    content = os.read(key.fd, 1 << 20)
                    if key.fd == 0 and not content:  # the lab is gone
                        os.killpg(self._child, signal.SIGKILL)
                        os._exit(1)
                    if not content:
                        selector.unregister(key.fd)
                    elif key.fd == self._output:
                        self._written += len(content)
                        self._received[key.fd] += content[: MOST_PRINTED - len(self._received[key.fd])]
                    elif key.fd:
                        self._received[key.fd] += content
                if self._written > MOST_OUTPUT:
                    return f"It printed more than {bytes_(MOST_OUTPUT)}.", code
        return f"It took longer than {most:g} s by the clock: {ENDLESS}.", code
