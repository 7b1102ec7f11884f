"""Detached process: a module of the lab that belongs to no terminal, outlives its starter, and writes its output to a log."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lab.core.errors import DamagedFileError, UserError
from lab.core.safe_open import last_text_line, open_regular, open_to_append

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

        Raises:
            UserError: if it ended before, with the `reason` or the last line of its log; or took too long. `name` stands for it.
        """
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
    """The user's environment with the variables that torch's libraries read when they load; what the user has set stays."""
    environment = dict(os.environ)
    if not any(name.startswith("MALLOC_") for name in environment):
        environment |= KEEP_FREED_MEMORY
    environment = ONE_NUMPY_THREAD | environment
    if "OMP_WAIT_POLICY" not in environment:
        environment = OPENMP_SPIN | environment
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    return environment
