"""A real terminal to run the lab in: a tmux server of the test's own, keys sent to it, its screen read back."""

import re
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

PATIENCE = 240.0
"""Seconds that something may take to appear on a machine that is busy."""


class Terminal:
    """One window of a tmux server that nothing else uses."""

    def __init__(self, size: tuple[int, int] = (80, 24)) -> None:
        self.server = f"llmlab-test-{uuid.uuid4().hex[:8]}"
        self._size = size

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(["tmux", "-L", self.server, "-f", "/dev/null", *words], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"tmux {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def run(self, command: str, environment: Mapping[str, str], folder: Path) -> None:
        """Starts `command` in the window, which closes when it ends."""
        width, height = self._size
        given = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        self._tmux("new-session", "-d", "-x", str(width), "-y", str(height), "-c", str(folder), *given, command)

    def press(self, *keys: str) -> None:
        """tmux's names of keys: `Enter`, `Down`, `j`."""
        for key in keys:
            self._tmux("send-keys", key)
            time.sleep(0.05)

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def paste(self, content: bytes, folder: Path) -> None:
        """As a terminal pastes, between its marks; `folder` is where the bytes lie meanwhile."""
        (folder / "pasted").write_bytes(content)
        self._tmux("load-buffer", str(folder / "pasted"))
        self._tmux("paste-buffer", "-p")

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def until(self, pattern: str) -> re.Match[str]:
        """Waits for a match on the screen. Raises AssertionError with what was there instead."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            screen = self.screen()
            match = re.search(pattern, screen)
            if match:
                return match
            time.sleep(0.1)
        raise AssertionError(f"never saw {pattern!r}; the screen was:\n{screen}")

    def until_closed(self) -> None:
        """Waits until the command has ended."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if subprocess.run(["tmux", "-L", self.server, "has-session"], capture_output=True).returncode:
                return
            time.sleep(0.1)
        raise AssertionError(f"still open:\n{self.screen()}")

    def kill_server(self) -> None:
        """Ends tmux itself, as a crash or a closed connection would; everything in it gets SIGHUP."""
        subprocess.run(["tmux", "-L", self.server, "kill-server"], capture_output=True)
