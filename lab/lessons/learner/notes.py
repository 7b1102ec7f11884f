"""Notes of one's own: Markdown files in the folder `.learn/notes` of the home, each with the screen state that it is about.

A note begins with a front matter that other programs read as YAML:

    ---
    created: 2026-02-03T04:05:06Z
    place: "Inspect · demo · layer 2"
    state: {"mode":"inspect","run":"demo","layer":1}
    ---

    The text, in Markdown.

A Markdown file without one, written in any editor, is a note about no place. The names of the files mean nothing.
"""

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec

from lab.core.atomic_io import folder_lock, os_error_in_words, write_atomic
from lab.core.errors import DamagedFileError, UserError
from lab.core.number_format import within_calendar
from lab.core.safe_open import decode_json, read_regular
from lab.lessons.learner.progress import learner_folder
from lab.views.screen_state import ScreenState

LARGEST_NOTE = 1 << 20
"""Bytes of a note's file."""
MOST_NOTES = 10_000
"""Most notes that are read, the newest by name first."""
LONGEST_PLACE = 500
END = "---"
OURS = re.compile("(created|place|state):(.*)")
"""A line of the front matter that is ours."""
DATE = "%Y-%m-%dT%H:%M:%SZ"

Place = Annotated[str, msgspec.Meta(max_length=LONGEST_PLACE)]


@dataclass(frozen=True)
class Note:
    """A note, or a file among the notes that cannot be used."""

    path: Path
    text: str
    """Markdown."""
    created: float = 0.0
    """Unix time."""
    place: str = ""
    """The place in words, as it was when the note was written."""
    state: ScreenState | None = None
    """The place; None for a file without one."""
    problem: str = ""
    """The reason why the file cannot be used; "" if it can."""
    foreign_lines: tuple[str, ...] = ()
    """The lines of the front matter that another program or the user has written."""
    foreign_state: dict[str, Any] = field(default_factory=dict)
    """Keys of the state that this version does not know."""

    @property
    def first_line(self) -> str:
        """The first line that has words, without the marks of a heading or a list."""
        lines = (line.strip().lstrip("#>*-+ ").strip() for line in self.text.splitlines())
        return next(filter(None, lines), "")

    def holds(self, words: str) -> bool:
        """True if each of the words is in the note, its place or its file's name; upper and lower case are the same."""
        searched = f"{self.text}\n{self.place}\n{self.path.name}".casefold()
        return all(word in searched for word in words.casefold().split())


def notes_folder(home: Path) -> Path:
    return learner_folder(home) / "notes"


def list_notes(home: Path) -> list[Note]:
    """All notes, newest first. A file that cannot be used is listed with its problem. Raises: UserError: for the folder."""
    folder = notes_folder(home)
    try:
        with os.scandir(folder) as entries:
            found = [each.name for each in entries]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise os_error_in_words(error, f"read your notes in {folder}") from error
    names = sorted((name for name in found if name.endswith(".md") and not name.startswith(".")), reverse=True)
    return sorted((read_note(folder / name) for name in names[:MOST_NOTES]), key=lambda note: -note.created)


def read_note(path: Path) -> Note:
    """A note from its file. Never fails: the problem is the note's."""
    try:
        raw = read_regular(path, LARGEST_NOTE)
        return _parsed(path, raw)
    except DamagedFileError as error:
        return Note(path, "", _modification_time(path), problem=error.reason)
    except OSError as error:
        return Note(path, "", _modification_time(path), problem=(error.strerror or str(error)).lower())


def _parsed(path: Path, raw: bytes) -> Note:
    try:
        whole = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DamagedFileError(path, "is not text in UTF-8") from error
    lines = whole.split("\n")
    if lines[0].rstrip() != END:
        return Note(path, whole.strip("\n"), _modification_time(path))
    end = next((at for at, line in enumerate(lines[1:], 1) if line.rstrip() == END), None)
    if end is None:
        raise DamagedFileError(path, f"begins with {END} and has no second {END} at the end of its front matter")
    foreign_lines = tuple(line for line in lines[1:end] if not OURS.match(line))
    fields = {match[1]: match[2].strip() for match in map(OURS.match, lines[1:end]) if match}
    text = "\n".join(lines[end + 1 :]).strip("\n")
    try:
        date = datetime.strptime(fields["created"], DATE) if "created" in fields else None
    except ValueError as error:
        raise DamagedFileError(path, "has a date in its front matter that is none, such as 2026-02-03T04:05:06Z") from error
    created = _modification_time(path) if date is None else date.replace(tzinfo=UTC).timestamp()
    place = decode_json(path, fields["place"].encode(), Place) if "place" in fields else ""
    state = decode_json(path, fields["state"].encode(), ScreenState) if "state" in fields else None
    keys = decode_json(path, fields["state"].encode(), dict[str, Any]) if "state" in fields else {}
    foreign_state = {name: value for name, value in keys.items() if name not in ScreenState.__struct_fields__}
    return Note(path, text, created, place, state, foreign_lines=foreign_lines, foreign_state=foreign_state)


