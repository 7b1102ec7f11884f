from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.data.file_browser import Matches, listing, matching_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("alpha.txt", "alpine.txt", "Beta.txt", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "story.txt").touch()
    return tmp_path


def test_a_listing_has_folders_first_and_nothing_hidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert listing(folder).folders == ("zoo",)
    assert listing(folder).files == ("alpha.txt", "alpine.txt", "Beta.txt")
    monkeypatch.setattr("lab.data.file_browser.MOST_ENTRIES", 2)
    short = listing(folder)
    assert (short.folders, short.files, short.left_out) == (("zoo",), ("alpha.txt",), 2)


def test_a_folder_that_cannot_be_read_is_one_sentence(folder: Path) -> None:
    with pytest.raises(UserError, match=r"^Cannot look into .*gone: no such file or directory\.$"):
        listing(folder / "gone")


def test_every_word_must_be_in_the_path_and_hidden_names_are_left_out(tmp_path: Path) -> None:
    for name in ("Notes.txt", "a/notes-2.md", "a/b/notes-3.txt", ".git/notes.txt", "a/other.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert matching_files(tmp_path, "NOTES") == Matches(("Notes.txt", "a/notes-2.md", "a/b/notes-3.txt"), True)
    assert matching_files(tmp_path, "b/ txt") == Matches(("a/b/notes-3.txt",), True)
    assert matching_files(tmp_path, "notes", lambda: True).files == ()


def test_a_search_ends_at_its_limits_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text("x")
    monkeypatch.setattr("lab.data.file_browser.MOST_MATCHES", 3)
    assert matching_files(tmp_path, "txt") == Matches(("0.txt", "1.txt", "2.txt"), False)
