import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.core.errors import UserError
from lab.lessons.learner.notes import (
    LARGEST_NOTE,
    Note,
    add_note,
    change_note,
    delete_note,
    is_same_place,
    list_notes,
    notes_folder,
    read_note,
    rename_run_in_notes,
)
from lab.views.screen_state import ScreenState

STATE = ScreenState(mode="inspect", run="demo", prompt="Once: there", stage="scores", layer=1, head=2, position=3)
PLACE = 'Inspect · demo · "Once: there"'

text = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=200)
index = st.none() | st.integers(0, 99)
states = st.builds(
    ScreenState,
    mode=st.sampled_from(["inspect", "learn"]),
    run=text,
    prompt=text,
    ids=st.none() | st.lists(st.integers(0, 50256), max_size=4).map(tuple),
    layer=index,
    position=index,
    trail=st.lists(text, max_size=3).map(tuple),
)


@pytest.fixture
def note(tmp_path: Path) -> Note:
    return add_note(tmp_path, "mine", PLACE, STATE)


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    """A file that an editor has written among the notes."""
    path = notes_folder(tmp_path) / "by hand.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"Just words\r\nof mine\r\n")
    os.utime(path, (1000, 1000))
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text, text, states)
def test_a_note_is_read_as_it_was_written_and_stays_so_when_its_text_is_changed(
    tmp_path: Path, words: str, place: str, state: ScreenState
) -> None:
    note = add_note(tmp_path, words, place, state)
    assert (note.text, note.place, note.state, note.problem) == (words.strip("\n"), place, state, "")
    assert note == read_note(note.path)
    changed = change_note(note, "other")
    assert (changed.text, changed.place, changed.state, changed.created) == ("other", place, state, note.created)
    delete_note(changed)
    assert list_notes(tmp_path) == []


def test_the_file_is_what_any_editor_shows_and_its_front_matter_is_yaml(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")

    note = add_note(tmp_path, "# Heads\n\nHead 3 looks back.\n", PLACE, STATE)
    _, head, words = note.path.read_text().split("---\n")
    found = yaml.safe_load(head)
    assert found["place"] == PLACE
    assert found["state"] == msgspec.to_builtins(STATE)
    assert found["created"].timestamp() == note.created
    assert words == "\n# Heads\n\nHead 3 looks back.\n"
    assert note.first_line == "Heads"


def test_notes_come_newest_first_and_two_of_one_second_are_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for at, words in ((5.0, "a"), (90_000.0, "b"), (90_000.0, "c")):
        monkeypatch.setattr("time.time", lambda at=at: at)
        add_note(tmp_path, words, PLACE, STATE)
    found = list_notes(tmp_path)
    assert [note.created for note in found] == [90_000.0, 90_000.0, 5.0]
    assert {note.text for note in found[:2]} == {"b", "c"}
    assert found[-1].path.name == "1970-01-01-000005-inspect-demo-once-there.md"


def test_notes_that_labs_write_at_one_time_are_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 5.0)
    start = threading.Barrier(4)

    def write(words: str) -> None:
        start.wait()
        add_note(tmp_path, words, PLACE, STATE)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    assert sorted(note.text for note in list_notes(tmp_path)) == list("abcd")


@pytest.mark.parametrize("year", ["0001-01-01", "9999-12-31"])
def test_a_note_of_the_first_or_the_last_day_can_be_changed(year: str, note: Note) -> None:
    note.path.write_text(re.sub("(?<=created: ).{10}", year, note.path.read_text()))
    old = read_note(note.path)
    changed = change_note(old, "y")
    assert old.created != note.created
    assert (changed.problem, changed.created, changed.text) == ("", old.created, "y")


@pytest.mark.parametrize("at", [-1e17, 1e17])
def test_a_file_of_an_absurd_time_has_a_date_and_can_be_changed(at: float, by_hand: Path) -> None:
    found = os.stat_result((*by_hand.lstat()[:7], at, at, at))  # no disk but tmpfs keeps such a time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "lstat", lambda self: found)
        note = read_note(by_hand)
    changed = change_note(note, "y")
    assert (changed.problem, changed.created, changed.text) == ("", note.created, "y")


