"""Child processes that run a module of the lab: a detached one, one that answers a request, and one that measures.

A `DetachedProcess` belongs to no terminal, outlives its starter, and writes its output to a log. `ask_process` is for work that
would block a screen and that a key can end: the module calls `answer`, which writes progress, then a result or the reason why
there is none, one JSON object a line, and ends with the process that asked, whose end of its standard input stays open as long.
A `MeasuringProcess` reads a job from its input and prints what it measured; another thread may cancel it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from lab.core.errors import DamagedFileError, UserError
from lab.core.machine import refuse_without_room_for_torch
from lab.core.safe_open import last_text_line, open_regular, open_to_append
from lab.core.visible_text import shortened, visible

START_SECONDS = 60.0
"""Seconds that a process may take to begin. Python needs a tenth of a second; a sleeping network disk much more."""
POLL_SECONDS = 0.02
END_SECONDS = 40.0
"""Seconds that a process may take to end before it is killed. PyTorch's launcher gives its ranks 30."""

AUTOGROUP = Path("/proc/self/autogroup")
"""Niceness of this process's session on Linux, which shares the processor out by session before it looks at processes."""

_started: list[subprocess.Popen[bytes]] = []
"""Processes that may still run. Kept so that they are waited for and do not become zombies."""


class DetachedProcess:
    """A process that was started and may not have begun its work yet."""

    def __init__(
        self, module: str, arguments: Sequence[str], *, log: Path, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Run `module` in `folder`. Raises: OSError if the log cannot be opened or the process not be started."""
        _started[:] = [process for process in _started if process.poll() is None]
        self._log = log
        with os.fdopen(open_to_append(log), "ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        _started.append(self._process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def wait_for_start(self, has_begun: Callable[[], bool], name: str, reason: Callable[[], str] = str) -> None:
        """Wait until `has_begun`, which is asked again after the process has ended.
        Raises UserError if it ended before, with the `reason` or the last line of its log; or took too long. `name` stands
        for it."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            code = self.returncode
            if has_begun():
                return
            if code is not None:
                raise UserError(reason() or self._last_log_line() or f"{name} ended at once with exit code {code}.")
            time.sleep(POLL_SECONDS)
        self._process.terminate()
        raise UserError(f"{name} did not start within {START_SECONDS:.0f} seconds; its log is {self._log}.")

    def end(self) -> None:
        """End the process, and wait until it is gone."""
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_log_line(self) -> str:
        try:
            with open_regular(self._log) as file:
                return last_text_line(file, self._log_start)
        except (OSError, DamagedFileError):
            return ""


def lower_priority(niceness: int) -> None:
    """Raise the niceness of this process to at least this, and that of its session if it leads one.

    Linux with autogroups shares the processor out by session: the niceness of a process alone has no effect on other sessions.
    """
    niceness = os.nice(max(0, niceness - os.nice(0)))
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # not Linux, or a kernel without autogroups
            AUTOGROUP.write_text(str(niceness))


KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(8 << 30)}
"""Has glibc keep freed memory for the next step instead of giving it back to the system: 15% quicker (micro, 2 cores)."""

OPENMP_SPIN = {"GOMP_SPINCOUNT": "5000"}
"""Iterations that a thread of GNU OpenMP spins before it sleeps. The default of 300,000 blocks a core for milliseconds: beside
busy processes on 2 cores, micro trained on 1,500 tokens a second with it and on 9,000 with 5,000. Idle cores: no difference."""

ONE_NUMPY_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy multiplies only small matrices here; waking every core for them would slow training down."""


def torch_environment(threads: int | None) -> dict[str, str]:
    """The user's environment with the variables that torch's libraries read when they load; what the user has set stays.
    Raises UserError where they cannot load."""
    refuse_without_room_for_torch()
    environment = dict(os.environ)
    if not any(name.startswith("MALLOC_") for name in environment):
        environment |= KEEP_FREED_MEMORY
    environment = ONE_NUMPY_THREAD | environment
    if "OMP_WAIT_POLICY" not in environment:
        environment = OPENMP_SPIN | environment
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    return environment


SECONDS_BETWEEN_PROGRESS = 0.1
SECONDS_TO_END = 10.0
"""Time that a process has to clean up after SIGTERM, before it is killed."""
LONGEST_REPLY = 1 << 26
"""Bytes of a reply, at most: what it holds of a text is bounded."""

Progress = Callable[[int, int], None]
"""Called with how much is done and the total, in the same unit."""
Tell = Callable[[str], None]
"""Called with a sentence at each longer step."""


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Progress, a sentence on the step that begins, an error, or, in a subclass, the result, which comes last."""

    words: str = ""
    done: int = 0
    total: int = 0
    error: str = ""
    is_result: bool = False


R = TypeVar("R", bound=Reply)
Q = TypeVar("Q", bound=msgspec.Struct)


