import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.inspect.prompt_history import (
    CHARACTERS_KEPT,
    PROMPTS_KEPT,
    bounded,
    history_path,
    last_prompt,
    read_history,
    remember,
    rename_last_prompt,
)


def test_prompts_come_back_newest_last_each_once_and_a_home_is_made_for_them(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    assert read_history(home) == []
    assert [remember(home, text)[-1] for text in ("a", "b", "line\nbreak", "a")] == ["a", "b", "line\nbreak", "a"]
    assert read_history(home) == ["b", "line\nbreak", "a"]
    assert [json.loads(line)["text"] for line in history_path(home).read_text().splitlines()] == ["b", "line\nbreak", "a"]


def test_damaged_lines_and_those_of_a_later_version_are_passed_over_or_read(tmp_path: Path) -> None:
    history_path(tmp_path).write_bytes(b'{"text":"a"}\nnonsense\n{"text":3}\n\xff\xfe\n{"text":"b","when":1}\n{"te')
    assert read_history(tmp_path) == ["a", "b"]
    assert remember(tmp_path, "c") == ["a", "b", "c"]


def test_as_many_are_kept_as_are_said() -> None:
    assert bounded([str(i) for i in range(500)]) == [str(i) for i in range(500 - PROMPTS_KEPT, 500)]
    long = ["x" * 90_000, "y" * 90_000, "z" * 90_000]
    assert bounded(long) == long[1:]
    assert bounded(["a", "x" * (CHARACTERS_KEPT + 1)]) == []
    assert bounded(["a", "", "b"]) == ["a", "b"]


def test_any_character_can_be_kept_and_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    text = "👩‍👩‍👧 \x00\x1b[31m <|endoftext|> \u2028 \ud83d"
    remember(tmp_path, text)
    assert read_history(tmp_path) == [text.replace("\ud83d", "?")]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^Cannot read the prompts in .*prompts\.jsonl: .*\.$"):
        remember(tmp_path / "file", "a")


def test_each_run_has_its_last_prompt(tmp_path: Path) -> None:
    for text, run in (("a", "tale"), ("b", "tale"), ("a", "demo"), ("c", "")):
        remember(tmp_path, text, run)
    assert read_history(tmp_path) == ["b", "a", "c"]
    assert (last_prompt(tmp_path, "tale"), last_prompt(tmp_path, "demo"), last_prompt(tmp_path, "other")) == ("b", "a", "")
    remember(tmp_path, "a", "tale")
    assert (last_prompt(tmp_path, "tale"), last_prompt(tmp_path, "demo")) == ("a", "a")
    remember(tmp_path, "a")
    assert last_prompt(tmp_path, "tale") == "a"


def test_a_renamed_run_keeps_its_last_prompt_and_a_deleted_one_leaves_it_to_none(tmp_path: Path) -> None:
    rename_last_prompt(tmp_path, "tale", "story")
    assert not history_path(tmp_path).exists()
    remember(tmp_path, "a", "tale")
    rename_last_prompt(tmp_path, "tale", "story")
    assert (last_prompt(tmp_path, "tale"), last_prompt(tmp_path, "story")) == ("", "a")
    rename_last_prompt(tmp_path, "story", "")
    assert last_prompt(tmp_path, "story") == ""
    assert read_history(tmp_path) == ["a"]


def test_a_prompt_too_long_to_keep_leaves_no_older_one_as_the_last(tmp_path: Path) -> None:
    remember(tmp_path, "a", "tale")
    assert remember(tmp_path, "x" * (CHARACTERS_KEPT + 1), "tale") == []
    assert last_prompt(tmp_path, "tale") == ""


def test_a_file_that_cannot_be_read_is_not_replaced_and_a_link_stays_one(tmp_path: Path) -> None:
    remember(tmp_path, "a")
    elsewhere = tmp_path / "elsewhere.jsonl"
    history_path(tmp_path).rename(elsewhere)
    history_path(tmp_path).symlink_to(elsewhere)
    remember(tmp_path, "b")
    assert history_path(tmp_path).is_symlink()
    assert read_history(tmp_path) == ["a", "b"]
    history_path(tmp_path).unlink()
    history_path(tmp_path).mkdir()
    with pytest.raises(UserError):
        remember(tmp_path, "c")
    assert read_history(tmp_path) == []
    assert history_path(tmp_path).is_dir()


@pytest.mark.parametrize("kind", ["new", "linked"])
def test_prompts_that_are_kept_at_the_same_time_are_all_kept(tmp_path: Path, kind: str) -> None:
    home = tmp_path / "new"
    if kind == "linked":
        home.mkdir()
        (tmp_path / "elsewhere").mkdir()
        (home / "prompts.jsonl").symlink_to(tmp_path / "elsewhere" / "prompts.jsonl")

    def several(name: str) -> None:
        for number in range(10):
            remember(home, f"{name} {number}", name)

    other = subprocess.Popen([sys.executable, "-P", "-c", OTHER_LAB, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == b"ready\n"
        other.stdin.write(b"go\n")
        other.stdin.flush()
        threads = [threading.Thread(target=several, args=(f"thread {k}",)) for k in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert other.returncode == 0
    names = [*(f"thread {k}" for k in range(3)), "other"]
    assert sorted(read_history(home)) == sorted(f"{name} {number}" for name in names for number in range(10))
    assert [last_prompt(home, name) for name in names] == [f"{name} 9" for name in names]


OTHER_LAB = """
import pathlib, sys
from lab.inspect.prompt_history import remember
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    remember(pathlib.Path(sys.argv[1]), f"other {number}", "other")
"""
