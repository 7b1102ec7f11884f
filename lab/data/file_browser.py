"""Browse folders for a text: list their contents, and tell the files that are none."""

import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.core.atomic_io import os_error_in_words
from lab.data.text_encoding import is_binary

MOST_ENTRIES = 1000
"""Entries that are listed, at most; the rest are found by typing the beginning of a name."""

MOST_VISITED = 20_000
"""Names that a search in a folder looks at, at most."""
MOST_MATCHES = 200
"""Names that a search finds, at most."""


@dataclass(frozen=True)
class Matches:
    """Files under a folder, by their paths within it. `is_all` is False if the search ended at one of its limits."""

    files: tuple[str, ...]
    is_all: bool


@dataclass(frozen=True)
class Listing:
    """A folder's contents by name, without hidden ones. `left_out` counts what is beyond `MOST_ENTRIES`."""

    folders: tuple[str, ...]
    files: tuple[str, ...]
    left_out: int = 0


def working_folder() -> Path:
    """The folder that this process is in. Where it was removed meanwhile, the process goes to the user's home."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        os.chdir(Path.home())
        return Path.home()


def listing(folder: Path) -> Listing:
    """List a folder. Raises UserError if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            found = [(not is_folder(entry), entry.name) for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise os_error_in_words(error, f"look into {folder}") from error
    found.sort(key=lambda pair: (pair[0], pair[1].casefold()))
    kept = found[:MOST_ENTRIES]
    return Listing(
        folders=tuple(name for is_file, name in kept if not is_file),
        files=tuple(name for is_file, name in kept if is_file),
        left_out=len(found) - len(kept),
    )


def matching_files(folder: Path, typed: str, cancelled: Callable[[], bool] = lambda: False) -> Matches:
    """Files in a folder and the folders in it whose path holds every word of `typed`, in any case; the nearest first."""
    words = typed.casefold().split()
    found: list[str] = []
    visited = 0
    waiting = deque([""])
    while waiting and not cancelled():
        inside = waiting.popleft()
        try:
            with os.scandir(folder / inside) as entries:
                here = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda each: each.name)
        except OSError:
            continue
        for entry in here:
            visited += 1
            path = os.path.join(inside, entry.name)
            if is_folder(entry):
                if not entry.is_symlink():
                    waiting.append(path)
            elif all(word in path.casefold() for word in words):
                found.append(path)
            if visited >= MOST_VISITED or len(found) >= MOST_MATCHES:
                return Matches(tuple(found), False)
    return Matches(tuple(found), True)


def binary_files(folder: Path, files: Iterable[str]) -> frozenset[str]:
    """The files in a folder that are no text, by a glance at their first bytes."""
    return frozenset(name for name in files if is_binary(folder / name))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """True for a folder; False also where that cannot be told."""
    try:
        return entry.is_dir()
    except OSError:
        return False
