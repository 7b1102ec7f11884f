"""What a terminal can paste: also bytes that are no text, which end nothing."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.terminal import Terminal

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.kill_server()


def test_half_a_character_is_shown_as_one_strange_one(terminal: Terminal, tmp_path: Path) -> None:
    environment = {"LLMLAB_HOME": str(tmp_path / "home"), "TERM": "xterm-256color", "PATH": os.environ["PATH"]}
    terminal.run(str(Path(sys.executable).with_name("llmlab")), environment, tmp_path)
    terminal.until("From text to prediction")
    terminal.press("5")
    terminal.until("position 11/11")
    terminal.press("e")
    terminal.until("Enter apply")
    terminal.press("C-a", "C-k")
    terminal.paste(b"a big dog \xf0\x9f ran", tmp_path)
    terminal.until("a big dog \N{REPLACEMENT CHARACTER} ran")
    terminal.press("Enter")
    # A character of its own has three bytes, and the demo's vocabulary a token for each.
    terminal.until("dog.*ran.* ▸")
    terminal.press("6")
    terminal.until("▸6 Learn◂")
