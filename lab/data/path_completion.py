"""Folders as they are browsed for a text, and paths as they are typed on one line, several with spaces between as in a shell:
what they name, and what they may become."""

import glob
import os
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lab.core.atomic_io import os_error_in_words
from lab.data.builtin_texts import BUILTINS, is_builtin
from lab.data.corpus import STDIN
from lab.data.find_text_files import is_pattern
from lab.data.text_encoding import is_binary
from lab.data.text_source import joined_source, path_of, sources_of

MOST_ENTRIES = 1000
"""Entries that are listed, at most; the rest are found by typing the beginning of a name."""

MOST_VISITED = 20_000
"""Names that a search in a folder looks at, at most."""
MOST_FOUND = 200
"""Names that a search finds, at most."""


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


def matching_files(folder: Path, typed: str, cancelled: Callable[[], bool] = lambda: False) -> tuple[list[str], bool]:
    """Files in a folder and the folders in it whose path there holds every word of `typed`, in any case; the nearest first. And
    True if these are all: False if the search ended at one of its limits."""
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
            if visited >= MOST_VISITED or len(found) >= MOST_FOUND:
                return found, False
    return found, True


def binary_files(folder: Path, files: Iterable[str]) -> frozenset[str]:
    """The files in a folder that are no text, by a glance at their first bytes."""
    return frozenset(name for name in files if is_binary(folder / name))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """True for a folder; False also where that cannot be told."""
    try:
        return entry.is_dir()
    except OSError:
        return False


MOST_MATCHES = 1000
"""Paths that match a typed pattern and are listed, at most."""

SPECIAL = " \t\\'\""
"""Characters that are typed with a backslash before them, or within quotes."""

_WORD = re.compile(r"""(?:[^ \t'"\\]|\\.?|'[^']*(?:'|\Z)|"[^"]*(?:"|\Z))+""", re.DOTALL)
_QUOTED = re.compile(r"""\\(?P<escaped>.?)|(?P<quote>['"])(?P<quoted>.*?)(?P<closed>(?P=quote)|\Z)""", re.DOTALL)
"""What a word holds that is not itself: a character after a backslash, a part in quotes."""


@dataclass(frozen=True)
class _Word:
    """One of the words on a line."""

    value: str
    """Without quotes and backslashes."""
    start: int
    quote: str
    """The quote that is still open at its end, or ""."""


def typed_source(typed: str) -> str:
    """The source that a line stands for: `a.txt notes/*.md 'my diary.txt'` is three.

    A path that exists is one source, with its spaces. A line in which no word names anything is one, too: a path with a mistake.
    """
    line = typed.strip()
    words = [word.value for word in _words(typed) if word.value]
    if _is_there(line) or (len(words) > 1 and not any(word == STDIN or is_pattern(word) or _is_there(word) for word in words)):
        words = [line]
    return joined_source(words)


def typed_line(source: str) -> str:
    """The line by which a source is typed: the inverse of `typed_source`."""
    sources = sources_of(source)
    if len(sources) == 1 and sources[0] == sources[0].strip() and _is_there(sources[0]):
        return sources[0]
    return " ".join(_escaped(each, "") for each in sources)


def completions(typed: str) -> list[str]:
    """Lines that a half-typed one may become, sorted: its last path is completed; folders end in `/`.

    Hidden names are offered only where the dot was typed. A pattern is completed to the paths that match it so far.
    """
    if whole := _completed(typed):
        return whole
    words = _words(typed)
    last = words[-1] if words else _Word("", 0, "")
    if not last.start:
        return [_escaped(each, last.quote) for each in _completed(last.value)] if last.value != typed else []
    return [typed[: last.start] + _escaped(each, last.quote) for each in _completed(last.value)]


def completed_name(line: str) -> str:
    """Name of the file or folder that a line of `completions` ends with; a folder's ends in `/`."""
    path = line if _is_there(line) else _words(line)[-1].value
    return os.path.basename(path.rstrip("/")) + ("/" if path.endswith("/") else "")


def common_start(names: list[str]) -> str:
    return os.path.commonprefix(names)  # noqa: RUF071 - the names' characters, not the parts of paths


def _completed(typed: str) -> list[str]:
    if is_pattern(typed) and not _is_there(typed):
        return _matching(typed)
    head, base = os.path.split(typed)
    place = Path(head or ".").expanduser()
    try:
        with os.scandir(place) as entries:
            names = [entry.name + ("/" if is_folder(entry) else "") for entry in entries if entry.name.startswith(base)]
    except (OSError, ValueError, RuntimeError):
        names = []
    if not base.startswith("."):
        names = [name for name in names if not name.startswith(".")]
    builtin = [name for name in BUILTINS if not head and base and name.startswith(base)]
    return builtin + sorted(os.path.join(head, name) for name in names)


def _matching(pattern: str) -> list[str]:
    """Paths that match a pattern, or begin so. Folders in folders, which `**` stands for, are not searched."""
    if "**" in pattern:
        return []
    expanded = os.path.expanduser(pattern)
    try:
        found = list(islice(glob.iglob(expanded if expanded.endswith("*") else expanded + "*"), MOST_MATCHES))
    except (OSError, ValueError):
        return []
    return sorted(path + ("/" if os.path.isdir(path) else "") for path in found)


def _is_there(path: str) -> bool:
    if is_builtin(path):
        return True
    try:
        return os.path.lexists(path_of(path))
    except (OSError, ValueError, RuntimeError):
        return False


def _words(line: str) -> list[_Word]:
    """The words of a line, as a shell cuts it; the last may be unfinished, and is empty after a space."""
    words: list[_Word] = []
    end = 0
    for found in _WORD.finditer(line):
        value = _QUOTED.sub(lambda part: part["escaped"] or part["quoted"] or "", found[0])
        open_quotes = [part["quote"] for part in _QUOTED.finditer(found[0]) if part["quote"] and not part["closed"]]
        words.append(_Word(value, found.start(), "".join(open_quotes)))
        end = found.end()
    if end < len(line):
        words.append(_Word("", len(line), ""))
    return words


def _escaped(path: str, quote: str) -> str:
    """The path as a word of a line, in the quote that is open where there is one, which stays open."""
    if quote and quote not in path:
        return quote + path
    return "".join("\\" + sign if sign in SPECIAL else sign for sign in path)
