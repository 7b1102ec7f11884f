import os
from collections import Counter
from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.data import find_text_files
from lab.data.find_text_files import describe_left_out, find_by_pattern, find_in_folder, fixed_part
from lab.data.path_completion import listing, matching_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with everything that a folder can hold."""
    (tmp_path / "outside.txt").write_text("a secret")
    folder = tmp_path / "poems"
    (folder / "b" / "deep").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("b.txt", "a.txt", "b/2.txt", "b/10.txt", "b/deep/x.md", ".hidden.txt", ".git/config"):
        (folder / name).write_text(name)
    (folder / "wide.txt").write_bytes("犬".encode("utf-16"))
    (folder / "picture.png").write_bytes(b"\x89PNG\0\0\1")
    (folder / "empty.txt").touch()
    (folder / "inside").symlink_to("a.txt")
    (folder / "outside").symlink_to("../outside.txt")
    (folder / "broken").symlink_to("nothing")
    (folder / "self").symlink_to("self")
    (folder / "b" / "loop").symlink_to("..")
    (folder / "away").symlink_to("..")
    os.mkfifo(folder / "pipe")
    return folder


def test_a_folder_is_its_text_files_by_name(folder: Path) -> None:
    found = find_in_folder(str(folder))
    assert [file.name for file in found.files] == ["a.txt", "b/10.txt", "b/2.txt", "b/deep/x.md", "b.txt", "inside", "wide.txt"]
    assert [file.encoding for file in found.files] == ["utf-8"] * 6 + ["utf-16"]
    assert found.files[0].identity == found.files[5].identity, "a link within the folder is the same file"
    assert Counter(found.left_out.values()) == Counter(hidden=2, binary=1, empty=1, link=2, special=1, unreadable=2)
    assert describe_left_out(found.left_out.values()) == (
        "2 hidden files or folders, 1 binary file, 1 empty file, 2 links that lead out of the folder, 1 device, pipe or socket "
        "and 2 unreadable files or folders"
    )


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.txt", ["a.txt", "b.txt", "wide.txt"]),
        ("*/*.txt", ["b/10.txt", "b/2.txt"]),
        ("[ab].txt", ["a.txt", "b.txt"]),
        ("b/?.txt", ["2.txt"]),
        ("**/*.txt", ["a.txt", "b/10.txt", "b/2.txt", "b.txt", "wide.txt"]),
        ("b/**", ["10.txt", "2.txt", "deep/x.md"]),
        ("**/deep/**/x*", ["b/deep/x.md"]),
        ("*/**/*.md", ["b/deep/x.md"]),
        ("*.png", []),
        ("*.none", []),
        ("none/*", []),
    ],
)
def test_a_pattern_is_the_files_that_match_it(folder: Path, pattern: str, names: list[str]) -> None:
    assert [file.name for file in find_by_pattern(f"{folder}/{pattern}").files] == names


def test_the_folder_of_a_pattern_may_have_wildcards_in_its_name() -> None:
    assert fixed_part("/a/b*/c.txt") == "/a"
    assert fixed_part("/a/[[]b[]]/*.txt".replace("[]]", "]")) == "/a/[b]"
    assert fixed_part("*.txt") == "."


def test_more_files_than_there_may_be_are_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_text_files, "MOST_FILES", 5)
    with pytest.raises(UserError, match=r"more than 5 files; choose a folder"):
        find_in_folder(str(folder))


def test_a_listing_has_folders_first_and_nothing_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("alpha.txt", "alpine.txt", "Beta.txt", ".hidden", "zoo/story.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert listing(tmp_path).folders == ("zoo",)
    assert listing(tmp_path).files == ("alpha.txt", "alpine.txt", "Beta.txt")
    monkeypatch.setattr("lab.data.path_completion.MOST_ENTRIES", 2)
    short = listing(tmp_path)
    assert (short.folders, short.files, short.left_out) == (("zoo",), ("alpha.txt",), 2)
    with pytest.raises(UserError, match=r"^Cannot look into .*gone: no such file or directory\.$"):
        listing(tmp_path / "gone")


def test_every_word_must_be_in_the_path_and_hidden_names_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Notes.txt", "a/notes-2.md", "a/b/notes-3.txt", ".git/notes.txt", "a/other.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert matching_files(tmp_path, "NOTES") == (["Notes.txt", "a/notes-2.md", "a/b/notes-3.txt"], True)
    assert matching_files(tmp_path, "b/ txt") == (["a/b/notes-3.txt"], True)
    assert matching_files(tmp_path, "notes", lambda: True)[0] == []
    monkeypatch.setattr("lab.data.path_completion.MOST_FOUND", 2)
    assert matching_files(tmp_path, "txt") == (["Notes.txt", "a/other.txt"], False), "a search that ended at its limit"
