"""Find the text files of a folder or a glob pattern, and count those that are left out, such as binary and hidden ones."""

import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice

from lab.core.errors import UserError
from lab.core.visible_text import quoted
from lab.data.text_encoding import encoding_of_head, is_binary_head, read_head

MOST_FILES = 500_000
"""Files of one text, at most: the list of them takes about half a kilobyte of memory each."""

LEFT_OUT = {
    "hidden": ("hidden file or folder", "hidden files or folders"),
    "binary": ("binary file", "binary files"),
    "empty": ("empty file", "empty files"),
    "link": ("link that leads out of the folder", "links that lead out of the folder"),
    "special": ("device, pipe or socket", "devices, pipes or sockets"),
    "unreadable": ("unreadable file or folder", "unreadable files or folders"),
    "twice": ("file that was named twice", "files that were named twice"),
}
"""Reasons to leave a file out, in words for one and for several."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """A regular file that begins as text."""

    path: str
    name: str
    """Path within the folder."""
    encoding: str | None
    """What its byte-order mark says, else UTF-8; None where it must be asked for."""
    size: int
    identity: tuple[int, int]
    """Device and inode, by which a file is known that is found under two names."""


@dataclass(frozen=True)
class FoundFiles:
    """Text files, sorted by name. `left_out` counts the others, by the reasons of `LEFT_OUT`."""

    files: tuple[TextFile, ...]
    left_out: Counter[str]


def find_in_folder(folder: str) -> FoundFiles:
    """The text files of a folder and of the folders in it, without hidden ones. No link out of it, nor to a folder, is followed.

    Raises:
        UserError: if there are more than `MOST_FILES`.
    """
    left_out: Counter[str] = Counter()
    return _text_files(folder, _walk(folder, left_out), left_out)


def find_by_pattern(pattern: str) -> FoundFiles:
    """The text files whose path matches a glob pattern, in which `**` stands for any folders, but for links and hidden ones.

    Raises:
        UserError: if there are more than `MOST_FILES`.
    """
    root = fixed_part(pattern)
    left_out: Counter[str] = Counter()
    rest = os.path.relpath(pattern, root).split(os.sep)
    if "**" not in rest:
        return _text_files(root, glob.iglob(pattern), left_out)
    found = (path for path in _walk(root, Counter()) if _matches(os.path.relpath(path, root).split(os.sep), rest))
    return _text_files(root, found, left_out)


def is_pattern(path: str) -> bool:
    """True if the path has a wildcard of a glob pattern."""
    return any(sign in path for sign in "*?[")


def fixed_part(pattern: str) -> str:
    """The folder above the first wildcard of a pattern."""
    folder = os.path.dirname(pattern)
    while is_pattern(_unescaped(folder, "")):
        folder = os.path.dirname(folder)
    return _unescaped(folder, r"\1") or "."


def left_out_in_words(left_out: Counter[str]) -> str:
    """`2 binary files and 1 empty file`; empty if nothing was left out."""
    parts = [f"{left_out[reason]:,} {words[left_out[reason] > 1]}" for reason, words in LEFT_OUT.items() if left_out[reason]]
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _unescaped(path: str, replacement: str) -> str:
    """The path with `[*]`, by which `glob.escape` writes a plain `*`, replaced."""
    return re.sub(r"\[([*?[])\]", replacement, path)


def _text_files(root: str, paths: Iterable[str], left_out: Counter[str]) -> FoundFiles:
    real_root = os.path.realpath(root)
    listed = list(islice(paths, MOST_FILES + 1))
    if len(listed) > MOST_FILES:
        raise UserError(f"{quoted(root)} has more than {MOST_FILES:,} files; choose a folder or a pattern with fewer.")
    files = []
    for path in sorted(listed, key=lambda each: each.split(os.sep)):
        found = _look_at(path, root, real_root)
        if isinstance(found, TextFile):
            files.append(found)
        elif found:
            left_out[found] += 1
    return FoundFiles(tuple(files), left_out)


def _look_at(path: str, root: str, real_root: str) -> TextFile | str | None:
    """The text file at this path, or the reason to leave it out; None for a folder."""
    try:
        facts = os.lstat(path)
        if stat.S_ISLNK(facts.st_mode):
            if os.path.commonpath([os.path.realpath(path), real_root]) != real_root:
                return "link"
            facts = os.stat(path)
        if stat.S_ISDIR(facts.st_mode):
            return None
        if not stat.S_ISREG(facts.st_mode):
            return "special"
        head = read_head(path)
    except (OSError, UserError):
        return "unreadable"
    if not head:
        return "empty"
    if is_binary_head(head):
        return "binary"
    name = os.path.relpath(path, root)
    return TextFile(path, name, encoding_of_head(head), facts.st_size, (facts.st_dev, facts.st_ino))


def _walk(folder: str, left_out: Counter[str]) -> Iterator[str]:
    """Every file in a folder and the folders in it, however deep."""
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        left_out["hidden"] += 1
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        yield entry.path
        except OSError:
            left_out["unreadable"] += 1


def _matches(path: list[str], pattern: list[str]) -> bool:
    """True if the parts of a path match those of a pattern, of which `**` matches any number, also none."""
    places = _past_any({0}, pattern)
    for part in path:
        stay = {at for at in places if at < len(pattern) and pattern[at] == "**"}
        step = {at + 1 for at in places - stay if at < len(pattern) and fnmatchcase(part, pattern[at])}
        places = _past_any(stay | step, pattern)
    return len(pattern) in places


def _past_any(places: set[int], pattern: list[str]) -> set[int]:
    for at, part in enumerate(pattern):
        if part == "**" and at in places:
            places.add(at + 1)
    return places
