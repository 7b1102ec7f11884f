import json
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lab.core.atomic_io import write_atomic
from lab.core.errors import UserError
from lab.core.preferences import LARGEST_PREFERENCES, Preferences, preferences_path, read_preferences, write_preferences
from lab.data.source_files import remember_text
from models.config import SamplingSettings

SAMPLING = SamplingSettings(temperature=0.7, top_k=40, top_p=0.95, seed=2**64 - 1)


def test_preferences_come_back(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    assert read_preferences(home) == (Preferences(), "")
    written = write_preferences(home, theme="nord", animation="slow", sampling=SAMPLING)
    assert written == Preferences("nord", "slow", SAMPLING)
    assert read_preferences(home) == (written, "")
    write_preferences(home, animation="off")
    assert read_preferences(home) == (Preferences("nord", "off", SAMPLING), ""), "a change keeps the others"
    preferences_path(home).write_text('{"theme": "nord", "sound": "loud"}')
    assert read_preferences(home) == (Preferences("nord"), ""), "a field of a later version"
    preferences_path(home).rename(tmp_path / "dotfiles.json")
    preferences_path(home).symlink_to(tmp_path / "dotfiles.json")
    write_preferences(home, theme="gruvbox")
    assert preferences_path(home).is_symlink(), "a link to the user's other settings is followed"
    assert read_preferences(home) == (Preferences("gruvbox"), "")


def test_two_labs_change_them_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def keep_slowly(path: Path, contents: bytes) -> None:
        time.sleep(0.02)
        write_atomic(path, contents)

    monkeypatch.setattr("lab.core.preferences.write_atomic", keep_slowly)
    changes: list[Callable[[], object]] = [
        lambda: write_preferences(tmp_path, theme="nord"),
        lambda: write_preferences(tmp_path, animation="off"),
        lambda: remember_text(tmp_path, "stories"),
        lambda: remember_text(tmp_path, "python"),
    ]
    with ThreadPoolExecutor(len(changes)) as threads:
        list(threads.map(lambda change: change(), changes))
    kept = read_preferences(tmp_path)[0]
    assert (kept.theme, kept.animation) == ("nord", "off")
    assert {text.source for text in kept.recent_texts} == {"stories", "python"}


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"[" * 5000, "is damaged"),
        (b'{"theme": 3}', "Expected `str`, got `int` - at `$.theme`"),
        (b'{"animation": "frantic"}', "Invalid enum value 'frantic' - at `$.animation`"),
        (json.dumps({"theme": "x" * 101}).encode(), "the name of the theme has more than 100 characters"),
        (b'{"sampling": {"temperature": -1}}', "temperature must be 0 or above"),
        (b'{"sampling": {"top_p": 0}}', "top-p must be above 0"),
        (b'{"sampling": {"top_k": 1000000000}}', "top-k must be at most 1,048,576"),
        (b'{"sampling": {"seed": -1}}', "seed must be from 0"),
        (json.dumps({"recent_texts": [["a", ""]] * 11}).encode(), "more than 10 recent texts"),
        (json.dumps({"recent_texts": [["a" * 2001, ""]]}).encode(), "more than 2,000 characters"),
        (b" " * (LARGEST_PREFERENCES + 1), "262,145 bytes"),
    ],
)
def test_a_damaged_file_is_one_sentence_and_the_lab_s_own_choices(tmp_path: Path, contents: bytes, reason: str) -> None:
    path = preferences_path(tmp_path)
    path.write_bytes(contents)
    preferences, problem = read_preferences(tmp_path)
    assert preferences == Preferences()
    assert problem.startswith(f"Your preferences are not used: {path} ")
    assert reason in problem
    assert re.fullmatch(r".*[^.]\.", problem), "one sentence on one line"
    for kept in ("preferences.json.bak", "preferences.json.bak2"):
        path.write_bytes(contents)
        told = list[str]()
        assert write_preferences(tmp_path, told.append, theme="nord") == Preferences("nord"), "the next change replaces it"
        assert told == [f"The damaged preferences.json is kept as {tmp_path / kept}."]
        assert (tmp_path / kept).read_bytes() == contents
    assert read_preferences(tmp_path) == (Preferences("nord"), "")
    write_preferences(tmp_path, told.append, theme="nord")
    assert len(told) == 1


def test_a_pipe_or_a_folder_in_its_place_or_that_of_the_home_blocks_nobody(tmp_path: Path) -> None:
    os.mkfifo(preferences_path(tmp_path))
    assert "is a named pipe" in read_preferences(tmp_path)[1]
    preferences_path(tmp_path).unlink()
    preferences_path(tmp_path).mkdir()
    assert read_preferences(tmp_path)[0] == Preferences()
    assert "folder" in read_preferences(tmp_path)[1]
    (tmp_path / "file").write_text("")
    for home in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match=r"^Cannot keep your preferences in .*preferences\.json: .*\.$"):
            write_preferences(home, theme="nord")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_preferences(tmp_path, theme="nord")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lab.core.atomic_io.write_all", full)
    with pytest.raises(UserError, match="no space left on device"):
        write_preferences(tmp_path, theme="dracula")
    monkeypatch.undo()
    assert read_preferences(tmp_path) == (Preferences("nord"), "")
    assert os.listdir(tmp_path) == ["preferences.json"]
