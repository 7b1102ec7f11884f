"""The main job in a real terminal, by keys alone: from a text file to training, back after a lost terminal, and to the model."""

import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lab.runs.find_runs import list_runs, open_run

PATIENCE = 240.0
"""Seconds that something may take to appear on a machine that is busy."""


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"it never came true that {what}"
        time.sleep(0.1)


class Terminal:
    """One window of a tmux server that nothing else uses."""

    def __init__(self) -> None:
        self.server = f"llmlab-test-{uuid.uuid4().hex[:8]}"

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(["tmux", "-L", self.server, "-f", "/dev/null", *words], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"tmux {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def run(self, command: str, environment: Mapping[str, str], folder: Path) -> None:
        """Starts `command` in the window, which closes when it ends."""
        given = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        self._tmux("new-session", "-d", "-x", "80", "-y", "24", "-c", str(folder), *given, command)

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
            time.sleep(0.02)
        raise AssertionError(f"never saw {pattern!r}; the screen was:\n{screen}")

    def until_closed(self) -> None:
        """Waits until the command has ended."""
        asked = ["tmux", "-L", self.server, "has-session"]
        wait_for(lambda: subprocess.run(asked, capture_output=True).returncode != 0, "the lab ended")

    def kill_server(self) -> None:
        """Ends tmux itself, as a crash or a closed connection would; everything in it gets SIGHUP."""
        subprocess.run(["tmux", "-L", self.server, "kill-server"], capture_output=True)


pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")

LLMLAB = Path(sys.executable).with_name("llmlab")
SENTENCES = "the cat sat on the mat. a dog ran to the cat. the cat ran up a tree, and the dog sat down.\n" * 200


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("LLMLAB_HOME", str(folder))
    yield folder
    for run in list_runs(folder):
        if run.is_alive():
            run.send_command("stop")
            wait_for(lambda run=run: not run.is_alive(), f"{run.name} stopped")  # type: ignore[misc]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.kill_server()


def open_lab(terminal: Terminal, home: Path) -> None:
    terminal.run(f"{LLMLAB}", {"LLMLAB_HOME": str(home), "TERM": "xterm-256color", "PATH": os.environ["PATH"]}, home.parent)
    terminal.until("From text to prediction")


def start_training(terminal: Terminal, home: Path) -> None:
    """Through Data and Train, with the smallest preset, in a folder in which others have the names of the lab's packages."""
    for name in ("models", "lab", "screens", "checkpoints"):
        (home.parent / name).mkdir()
        (home.parent / name / "__init__.py").write_text("raise SystemExit('imported from the working directory')\n")
    text = home.parent / "cats.txt"
    text.write_text(SENTENCES)
    open_lab(terminal, home)
    terminal.press("2")
    terminal.until("stories or python")
    terminal.press("e")
    terminal.until("tab complete")  # the field has the keys
    terminal.type(str(text))
    terminal.until(r"cats\.txt +encoding")
    terminal.press("Enter")
    terminal.until(r"18,\d\d\d bytes")
    terminal.press("n")
    terminal.until("New run on cats")
    terminal.press("Up", "Up", "Right")  # past the name, to the shape
    terminal.until("‹ nano ›")
    terminal.press("s")
    terminal.until(r"step +\d+")


def test_choose_train_lose_the_terminal_return_stop_inspect_sample_paste_and_leave(terminal: Terminal, home: Path) -> None:
    start_training(terminal, home)
    terminal.until(r"step +[1-9]\d*")
    terminal.kill_server()
    run = open_run("cats")
    step = run.status().step
    wait_for(lambda: run.status().step > step + 5, f"the training went on from step {step}")
    assert run.is_alive()

    open_lab(terminal, home)
    terminal.until(r"cats +\S+ training")
    terminal.press("Enter")
    terminal.until("x stop")  # the key is Train's, and the run is known there
    terminal.press("x")
    terminal.until("Stop")
    terminal.press("Enter")
    terminal.until("stopped")
    wait_for(lambda: not run.is_alive(), "the trainer ended")
    assert run.status().phase == "stopped"

    terminal.press("i")
    terminal.until(r"predicts token \d+")
    last = int(terminal.until(r"stage 1/(\d+)")[1])
    for key, step in (("j", 2), ("j", 3), ("j", 4), ("End", last)):
        terminal.press(key)
        terminal.until(rf"stage {step}/{last}\b")
    length = int(terminal.until(r"position (\d+)/(\d+)")[2])
    for drawn in range(1, 4):
        terminal.press("Space")
        terminal.until(rf"/{length + drawn}: predicts token {length + drawn + 1}")
    terminal.press("e")
    terminal.until("Enter apply")
    terminal.press("C-u")
    terminal.paste(b"a big dog \xf0\x9f ran", home.parent)
    terminal.until("a big dog \N{REPLACEMENT CHARACTER} ran")
    terminal.press("Enter")
    terminal.until("d.*o.*g.*r.*a.*n.* ▸")  # a character of its own has three bytes, and the vocabulary a token for each
    terminal.press("6")
    terminal.until("▸6 Learn◂")
    terminal.press("q")
    terminal.until_closed()