@pytest.mark.parametrize("place", ["../../etc/passwd", "\x1b[2J\x00", "", "a" * 400, "CON", "日本"])
def test_the_name_of_a_file_is_plain_whatever_the_place(place: str, tmp_path: Path) -> None:
    note = add_note(tmp_path, "x", place, STATE)
    assert note.path.parent == notes_folder(tmp_path)
    assert re.fullmatch(r"[a-z0-9-]{1,96}\.md", note.path.name)


def test_a_markdown_file_without_front_matter_is_a_note_about_no_place(tmp_path: Path, by_hand: Path) -> None:
    assert list_notes(tmp_path) == [Note(by_hand, "Just words\nof mine", 1000.0)]
    assert list_notes(tmp_path)[0].first_line == "Just words"


def test_a_note_saved_with_a_byte_order_mark_keeps_its_place(note: Note) -> None:
    note.path.write_bytes(b"\xef\xbb\xbf" + note.path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_note(note.path) == note


DAMAGED = {
    "no end": (b'---\nplace: "x"\n\ntext', "no second ---"),
    "no state": (b'---\nstate: {"layer": 1}\n---\ntext', "missing required field `mode`"),
    "bounds": (b'---\nstate: {"mode": "inspect", "layer": -1}\n---\ntext', ">= 0"),
    "many ids": (b'---\nstate: {"mode": "a", "ids": [' + b"1," * 70_000 + b"1]}\n---\ntext", "length <= 65536"),
    "no json": (b"---\nplace: here\n---\ntext", "is damaged"),
    "deep": (b'---\nstate: {"mode": "a", "sampling": ' + b"[" * 5000 + b"\n---\n", "is damaged"),
    "no date": (b"---\ncreated: yesterday\n---\ntext", "date"),
    "no text": (b"\xff\xfe\x00", "UTF-8"),
    "too large": (b"x" * (LARGEST_NOTE + 1), "bytes"),
}


@pytest.mark.parametrize(("content", "problem"), DAMAGED.values(), ids=DAMAGED)
def test_a_file_that_cannot_be_used_is_listed_with_the_reason_and_can_be_deleted(
    content: bytes, problem: str, note: Note, by_hand: Path, tmp_path: Path
) -> None:
    by_hand.write_bytes(content)
    bad = next(each for each in list_notes(tmp_path) if each.path == by_hand)
    assert problem in bad.problem
    assert (bad.text, bad.state) == ("", None)
    delete_note(bad)
    assert list_notes(tmp_path) == [note]


def test_no_link_is_followed_and_no_pipe_waited_for(tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret", notes_folder(tmp_path)
    secret.write_text("not a note")
    folder.mkdir(parents=True)
    (folder / "link.md").symlink_to(secret)
    os.mkfifo(folder / "pipe.md")
    (folder / "folder.md").mkdir()
    (folder / ".hidden.md").write_text("x")
    (folder / "other.txt").write_text("x")
    found = {note.path.name: note for note in list_notes(tmp_path)}
    assert set(found) == {"link.md", "pipe.md", "folder.md"}
    assert "link" in found["link.md"].problem
    assert "named pipe" in found["pipe.md"].problem
    delete_note(found["link.md"])
    assert secret.read_text() == "not a note"
    with pytest.raises(UserError, match=r"Cannot delete .*folder\.md"):
        delete_note(found["folder.md"])


def test_a_note_that_is_too_long_or_cannot_be_written_is_refused_and_the_old_one_stays(tmp_path: Path, note: Note) -> None:
    with pytest.raises(UserError, match="shorten it"):
        change_note(note, "x" * LARGEST_NOTE)
    assert read_note(note.path) == note
    home = tmp_path / "file"
    home.write_text("")
    with pytest.raises(UserError, match="make the folder of your notes"):
        add_note(home, "x", PLACE, STATE)


def test_notes_follow_a_run_to_its_new_name(tmp_path: Path) -> None:
    compared = ScreenState(mode="train", page="compare", run="other", others=("tale",))
    paths = [
        add_note(tmp_path, "a", "Inspect · tale · “tale”", ScreenState(mode="inspect", run="tale", prompt="tale")).path,
        add_note(tmp_path, "b", "Train · other · compared with tale", compared).path,
        add_note(tmp_path, "c", "Home · other", ScreenState(mode="home", run="other")).path,
    ]
    before = read_note(paths[2])
    rename_run_in_notes(tmp_path, "tale", "story")
    first, second, third = map(read_note, paths)
    assert (first.place, first.state) == ("Inspect · story · “tale”", ScreenState(mode="inspect", run="story", prompt="tale"))
    assert second.state == msgspec.structs.replace(compared, others=("story",))
    assert third == before


@pytest.mark.parametrize(("words", "is_found"), [("", True), ("inspect MINE", True), ("inspect forward", False)])
def test_a_note_is_found_by_words_of_its_text_and_its_place(words: str, is_found: bool, note: Note) -> None:
    assert note.holds(words) is is_found


def test_a_place_is_the_same_with_other_weights_and_not_at_another_head() -> None:
    assert is_same_place(STATE, msgspec.structs.replace(STATE, checkpoint="last"))
    assert not is_same_place(STATE, msgspec.structs.replace(STATE, head=0))


FOREIGN = ["tags: [heads, todo]", "aliases:", "  - place: nested, and not ours", "# a comment", "cssclass: wide"]


def add_foreign_lines(path: Path) -> None:
    head, words = path.read_text().split("\n---\n", 1)
    path.write_text("\n".join([head, *FOREIGN, "---", words]))


def test_front_matter_of_other_programs_stays_when_a_note_is_changed_and_its_run_renamed(tmp_path: Path, note: Note) -> None:
    add_foreign_lines(note.path)
    changed = change_note(read_note(note.path), "y")
    assert (changed.path, changed.text, changed.place, changed.state) == (note.path, "y", PLACE, STATE)
    rename_run_in_notes(tmp_path, "demo", "story")
    assert "story" in note.path.read_text()
    front = note.path.read_text().split("---\n")[1]
    assert [line for line in FOREIGN if line in front.splitlines()] == FOREIGN


@pytest.mark.parametrize("elsewhere", ["text", "front matter", "damage", "deleted"])
def test_what_another_program_has_written_since_is_neither_overwritten_nor_deleted(
    tmp_path: Path, note: Note, elsewhere: str
) -> None:
    if elsewhere == "front matter":
        add_foreign_lines(note.path)
    elif elsewhere == "deleted":
        note.path.unlink()
    else:
        note.path.write_text(note.path.read_text() + "theirs" if elsewhere == "text" else "---\nnothing")
    theirs = note.path.read_bytes() if note.path.exists() else None
    if theirs is not None:
        with pytest.raises(UserError, match="has been changed by another program"):
            delete_note(note)
    changed = change_note(note, "mine, longer")
    assert (changed.text, changed.place, changed.state) == ("mine, longer", PLACE, STATE)
    assert (changed.path == note.path) == (theirs is None)
    assert theirs is None or note.path.read_bytes() == theirs
    assert len(list_notes(tmp_path)) == 1 + (theirs is not None)


def test_a_file_that_another_program_has_only_touched_is_changed_in_place(tmp_path: Path, by_hand: Path) -> None:
    note = read_note(by_hand)
    os.utime(by_hand, (5, 5))
    assert change_note(note, "longer").path == by_hand
    assert [each.text for each in list_notes(tmp_path)] == ["longer"]


def test_a_note_keeps_its_permissions_its_line_ends_and_the_keys_of_its_state_that_are_not_known(
    tmp_path: Path, note: Note
) -> None:
    """The user's editor and another version of the lab have been there."""
    whole = note.path.read_text().replace('"mode":', '"newer":{"key":[1]},"mode":')
    note.path.write_bytes(whole.replace("\n", "\r\n").encode())
    note.path.chmod(0o600)
    changed = change_note(read_note(note.path), "one\ntwo")
    rename_run_in_notes(tmp_path, "demo", "story")
    raw = note.path.read_bytes()
    assert (changed.path, note.path.stat().st_mode & 0o777) == (note.path, 0o600)
    assert b"\r\none\r\ntwo\r\n" in raw
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert b'"newer":{"key":[1]}' in raw
    assert b"story" in raw
