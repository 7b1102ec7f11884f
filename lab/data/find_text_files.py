"""Find the text files of a folder or a glob pattern, and count those that are left out, such as binary and hidden ones."""

import functools
import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice

from lab.core.errors import UserError
from lab.core.number_format import bytes_, listed
from lab.core.visible_text import quoted, shortened, visible
from lab.data.text_encoding import encoding_of_head, read_head

MOST_FILES = 500_000
"""Files of one text, at most: the list of them takes about half a kilobyte of memory each."""

REASONS = {
    "hidden": ("hidden file or folder", "hidden files or folders"),
    "binary": ("binary file", "binary files"),
    "empty": ("empty file", "empty files"),
    "link": ("link that leads out of the folder", "links that lead out of the folder"),
    "special": ("device, pipe or socket", "devices, pipes or sockets"),
    "unreadable": ("unreadable file or folder", "unreadable files or folders"),
    "undecodable": ("file that cannot be decoded", "files that cannot be decoded"),
    "twice": ("file that came twice", "files that came twice"),
}
"""Reasons to leave a file out, in words for one and for several."""
MOST_NAMED, NAME_CHARACTERS = 3, 40
"""Files of a reason that are named, and characters of a name."""


@dataclass(frozen=True, slots=True)
class TextFile:
    """A regular file that begins as text."""

    path: str
    name: str
    """Path within the folder."""
    encoding: str
    """What its byte-order mark says, else UTF-8."""
    size: int
    identity: tuple[int, int]
    """Device and inode, by which a file is known that is found under two names."""
    modified: float
    """Time of the last change, in Unix seconds."""


SYSTEM_FOLDERS = ("/dev", "/proc", "/sys")
"""Folders whose files are made by the system as they are read."""
MOST_BYTES = 10**11
"""Bytes of all files of one text, at most. More would take days to encode, and is a mistake such as / far more often."""

LeftOut = dict[str, str]
"""The files and folders that were left out, by path, each with its reason from `REASONS`."""


@dataclass(frozen=True)
class FoundFiles:
    """Text files, sorted by name."""

    files: tuple[TextFile, ...]
    left_out: LeftOut


def find_in_folder(folder: str, *, wide: bool = False) -> FoundFiles:
    """The text files of a folder and of the folders in it, without hidden ones. No link out of it, nor to a folder, is followed.

    A file with a NUL byte is binary, but where its byte-order mark or `wide` says that it is UTF-16 or UTF-32.
    Raises UserError if there are more than `MOST_FILES`.
    """
    left_out: LeftOut = {}
    return _text_files(folder, _walk(folder, left_out), left_out, wide)


def find_by_pattern(pattern: str, *, wide: bool = False) -> FoundFiles:
    """The text files whose path matches a glob pattern, in which `**` stands for any folders, but for links and hidden ones.

    `wide` is as in `find_in_folder`; here too no link out of the folder, which is that above the first wildcard, is followed.
    Raises UserError if there are more than `MOST_FILES`.
    """
    root = fixed_part(pattern)
    left_out: LeftOut = {}
    rest = os.path.relpath(pattern, root).split(os.sep)
    if "**" not in rest:
        return _text_files(root, glob.iglob(pattern), left_out, wide)
    found = (path for path in _walk(root, {}) if _matches(os.path.relpath(path, root).split(os.sep), rest))
    return _text_files(root, found, left_out, wide)


def is_pattern(path: str) -> bool:
    """True if the path has a wildcard of a glob pattern."""
    return any(sign in path for sign in "*?[")


def fixed_part(pattern: str) -> str:
    """The folder above the first wildcard of a pattern."""
    folder = os.path.dirname(pattern)
    while is_pattern(_unescaped(folder, "")):
        folder = os.path.dirname(folder)
    return _unescaped(folder, r"\1") or "."


def describe_left_out(left_out: Iterable[str], named: Mapping[str, Sequence[str]] | None = None, advice: str = "") -> str:
    """The number of each reason: `2 binary files and 1 empty file`; empty if nothing was left out.

    `named` has the names of the files of some reasons, and `advice` says what to do about those that cannot be decoded.
    """
    counts = Counter(left_out)
    parts = []
    for reason in filter(counts.__getitem__, REASONS):
        names = [shortened(visible(name), NAME_CHARACTERS) for name in (named or {}).get(reason, ())]
        more = [f"{len(names) - MOST_NAMED:,} more"] if len(names) > MOST_NAMED else []
        told = ", ".join(names[:MOST_NAMED] + more) + (advice if reason == "undecodable" else "")
        parts.append(f"{counts[reason]:,} {REASONS[reason][counts[reason] > 1]}{f' ({told})' if told else ''}")
    return listed(parts)


def _unescaped(path: str, replacement: str) -> str:
    """The path with `[*]`, by which `glob.escape` writes a plain `*`, replaced."""
    return re.sub(r"\[([*?[])\]", replacement, path)


def _text_files(root: str, paths: Iterable[str], left_out: LeftOut, wide: bool) -> FoundFiles:
    real_root = os.path.realpath(root)

    @functools.cache
    def is_within(place: str) -> bool:
        """True if the place lies in the folder when links are followed; each folder is looked at once."""
        return os.path.commonpath([os.path.realpath(place), real_root]) == real_root

    listed = list(islice(paths, MOST_FILES + 1))
    if len(listed) > MOST_FILES:
        raise UserError(f"{quoted(root)} has more than {MOST_FILES:,} files; choose a folder or a pattern with fewer.")
    files = []
    for path in sorted(listed, key=lambda each: each.split(os.sep)):
        found = _look_at(path, root, is_within, wide)
        if isinstance(found, TextFile):
            files.append(found)
        elif found:
            left_out[path] = found
    if (size := sum(file.size for file in files)) > MOST_BYTES:
        raise UserError(f"{quoted(root)} has {bytes_(size)} of text, more than {bytes_(MOST_BYTES)}; choose less of it.")
    return FoundFiles(tuple(files), left_out)


def _look_at(path: str, root: str, is_within: Callable[[str], bool], wide: bool) -> TextFile | str | None:
    """The text file at this path, or the reason to leave it out; None for a folder."""
    try:
        facts = os.lstat(path)
        is_link = stat.S_ISLNK(facts.st_mode)
        if not is_within(path if is_link else os.path.dirname(path)):
            return "link"
        if is_link:
            facts = os.stat(path)
        if stat.S_ISDIR(facts.st_mode):
            return None
        if not stat.S_ISREG(facts.st_mode):
            return "special"
        if not facts.st_size:
            return "empty"
        head = read_head(path)
    except (OSError, UserError):
        return "unreadable"
    if not head:
        return "empty"
    encoding = encoding_of_head(head) or ("utf-8" if wide else None)
    if encoding is None:
        return "binary"
    name = os.path.relpath(path, root)
    return TextFile(path, name, encoding, facts.st_size, (facts.st_dev, facts.st_ino), facts.st_mtime)


def _walk(folder: str, left_out: LeftOut) -> Iterator[str]:
    """Every file in a folder and the folders in it, however deep."""
    waiting = [folder]
    while waiting:
        inside = waiting.pop()
        if inside in SYSTEM_FOLDERS:
            left_out[inside] = "special"
            continue
        try:
            with os.scandir(inside) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        left_out[entry.path] = "hidden"
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        yield entry.path
        except OSError:
            left_out[inside] = "unreadable"


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
