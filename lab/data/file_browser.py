"""Browse folders for a text: list their contents, complete a half-typed path."""

import os
from dataclasses import dataclass
from pathlib import Path

from lab.core.atomic_io import os_error_in_words
from lab.data.builtin_texts import BUILTINS

MOST_ENTRIES = 1000
"""Entries that are listed, at most; the rest are found by typing the beginning of a name."""


@dataclass(frozen=True)
class Listing:
    """A folder's contents by name, without hidden ones. `left_out` counts what is beyond `MOST_ENTRIES`."""

    folders: tuple[str, ...]
    files: tuple[str, ...]
    left_out: int = 0


def listing(folder: Path) -> Listing:
    """List a folder.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            found = [(not _is_folder(entry), entry.name) for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise os_error_in_words(error, f"look into {folder}") from error
    found.sort(key=lambda pair: (pair[0], pair[1].casefold()))
    kept = found[:MOST_ENTRIES]
    return Listing(
        folders=tuple(name for is_file, name in kept if not is_file),
        files=tuple(name for is_file, name in kept if is_file),
        left_out=len(found) - len(kept),
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def completions(typed: str) -> list[str]:
    """Completions of a half-typed path or name, sorted; folders end in `/`. Hidden names only where the dot was typed."""
    head, base = os.path.split(typed)
    place = Path(head or ".").expanduser()
    try:
        with os.scandir(place) as entries:
            names = [entry.name + ("/" if _is_folder(entry) else "") for entry in entries if entry.name.startswith(base)]
    except (OSError, ValueError, RuntimeError):
        names = []
    if not base.startswith("."):
        names = [name for name in names if not name.startswith(".")]
    builtin = [name for name in BUILTINS if not head and base and name.startswith(base)]
    return builtin + sorted(os.path.join(head, name) for name in names)


def common_start(names: list[str]) -> str:
    """The longest beginning that all the names share."""
    if not names:
        return ""
    first, last = min(names), max(names)
    same = next(
        (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), min(len(first), len(last))
    )
    return first[:same]
