"""`llmlab` as process 1 of a container: it runs as a child of this process, which has the container's trainings save at the end.

Process 1 has no default action for a signal, and its end kills all others. So after SIGTERM, and once the child has ended,
trainings in the background are asked to save and end, and waited for.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

SIGNALS = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCHLD}
POLL_SECONDS = 0.2
SECONDS_TO_REPORT = 3.0
"""Time in which a command that follows a training tells how it has ended, before it is ended itself."""
SECONDS_TO_SAVE = 600.0
"""Longest wait once the child has ended: a halted trainer would hold up the container for ever."""


def run_below_process_one(main: Callable[[], int]) -> int:
    """Run `main` in a child process. Returns its exit code, 128 + n after signal n."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return main()
    code, asked, working_at = None, False, 0.0
    while True:
        caught = signal.sigtimedwait(SIGNALS, POLL_SECONDS)
        number = caught.si_signo if caught is not None else 0
        with suppress(ChildProcessError):  # those that have ended, also of parents that have
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                code = os.waitstatus_to_exitcode(ended[1]) if ended[0] == child else code
        if number == signal.SIGINT and code is None and not sys.stdin.isatty():  # a terminal has sent it to both
            os.kill(child, signal.SIGINT)
        must_end = code is not None or asked or number in (signal.SIGTERM, signal.SIGHUP)
        left = _background() if must_end else []
        if must_end and not asked:
            asked, working_at = True, time.monotonic()
            if left and code is not None:
                sys.stderr.write("llmlab: the container ends with this command: a run that is training saves and stops.\n")
            _end(left)
        working = time.monotonic() - working_at
        if code is not None and (not left or working > SECONDS_TO_SAVE):
            return code if code >= 0 else 128 - code
        if code is None and left:
            working_at = time.monotonic()
        elif code is None and asked and working > SECONDS_TO_REPORT:
            _end([child])


def _background() -> list[int]:
    """The living processes in sessions of their own, as trainers are, that the lab has started."""
    import psutil  # type: ignore[import-untyped]

    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) != os.getsid(0) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def _end(processes: list[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
