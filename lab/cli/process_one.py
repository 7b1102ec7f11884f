"""`llmlab` as process 1 of a container: it runs as a child of this process, which has the container's trainings save at the end.

Process 1 has no default action for a signal, and its end kills all others. So after SIGTERM, and once the child has ended,
trainings in the background are asked to save and end, and waited for. SIGINT is handed on to the child.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

SIGNALS = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCHLD}
POLL_SECONDS = 0.2
SECONDS_TO_REPORT = 3.0
"""Time in which a command that follows a training tells how it has ended, before it is ended itself."""
SECONDS_TO_SAVE = 600.0
"""Longest wait once the child has ended: a halted trainer would hold up the container for ever."""


def run_below_process_one(main: Callable[[], int]) -> int:
    """Run `main` in a child process, which has the terminal. Returns its exit code, 128 + n after signal n."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    child = os.fork()
    if child == 0:
        _take_terminal()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return main()
    code, saved_at = None, 0.0
    stops = False
    while code is None:
        caught = signal.sigtimedwait(SIGNALS, POLL_SECONDS)
        if caught is not None and caught.si_signo == signal.SIGINT:
            os.kill(child, signal.SIGINT)
        elif caught is not None and caught.si_signo != signal.SIGCHLD:
            stops = True
            _end(_background())
        code = _reap(child)
        if stops and code is None and not _background():
            saved_at = saved_at or time.monotonic()
            if time.monotonic() - saved_at > SECONDS_TO_REPORT:
                os.kill(child, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS_TO_SAVE
    if not stops and (left := _background()):
        sys.stderr.write("llmlab: the container ends with this command: a run that is training saves and stops.\n")
        _end(left)
    while _background() and time.monotonic() < deadline:
        signal.sigtimedwait(SIGNALS, POLL_SECONDS)
        _reap(child)
    return code if code >= 0 else 128 - code


def _take_terminal() -> None:
    """Make this process the terminal's foreground group. It ignores ctrl+z: no shell is there that could let it go on."""
    for number in (signal.SIGTSTP, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    os.setpgid(0, 0)
    if sys.stdin.isatty():
        os.tcsetpgrp(sys.stdin.fileno(), os.getpid())


def _background() -> list[Any]:
    """The living processes in sessions of their own, as trainers are, that the lab has started."""
    import psutil  # type: ignore[import-untyped]

    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) != os.getsid(0) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _end(processes: list[Any]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)


def _reap(child: int) -> int | None:
    """Take note of the processes that have ended, among them those left by others. Returns the child's exit code if it has."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
    return code