def _modification_time(path: Path) -> float:
    """Unix time of the file's last change, within the calendar; 0 if there is no such file."""
    try:
        return within_calendar(path.lstat().st_mtime)
    except OSError:
        return 0.0


def _written(text: str, created: float, place: str, state: ScreenState | None, before: Note | None = None) -> bytes:
    """The file of a note; what is not ours in the one `before` it stays."""
    date = datetime.fromtimestamp(created, UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    head = [END, f"created: {date}Z"]
    if place:
        head.append(f"place: {msgspec.json.encode(place[:LONGEST_PLACE]).decode()}")
    if state is not None:
        keys = (before.foreign_state if before else {}) | msgspec.to_builtins(state)
        head.append(f"state: {msgspec.json.encode(keys).decode()}")
    return "\n".join([*head, *(before.foreign_lines if before else ()), END, "", text.strip("\n"), ""]).encode("utf-8", "replace")


def add_note(home: Path, text: str, place: str, state: ScreenState) -> Note:
    """Write a new note. Raises: UserError: if it is too long, or cannot be written."""
    folder = notes_folder(home)
    created = float(int(time.time()))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise os_error_in_words(error, f"make the folder of your notes, {folder}") from error
    with folder_lock(folder):  # another lab may choose the same name
        path = _unused(folder, created, place)
        _write(path, _written(text, created, place, state))
    return read_note(path)


def change_note(note: Note, text: str) -> Note:
    """Write the note anew with another text; its place and date stay. Raises: UserError: if it cannot be written.

    Where another program has changed the file since it was read, the text becomes a note beside it, so that both are kept.
    """
    with folder_lock(note.path.parent):
        is_changed = _is_changed(note)
        path = _unused(note.path.parent, note.created, note.place) if is_changed else note.path
        _write(path, _written(text, note.created, note.place, note.state, note))
    return read_note(path)


def _is_changed(note: Note) -> bool:
    """True if the note's file holds something else by now."""
    there = read_note(note.path)
    return os.path.lexists(note.path) and replace(there, created=note.created) != note


def rename_run_in_notes(home: Path, before: str, now: str) -> None:
    """Let the notes about a run follow it to its new name. Raises: UserError: if one cannot be written."""
    for note in map(read_note, [note.path for note in list_notes(home)]):  # each as it is now
        state = note.state
        if state is not None and before in (state.run, *state.others):
            others = tuple(now if name == before else name for name in state.others)
            renamed = msgspec.structs.replace(state, run=now if state.run == before else state.run, others=others)
            place = " · ".join(now if part == before else part for part in note.place.split(" · "))
            _write(note.path, _written(note.text, note.created, place, renamed, note))


def delete_note(note: Note) -> None:
    """Delete the note's file. Raises: UserError: if it cannot be deleted, or another program has changed it since it was read."""
    if _is_changed(note):
        raise UserError(f"{note.path} has been changed by another program since it was read; look at it again first.")
    try:
        note.path.unlink(missing_ok=True)
    except OSError as error:
        raise os_error_in_words(error, f"delete {note.path}") from error


def _write(path: Path, contents: bytes) -> None:
    if len(contents) > LARGEST_NOTE:
        size = f"{len(contents):,} bytes with its place, of {LARGEST_NOTE:,} that it may have"
        raise UserError(f"The note has {size}: shorten it.")
    with suppress(OSError, DamagedFileError):
        if b"\r\n" in read_regular(path, LARGEST_NOTE):  # written by an editor of Windows
            contents = contents.replace(b"\n", b"\r\n")
    try:
        write_atomic(path, contents)
    except OSError as error:
        raise os_error_in_words(error, f"write the note {path}") from error


def _unused(folder: Path, created: float, place: str) -> Path:
    """A name for the file: the time, then words of the place; numbered where it is taken."""
    date = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%d-%H%M%S")
    slug = re.sub(r"[^a-z0-9]+", "-", place.lower())[:60].strip("-") or "note"
    path, number = folder / f"{date}-{slug}.md", 1
    while os.path.lexists(path):
        number += 1
        path = folder / f"{date}-{slug}-{number}.md"
    return path


def is_same_place(one: ScreenState, other: ScreenState) -> bool:
    """True if two states show the same place; the checkpoint and the changes made in the model may differ."""
    return _looked_at(one) == _looked_at(other)


def _looked_at(state: ScreenState) -> tuple[object, ...]:
    prompt = state.ids or state.prompt
    place = (state.mode, state.page, state.run, state.text, prompt, state.tokenizer)
    return (*place, state.stage, state.layer, state.head, state.position, state.lesson, state.step, state.claim)
