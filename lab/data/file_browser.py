"""Browse folders for a text: list their contents, and tell the files that are none."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.core.atomic_io import os_error_in_words
from lab.data.text_encoding import is_binary

MOST_ENTRIES = 1000
"""Entries that are listed, at most; the rest are found by typing the beginning of a name."""


@dataclass(frozen=True)
class Listing:
    """A folder's contents by name, without hidden ones. `left_out` counts what is beyond `MOST_ENTRIES`."""

    folders: tuple[str, ...]
    files: tuple[str, ...]
    left_out: int = 0


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


def binary_files(folder: Path, files: Iterable[str]) -> frozenset[str]:
    """The files in a folder that are no text, by a glance at their first bytes."""
    return frozenset(name for name in files if is_binary(folder / name))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """True for a folder; False also where that cannot be told."""
    try:
        return entry.is_dir()
    except OSError:
        return False
