import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from lab.core.errors import UserError
from lab.lessons.learner_notes import add_note, notes_path, read_notes

PLACE = "Inspect · demo · “Once: there”"


@pytest.fixture(autouse=True)
def _at_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr("time.time", lambda: 90_000.0)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The folder in which an earlier llmlab kept a file for each note."""
    folder = tmp_path / ".learn" / "notes"
    folder.mkdir(parents=True)
    return folder


def test_a_note_is_a_heading_with_time_and_place_and_the_text_at_the_end_of_the_file(tmp_path: Path) -> None:
    assert read_notes(tmp_path) == ""
    assert not notes_path(tmp_path).parent.exists(), "reading writes nothing"
    add_note(tmp_path, PLACE, "one\ntwo")
    add_note(tmp_path, "Home", "three")
    assert read_notes(tmp_path) == f"## 1970-01-02 01:00 · {PLACE}\n\none\ntwo\n\n## 1970-01-02 01:00 · Home\n\nthree\n"
    assert notes_path(tmp_path).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("own", [b"# Mine\r\n\r\nwords\r\n", b"no line end", b"\xff\x00 bytes", b""])
def test_what_the_learner_wrote_stays_to_the_byte(own: bytes, tmp_path: Path) -> None:
    notes_path(tmp_path).parent.mkdir()
    notes_path(tmp_path).write_bytes(own)
    add_note(tmp_path, "Home", "new")
    written = notes_path(tmp_path).read_bytes()
    assert written.startswith(own)
    assert written[len(own) :].decode().lstrip("\n") == "## 1970-01-02 01:00 · Home\n\nnew\n"
    assert own == b"" or written[: -len("## 1970-01-02 01:00 · Home\n\nnew\n".encode())].endswith((b"\n\n", b"\r\n\n"))
    assert "new" in read_notes(tmp_path)


@pytest.mark.parametrize("place", ["Inspect · my_run · “*a* [b](c) `d` __init__ <e> &amp; ~~f~~ \\g”", "\x1b[2J\nHome"])
def test_a_place_is_one_heading_that_reads_as_it_is(place: str, tmp_path: Path) -> None:
    add_note(tmp_path, place, "text")
    opening, heading, *_ = MarkdownIt("gfm-like", {"linkify": False}).parse(read_notes(tmp_path))
    assert opening.tag == "h2"
    shown = "".join(child.content for child in heading.children or [] if child.type in ("text", "text_special"))
    assert shown == "1970-01-02 01:00 · " + place.replace("\x1b", "␛").replace("\n", "␊")
    assert "my_run" in read_notes(tmp_path) or "run" not in place, "a name stays as it is"


def test_notes_that_labs_write_at_one_time_are_all_kept(tmp_path: Path) -> None:
    start = threading.Barrier(4)

    def write(words: str) -> None:
        start.wait()
        add_note(tmp_path, "Home", words)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    blocks = read_notes(tmp_path).split("\n\n")
    assert sorted(block.strip() for block in blocks[1::2]) == list("abcd")
    assert set(blocks[::2]) == {"## 1970-01-02 01:00 · Home"}


IN_THE_WAY: dict[str, tuple[Callable[[Path], object], str]] = {
    "link": (lambda path: path.symlink_to(path.parent / "other"), "is a link, not a regular file"),
    "link to a file": (lambda path: path.symlink_to(path.parent.parent / "secret"), "is a link, not a regular file"),
    "pipe": (os.mkfifo, "is a named pipe, not a regular file"),
    "folder": (Path.mkdir, "is a folder, not a regular file"),
    "unreadable": (lambda path: path.touch(0o200), "permission denied"),
}


@pytest.mark.parametrize(("make", "reason"), IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_what_is_no_file_that_can_be_read_is_one_sentence(make: Callable[[Path], object], reason: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not a note")
    notes_path(tmp_path).parent.mkdir()
    make(notes_path(tmp_path))
    if reason == "permission denied" and os.access(notes_path(tmp_path), os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(UserError, match=reason):
        add_note(tmp_path, "Home", "x")
    with pytest.raises(UserError, match=reason):
        read_notes(tmp_path)
    assert secret.read_text() == "not a note"
    assert not (notes_path(tmp_path).parent / "other").exists()


def test_a_home_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("")
    with pytest.raises(UserError, match="Cannot write your notes"):
        add_note(home, "Home", "x")


def test_the_notes_of_an_earlier_llmlab_are_read_in_once_in_their_order_and_stay(tmp_path: Path, earlier: Path) -> None:
    later = "---\ncreated: 1970-01-03T00:00:00Z\n"
    later += 'place: "Train · d\\"x\\""\nstate: {"mode":"train"}\ntags: [a]\n---\n\nlater\n\n---\n\nx\n'
    files = {
        "a.md": later.encode(),
        "b.md": b'\xef\xbb\xbf---\r\ncreated: 1970-01-02T00:00:00Z\r\nplace: "Home"\r\n---\r\n\r\nfirst\r\n',
        "by hand.md": b"own words\n",
        "no end.md": b"---\nplace: x\nwords",
        "odd.md": b"---\ncreated: yesterday\nplace: here\n---\nodd",
        "no text.md": b"\xff",
        ".hidden.md": b"hidden",
        "other.txt": b"other",
    }
    for name, content in files.items():
        (earlier / name).write_bytes(content)
        os.utime(earlier / name, (400_000, 400_000))
    (tmp_path / "secret").write_text("not a note")
    (earlier / "link.md").symlink_to(tmp_path / "secret")
    os.utime(earlier / "link.md", (500_000, 500_000), follow_symlinks=False)
    expected = "\n".join(
        (
            "## 1970-01-02 00:00 · Home\n\nfirst\n",
            '## 1970-01-03 00:00 · Train · d"x"\n\nlater\n\n---\n\nx\n',
            "## 1970-01-05 15:06 · by hand.md\n\nown words\n",
            "## 1970-01-05 15:06 · no end.md\n\n---\nplace: x\nwords\n",
            f"## 1970-01-05 15:06 · no text.md\n\nNot read, it is not text in UTF-8: {earlier / 'no text.md'}\n",
            "## 1970-01-05 15:06 · odd.md\n\nodd\n",
            f"## 1970-01-06 18:53 · link.md\n\nNot read: {earlier / 'link.md'} is a link, not a regular file.\n",
        )
    )
    assert read_notes(tmp_path) == expected
    assert not notes_path(tmp_path).exists(), "they are shown where nothing can be written, too"
    assert {name: (earlier / name).read_bytes() for name in files} == files
    add_note(tmp_path, "Home", "new")
    (earlier / "late.md").write_text("late")
    assert read_notes(tmp_path) == f"{expected}\n## 1970-01-02 01:00 · Home\n\nnew\n"
    notes_path(tmp_path).write_text("emptied by hand")
    assert read_notes(tmp_path) == "emptied by hand"


def test_the_first_note_comes_after_those_of_an_earlier_llmlab(tmp_path: Path, earlier: Path) -> None:
    (earlier / "a.md").write_text("---\ncreated: 0001-01-02T12:00:00Z\n---\n\nearly\n")
    add_note(tmp_path, "Home", "new")
    early, new = read_notes(tmp_path).split("\n\n## ")
    assert early.startswith("## 0001-01-02 ")
    assert early.endswith("\n\nearly")
    assert new.endswith("new\n")
