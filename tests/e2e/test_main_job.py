"""The main job in a real terminal, by keys alone: choose a file, train, leave, come back, stop, look inside, sample, paste."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.runs.find_runs import list_runs, open_run
from tests.e2e.terminal import PATIENCE, Terminal

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


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"it never came true that {what}"
        time.sleep(0.1)


def open_lab(terminal: Terminal, home: Path) -> None:
    terminal.run(f"{LLMLAB}", {"LLMLAB_HOME": str(home), "TERM": "xterm-256color", "PATH": os.environ["PATH"]}, home.parent)
    terminal.until("From text to prediction")


def start_training(terminal: Terminal, home: Path) -> None:
    """Through Data and Train, with the smallest preset."""
    text = home.parent / "cats.txt"
    text.write_text(SENTENCES)
    open_lab(terminal, home)
    terminal.press("2")
    terminal.until("stories or python")
    terminal.press("/")
    terminal.until("tab complete")  # the field has the keys
    terminal.type(str(text))
    terminal.until(r"cats\.txt +encoding")
    terminal.press("Enter")
    terminal.until(r"18,\d\d\d bytes")
    terminal.press("u")
    terminal.until("New run on cats")
    terminal.press("Down", "Down", "Left")  # past the run to begin with, to the shape
    terminal.until("‹ nano ›")
    terminal.press("s")
    terminal.until(r"step +\d+ / 2,000")


def test_choose_train_lose_the_terminal_leave_return_stop_inspect_and_sample(terminal: Terminal, home: Path) -> None:
    start_training(terminal, home)
    terminal.until(r"step +[1-9]\d* / 2,000")
    terminal.kill_server()
    run = open_run("cats")
    step = run.status().step
    wait_for(lambda: run.status().step > step + 5, f"the training went on from step {step}")
    assert run.is_alive()

    open_lab(terminal, home)
    terminal.until(r"cats +\S+ training")
    terminal.press("q")
    terminal.until_closed()
    step = run.status().step
    assert run.is_alive()
    wait_for(lambda: run.status().step > step, f"the training went on from step {step}")

    open_lab(terminal, home)
    terminal.until(r"cats +\S+ training")
    terminal.press("t")
    terminal.until(r"step +[1-9]\d* / 2,000")
    terminal.press("x")
    terminal.until("Stop")
    terminal.press("Enter")
    terminal.until("stopped")
    wait_for(lambda: not run.is_alive(), "the trainer ended")
    assert run.status().phase == "stopped"

    terminal.press("i")
    terminal.until(r"predicts token \d+")
    last = int(terminal.until(r"step 1/(\d+)")[1])
    for step in range(2, last + 1):
        terminal.press("j")
        terminal.until(rf"step {step}/{last}\b")
    length = int(terminal.until(r"position (\d+)/(\d+)")[2])
    for drawn in range(1, 11):
        terminal.press("Space")
        terminal.until(rf"/{length + drawn}: predicts token {length + drawn + 1}")
    terminal.press("q")
    terminal.until_closed()


def test_a_pasted_half_of_a_character_is_shown_as_one_strange_one(terminal: Terminal, home: Path) -> None:
    open_lab(terminal, home)
    terminal.press("5")
    terminal.until("position 11/11")
    terminal.press("e")
    terminal.until("Enter apply")
    terminal.press("C-a", "C-k")
    terminal.paste(b"a big dog \xf0\x9f ran", home.parent)
    terminal.until("a big dog \N{REPLACEMENT CHARACTER} ran")
    terminal.press("Enter")
    # A character of its own has three bytes, and the demo's vocabulary a token for each.
    terminal.until("dog.*ran.* ▸")
    terminal.press("6")
    terminal.until("▸6 Learn◂")
