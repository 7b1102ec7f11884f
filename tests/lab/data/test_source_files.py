import os
from pathlib import Path

import pytest

from lab.core.preferences import LONGEST_SOURCE, MOST_TEXTS, RecentText, preferences_path, read_preferences, write_preferences
from lab.data.source_files import recent_texts, remember_text


def sources(home: Path) -> list[str]:
    return [text.source for text in recent_texts(home)]


def test_the_last_texts_are_kept_the_newest_first(tmp_path: Path) -> None:
    home = tmp_path / "home"
    write_preferences(home, theme="nord")
    paths = [tmp_path / f"{at}.txt" for at in range(MOST_TEXTS + 3)]
    for path in paths:
        path.write_text("text")
        remember_text(home, str(path))
    assert sources(home) == [str(path) for path in paths[:2:-1]]
    remember_text(home, str(paths[5]), "cp1252")
    assert recent_texts(home)[:2] == [RecentText(str(paths[5]), "cp1252"), RecentText(str(paths[-1]))]
    assert len(sources(home)) == MOST_TEXTS
    assert read_preferences(home)[0].theme == "nord"
    before = preferences_path(home).stat().st_mtime_ns
    remember_text(home, str(paths[5]), "cp1252")
    assert preferences_path(home).stat().st_mtime_ns == before, "nothing to write"
    paths[5].unlink()
    assert sources(home)[0] == str(paths[-1])


def test_texts_of_every_kind_are_kept_but_those_that_can_be_read_once(tmp_path: Path) -> None:
    (tmp_path / "a[b].txt").write_text("text")
    os.mkfifo(tmp_path / "pipe")
    odd = (tmp_path / "two\nlines").as_uri()
    (tmp_path / "two\nlines").write_text("text")
    kept = ["stories:5MB", "python", f"{tmp_path}/*.txt", f"{tmp_path}/a[b].txt\n{tmp_path}", odd]
    for source in (*kept, "-", f"{tmp_path}\n-", f"{tmp_path}/pipe", "", "x" * (LONGEST_SOURCE + 1)):
        remember_text(tmp_path, source)
    assert sources(tmp_path) == kept[::-1]
    remember_text(tmp_path, f"{tmp_path}/gone/*.txt")
    remember_text(tmp_path, f"{tmp_path}\n{tmp_path}/gone.txt")
    assert sources(tmp_path) == kept[::-1]


@pytest.mark.parametrize(
    "contents", ["{", '{"recent_texts": 3}', '{"recent_texts": [["", ""]]}', '{"recent_texts": [["a", "b", "c"]]}']
)
def test_a_damaged_file_is_left_to_its_owner(tmp_path: Path, contents: str) -> None:
    preferences_path(tmp_path).write_text(contents)
    remember_text(tmp_path, "stories")
    assert preferences_path(tmp_path).read_text() == contents
    assert recent_texts(tmp_path) == []