async def ask_process(
    module: str, request: msgspec.Struct, reply_type: type[R], progress: Progress, on_words: Tell | None = None, *, work: str
) -> R:
    """The result of a process of this module. Cancelling the awaiting task ends the process, at once, or where its sentences
    are asked for (`on_words`) with SIGTERM first: such a process has files to clean up.
    `work` names for a sentence what it does.
    Raises UserError with the error that the process replies; if a signal ended it; if the request has a name that is not
    UTF-8."""
    try:
        asked = msgspec.json.encode(request)
    except UnicodeEncodeError as error:
        raise UserError(
            f"{visible(shortened(str(error.object), 200))} is a name that is not UTF-8; rename it, or take another."
        ) from error
    import asyncio

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LONGEST_REPLY,
        start_new_session=True,  # ctrl+c in the terminal is for the screen
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        process.stdin.write(asked + b"\n")
        async for line in process.stdout:
            if not line.endswith(b"\n"):
                break  # killed while it wrote
            reply = msgspec.json.decode(line, type=reply_type)
            if reply.error:
                raise UserError(reply.error)
            if reply.is_result:
                return reply
            if not reply.words:
                progress(reply.done, reply.total)
            elif on_words is not None:
                on_words(reply.words)
        said = (await process.stderr.read()).decode(errors="replace")
        code = await process.wait()
        number = -code if code < 0 else code - 128  # of the signal that ended it, itself or by way of its handler
        if number in set(signal.Signals):
            # Where memory runs out the kernel sends SIGKILL.
            cause = ", perhaps for lack of memory" if number == signal.SIGKILL else f" ({signal.Signals(number).name})"
            raise UserError(f"The {work} ended before it was done{cause}.")
        raise RuntimeError(f"{module} ended early, with exit code {code}: {said}")
    finally:
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            if on_words is not None and process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), SECONDS_TO_END)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.stdin.close()
        await process.wait()


def answer(request_type: type[Q], work: Callable[[Q, Progress], Reply]) -> None:
    """Read a request from standard input and write the replies of `work` to standard output."""
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=request_type)
    threading.Thread(target=_end_with_asker, daemon=True).start()
    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now >= told + SECONDS_BETWEEN_PROGRESS:
            told = now
            _write(Reply(done=done, total=total))

    try:
        _write(msgspec.structs.replace(work(request, progress), is_result=True))
    except UserError as error:
        _write(Reply(error=visible(str(error))))


def tell(words: str) -> None:
    """Reply with a sentence on the step that begins; called by the work of `answer`."""
    _write(Reply(words=visible(words)))


def _end_with_asker() -> None:
    """End this process, by SIGTERM, as soon as the one that asked is gone: its end of standard input is then closed."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _write(reply: Reply) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    sys.stdout.buffer.flush()


SECONDS_BETWEEN_CALLS = 0.2
"""Longest time without a call of `waiting` while it measures."""
MOST_HELD_UP = 0.2
"""Share of its time up to which it may wait for a core and not count as held up by other programs."""


class MeasuringProcess:
    """One measurement, which another thread may cancel."""

    def __init__(self, module: str, what: str, threads: int | None = None) -> None:
        """`module` is run with so many threads of torch. `what` it measures is for people: `the time of a step`."""
        self._module, self._what, self._threads = module, what, threads
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled = threading.Event()
        self.held_up = 0.0
        """Share of its time that it waited for a core, where Linux says so; 0 where it is small."""

    def run(self, job: bytes, waiting: Callable[[], None] = lambda: None, after: float = 0.0) -> bytes | None:
        """Its output; None if it was cancelled. It waits for `after` seconds first.

        `waiting` is called again and again meanwhile, and cancels by raising. Raises UserError if it fails, with the reason.
        """
        if self._cancelled.wait(after):
            return None
        command = [sys.executable, "-P", "-m", self._module]
        environment = torch_environment(self._threads)
        with tempfile.TemporaryFile() as file:  # a pipe is left half full where `communicate` is called again after a time-out
            file.write(job)
            file.seek(0)
            self._process = process = subprocess.Popen(
                command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
            )
        if self._cancelled.is_set():
            process.kill()
        output, errors = self._communicate(process, waiting)
        if self._cancelled.is_set():
            return None
        if process.returncode:
            last = (errors.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise UserError(f"{self._what[0].upper()}{self._what[1:]} could not be measured: {last}")
        return output

    def _communicate(self, process: "subprocess.Popen[bytes]", waiting: Callable[[], None]) -> tuple[bytes, bytes]:
        try:
            while True:
                try:
                    return process.communicate(timeout=SECONDS_BETWEEN_CALLS)
                except subprocess.TimeoutExpired:
                    self._see_held_up(process.pid)
                    waiting()
        except BaseException:
            process.kill()
            process.communicate()
            raise

    def _see_held_up(self, pid: int) -> None:
        times = [0, 0]
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # it has ended meanwhile
                times = [before + int(now) for before, now in zip(times, task.read_text().split(), strict=False)]
        share = times[1] / (sum(times) or 1)
        self.held_up = share if share > MOST_HELD_UP else 0.0

    def cancel(self) -> None:
        self._cancelled.set()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
