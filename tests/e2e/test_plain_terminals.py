"""Terminals with less: no cursor, no terminal at all, a locale without UTF-8, a terminal that goes away without a word."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.pseudo_terminal import ForkedCommands, PseudoTerminal, words
from tests.lab.training.module_forker import ModuleForker

LLMLAB = [sys.executable, "-P", "-m", "lab.cli"]
ROOT = Path(__file__).parents[2]
NO_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0"}


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in ("LC_ALL", "LC_CTYPE", "PYTHONIOENCODING", "PYTHONUTF8"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return {"LLMLAB_HOME": str(tmp_path / "home")}


def output(command: list[str], environment: dict[str, str], folder: Path) -> tuple[int, bytes]:
    """Exit code, and all that the command writes to a terminal."""
    with PseudoTerminal(command, environment, folder) as terminal:
        return terminal.ended(), terminal.written


def test_lab_needs_a_terminal_that_places_text(plain: dict[str, str], tmp_path: Path) -> None:
    code, written = output(LLMLAB, plain | {"TERM": "dumb"}, tmp_path)
    assert code == 2
    assert words(written).startswith("llmlab: TERM is ")
    assert "xterm-256color" in words(written)
    assert b"\x1b" not in written


def test_lab_says_which_languages_there_are(plain: dict[str, str], tmp_path: Path) -> None:
    code, written = output(LLMLAB, plain | {"LLMLAB_LANG": "xx"}, tmp_path)
    assert code == 2
    assert words(written).startswith(
        "llmlab: LLMLAB_LANG asks for the language xx, which the lab does not have; it has en (English),"
    )


def test_training_on_a_dumb_terminal_writes_plain_lines(plain: dict[str, str], tmp_path: Path, forker: ModuleForker) -> None:
    settings = ["--preset", "nano", "--tokenizer", "bytes", "--steps", "2", "--batch", "2", "--threads", "1", "--context", "16"]
    settings += ["--layers", "1", "--heads", "2", "--width", "16"]
    with ForkedCommands(forker, [["train", "stories:60kB", *settings]], plain | {"TERM": ""}, tmp_path) as terminal:
        assert terminal.ended() == 0
    assert "step 2/2  loss" in words(terminal.written)
    assert b"\x1b" not in terminal.written


def test_commands_write_ascii_to_a_terminal_without_utf8_and_every_character_to_a_file(
    plain: dict[str, str], tmp_path: Path
) -> None:
    command = [*LLMLAB, "params", "--preset", "nano"]
    expected = subprocess.run(command, env=os.environ | plain, cwd=tmp_path, capture_output=True, check=True).stdout
    assert not expected.isascii()
    code, written = output(command, plain | NO_UTF8, tmp_path)
    assert code == 0
    assert written.isascii()
    assert b"?" not in written
    code, written = output([*LLMLAB, "tokenize", "caf\u00e9", "--tokenizer", "bytes", "--json"], plain | NO_UTF8, tmp_path)
    assert code == 0
    assert written.isascii()
    assert bytes.fromhex("".join(token["bytes"] for token in json.loads(written)["tokens"])).decode() == "caf\u00e9"
    found = subprocess.run(command, env=os.environ | plain | NO_UTF8, cwd=tmp_path, capture_output=True, check=True)
    assert (found.stdout, found.stderr) == (expected, b"")


def test_lab_draws_ascii_marks_without_utf8(plain: dict[str, str], tmp_path: Path) -> None:
    with PseudoTerminal(LLMLAB, plain | NO_UTF8, tmp_path, size=(80, 24)) as terminal:
        terminal.until(">1 Home<", "demo", "6,000 / 6,000", "enter open")
        terminal.press("2", ">2 Data<", "stories")
        terminal.press("6", ">6 Learn<", "+- lessons ")
        terminal.press("q")
        assert terminal.ended() == 0
        assert terminal.written.isascii()


def test_window_too_small_says_so_and_comes_back_drawn_where_stdout_leads_and_the_lab_ends_with_its_terminal(
    plain: dict[str, str], tmp_path: Path
) -> None:
    with PseudoTerminal(LLMLAB, plain, tmp_path, size=(40, 10), stderr=subprocess.DEVNULL) as terminal:
        terminal.until("40x10 is too", "80x24")
        for size, words in (((1, 1), ""), ((80, 24), "6,000 / 6,000")):
            begin = len(terminal.written)
            terminal.resize(*size)
            terminal.until(words, since=begin)
        terminal.disappear()
