"""Notes of the learner's own, `notes.md`, at whose end the lab writes new ones.

A note is a heading with the time and the place, and what was typed. An earlier llmlab kept each in a file of its own in
`.learn/notes`; these are shown, are read into the file when it is first made, and stay where they are.
"""

import os
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from lab.core.atomic_io import append_whole, folder_lock, os_error_in_words, write_atomic
from lab.core.errors import DamagedFileError
from lab.core.number_format import date_and_time
from lab.core.safe_open import make_private_folder, open_to_append, read_regular
from lab.core.visible_text import visible
from lab.lessons.learner_progress import learner_folder

LARGEST_NOTES = 64 << 20
"""Bytes of the notes."""
LARGEST_EARLIER = 1 << 20
"""Bytes of a note of an earlier llmlab."""
FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*$\n?(.*)", re.MULTILINE | re.DOTALL)
SIGNS = re.compile(r"[\\`*\[\]<&~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown would read as its own signs in a heading."""


def notes_path(home: Path) -> Path:
    return learner_folder(home) / "notes.md"


def read_notes(home: Path) -> str:
    """The text of the notes, where there is no file that of an earlier llmlab's; "" where there are none.

    Raises: UserError: if the file cannot be read, or is no regular file.
    """
    path = notes_path(home)
    try:
        return read_regular(path, LARGEST_NOTES).decode("utf-8-sig", "replace").replace("\r\n", "\n")
    except FileNotFoundError:
        return "\n".join(_earlier_notes(home))
    except OSError as error:
        raise os_error_in_words(error, f"read your notes in {path}") from error


def prepare_notes(home: Path) -> Path:
    """Make the folder of the notes and, where the file is missing, write what an earlier llmlab kept. Returns the file's path.

    Raises: UserError: as the system says.
    """
    path = notes_path(home)
    try:
        make_private_folder(path.parent)
        with folder_lock(path.parent):
            if not os.path.lexists(path) and (earlier := _earlier_notes(home)):
                write_atomic(path, "\n".join(earlier).encode("utf-8", "replace"))
    except OSError as error:
        raise os_error_in_words(error, f"write your notes to {path}") from error
    return path


def add_note(home: Path, place: str, text: str) -> None:
    """Write a note at the end of the file. Raises: UserError: if it cannot be written, or the file is no regular file."""
    path = prepare_notes(home)
    try:
        with folder_lock(path.parent):
            descriptor = open_to_append(path)
            try:
                before = read_regular(path, LARGEST_NOTES)
                gap = "" if not before else "\n" if before.endswith(b"\n") else "\n\n"
                append_whole(descriptor, (gap + _in_markdown(time.time(), place, text)).encode("utf-8", "replace"))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        raise os_error_in_words(error, f"write your note to {path}") from error


def _in_markdown(created: float, place: str, text: str) -> str:
    heading, body = SIGNS.sub(r"\\\g<0>", visible(place)), text.strip("\n")
    return f"## {date_and_time(created)} · {heading}\n\n{body}\n"


def _earlier_notes(home: Path) -> list[str]:
    """The notes of an earlier llmlab as Markdown, oldest first."""
    paths = sorted(path for path in (learner_folder(home) / "notes").glob("*.md") if not path.name.startswith("."))
    notes = sorted(map(_earlier_note, paths), key=lambda note: note[0])
    return [_in_markdown(*note) for note in notes]


def _earlier_note(path: Path) -> tuple[float, str, str]:
    """Time, place and text of the note; in the place of one that cannot be read, the reason."""
    created, place = path.lstat().st_mtime, path.name
    try:
        text = read_regular(path, LARGEST_EARLIER).decode("utf-8-sig").replace("\r\n", "\n")
    except DamagedFileError as error:
        return created, place, f"Not read: {visible(str(error))}"
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not text in UTF-8" if isinstance(error, UnicodeDecodeError) else (error.strerror or str(error)).lower()
        return created, place, f"Not read, {reason}: {visible(str(path))}"
    if found := FRONT_MATTER.match(text):
        fields, text = dict(re.findall("^(created|place):(.*)$", found[1], re.MULTILINE)), found[2]
        with suppress(KeyError, ValueError):
            created = datetime.strptime(fields["created"].strip(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        with suppress(KeyError, msgspec.DecodeError):
            place = msgspec.json.decode(fields["place"], type=str)
    return created, place, text
