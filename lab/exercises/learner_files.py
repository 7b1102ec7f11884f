"""The learner's files: one for each exercise in a folder of the home, and which of them pass as they are now."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from lab.core.atomic_io import os_error_in_words, write_atomic
from lab.core.errors import UserError
from lab.core.safe_open import make_private_folder, read_regular, refuse_link
from lab.exercises.exercise import NAMES, words_of
from lab.lessons.learner_progress import learner_folder
from lab.runs.home_folder import home

LARGEST_FILE = 1 << 20
PASSED = "passed.json"
"""Name of the file in the folder that says which of the learner's files pass: their checksums by exercise."""


def write_folder() -> Path:
    """The folder of the learner's files."""
    return learner_folder(home()) / "write"


def file_of(folder: Path, name: str) -> Path:
    return folder / words_of(name).file_name


def begin(folder: Path, name: str) -> Path:
    """The learner's file of an exercise, made from the template where there is none. Raises UserError."""
    file = file_of(folder, name)
    refuse_link(folder.parent)
    refuse_link(folder)
    try:
        make_private_folder(folder)
        if not os.path.lexists(file):
            write_atomic(file, words_of(name).template.encode())
        read_regular(file, LARGEST_FILE)
    except OSError as error:
        raise os_error_in_words(error, f"begin {file}") from error
    return file


def begin_anew(folder: Path, name: str) -> Path | None:
    """Make the file anew. Returns where what it held is kept, beside it under a name that was free; None where there was none.
    Raises UserError as the system says."""
    file, number = file_of(folder, name), 1
    while os.path.lexists(kept := file.with_name(f"{file.stem}.earlier-{number}.py")):
        number += 1
    try:
        if is_there := os.path.lexists(file):
            os.rename(file, kept)
    except OSError as error:
        raise os_error_in_words(error, f"keep {file}") from error
    begin(folder, name)
    return kept if is_there else None


def checksum(file: Path) -> str:
    """The checksum of a file; "" of one that cannot be read."""
    try:
        return hashlib.sha256(read_regular(file, LARGEST_FILE)).hexdigest()
    except (OSError, UserError):
        return ""


def checksums(folder: Path) -> dict[str, str]:
    """Checksums of the learner's files that pass, by exercise: of those that are as they were when they were checked last."""
    try:
        known = msgspec.json.decode((folder / PASSED).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}
    return {name: known[name] for name in NAMES if known.get(name) and checksum(file_of(folder, name)) == known[name]}


def states(folder: Path) -> dict[str, str]:
    """Of each exercise whether the learner's file "passes", is "begun" or is not there, ""."""
    passed = checksums(folder)
    return {each: "passes" if each in passed else "begun" if file_of(folder, each).is_file() else "" for each in NAMES}


def passing(folder: Path) -> dict[str, Path]:
    """The learner's files that pass, by exercise."""
    return {name: file_of(folder, name) for name in checksums(folder)}


def remember(folder: Path, name: str, passed: str) -> None:
    """Keep that an exercise's file of the checksum `passed` passes; "" where it does not pass."""
    with suppress(OSError):  # a folder that cannot be written to: it is checked again
        write_atomic(folder / PASSED, msgspec.json.encode(checksums(folder) | {name: passed}))
