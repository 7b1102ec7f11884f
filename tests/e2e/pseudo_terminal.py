"""A pseudo-terminal whose every byte is kept: what a program writes to it is checked against what the lab may write."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from lab.cli.command_registry import run
from lab.training import start_trainer
from tests.e2e.screen_grid import ScreenGrid
from tests.lab.training.module_forker import Forked, Forker, ModuleForker

PATIENCE = 240.0
"""Seconds that something may take on a machine that is busy."""
ESCAPE_DELAY = 0.5
"""Seconds after an escape in which no key may follow: both together are alt and that key."""
QUIET = 0.1
"""Seconds without a byte after which what was drawn is taken for whole."""

OWN_SEQUENCES = re.compile(
    r"""\x1b\[ (?:
        [0-9;]*m                                        # colours and styles
      | [0-9]+;[0-9]+H | H                              # the cursor to a place
      | \?(?:1049|25|1000|1002|1003|1004|1006|1015|1016|2004|2026|2048|7)[hl]     # modes of the terminal
      | \?(?:2026|2048)\$p                              # whether it has them
      | [>=]?[0-9]*u | <u                               # the keyboard's protocol
      | [0-9]*[AGK] | [02]?K                            # a bar that is redrawn in its line
    )
    | \x1b\]22;[a-z-]*\x07                           # the shape of the pointer
    | \r\n | \n | \r(?=\x1b\[) | \t""",
    re.VERBOSE,
)
"""The grammar of all that the lab itself makes a terminal do: Textual's drawing, a progress bar, lines and tabs."""

HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)


def unexplained(written: bytes) -> list[str]:
    """What is in these bytes that the lab does not write itself, with what stands around it."""
    text = OWN_SEQUENCES.sub("", written.decode("utf-8", "surrogateescape"))
    return [ascii(text[max(0, found.start() - 30) : found.end() + 30]) for found in HIDDEN.finditer(text)]


def words(written: bytes) -> str:
    """What was drawn, without the sequences between the words."""
    return OWN_SEQUENCES.sub("", written.decode("utf-8", "surrogateescape"))


class PseudoTerminal:
    """A program in a pseudo-terminal of its own."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        size: tuple[int, int] = (120, 40),
        *,
        stderr: int | None = None,
    ) -> None:
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        ours = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}  # the size is its own
        variables = {**ours, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment}
        self._program = self._start(command, variables, folder, terminal, terminal if stderr is None else stderr)
        os.close(terminal)
        self.written = b""
        self.came = 0.0
        """The time at which the last bytes came; what it takes to understand them does not count."""
        self.screen = ScreenGrid()

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, terminal: int, stderr: int
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=stderr, env=environment, cwd=folder, start_new_session=True
        )

    def resize(self, width: int, height: int) -> None:
        """Change the size, as a window does, and tell the program: the kernel tells only whose own terminal it is."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self._program.send_signal(signal.SIGWINCH)

    def _read(self, seconds: float) -> bool:
        """Whether something came within so many seconds; False also at the end."""
        waiting = select.poll()  # select.select takes no descriptor above 1023, which a long test run can reach
        waiting.register(self._master, select.POLLIN)
        come = b""
        while waiting.poll(0 if come else seconds * 1000):
            try:
                chunk = os.read(self._master, 1 << 16)
            except OSError:  # Linux's word for the end of a terminal
                break
            if not chunk:
                break
            come += chunk
            self.came = time.perf_counter()
        self.written += come
        self.screen.feed(come)
        return bool(come)

    def type(self, keys: str) -> None:
        """Type without waiting."""
        os.write(self._master, keys.encode())

    def press(self, keys: str, *expected: str) -> str:
        """Type, and wait until all that is expected is on the screen and nothing more comes; gives what was drawn since."""
        begin = len(self.written)
        self.type(keys)
        if keys.endswith("\x1b"):
            end = time.monotonic() + ESCAPE_DELAY
            while (left := end - time.monotonic()) > 0:
                self._read(left)
        return self.until(*expected, since=begin)

    def until(self, *expected: str, since: int = 0) -> str:
        """Wait until all of these have been drawn or are on the screen, where only what changes is drawn, and then for quiet.

        Raises AssertionError with what was there instead.
        """
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            drawn = words(self.written[since:]) + self.screen.text()
            is_answer = len(self.written) > since or not expected
            if is_answer and all(word in drawn for word in expected) and not self._read(QUIET):
                return words(self.written[since:])
            self._read(QUIET)
        raise AssertionError(f"never saw {expected}, but:\n{self.screen.text()}")

    def ended(self) -> int:
        """Read to the program's end; gives its exit code."""
        end = time.monotonic() + PATIENCE
        while self._program.poll() is None and time.monotonic() < end:
            self._read(QUIET)
        while self._read(0):
            pass
        return self._program.wait(1)

    def disappear(self) -> None:
        """End the terminal, of which no signal tells the program, and wait until it has ended by itself."""
        os.close(self._master)
        self._master = -1
        self._program.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """End the program and the terminal."""
        self._program.kill()
        self._program.wait()
        with suppress(OSError):  # it has disappeared
            os.close(self._master)


class ForkedCommands(PseudoTerminal):
    """Commands of the lab one after the other in a pseudo-terminal, in a fork of this process, which may have torch.

    Its exit code is that of the last one. Trainers that they start are forked, too.
    """

    def __init__(
        self, forker: ModuleForker, commands: Sequence[Sequence[str]], environment: Mapping[str, str], folder: Path
    ) -> None:
        self._forker, self._commands = forker, commands
        super().__init__((), environment, folder)

    def _start(self, command: object, environment: Mapping[str, str], folder: Path, terminal: int, stderr: int) -> Forked:  # type: ignore[override]
        pid = os.fork()
        if pid:
            return Forked(Forker(), pid)
        code = 99
        try:
            os.setsid()
            for descriptor in range(3):
                os.dup2(terminal, descriptor)
            os.close(self._master)
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", errors="backslashreplace")  # noqa: SIM115
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            start_trainer.DetachedProcess = self._forker.detached_process  # type: ignore[assignment, misc]
            for arguments in self._commands:
                code = run(list(arguments))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
