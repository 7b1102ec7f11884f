"""The files that a source names: their stamp, whether they can be read again; and the texts that were trained on last."""

import os
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from lab.core.errors import UserError
from lab.core.preferences import (
    LONGEST_NAME,
    LONGEST_SOURCE,
    MOST_TEXTS,
    RecentText,
    preferences_lock,
    read_preferences,
    replace_preferences,
)
from lab.data.builtin_texts import is_builtin
from lab.data.corpus import STDIN
from lab.data.find_text_files import find_by_pattern, find_in_folder, fixed_part, is_pattern
from lab.data.text_source import FILE_URI, mode_of, path_of, sources_of

SourceStamp = tuple[tuple[str, int, int], ...]
"""Path, size and time of modification of each file; empty for built-in texts."""


def source_stamp(source: str) -> SourceStamp:
    """The files of a source as they are now; those that cannot be read are left out.
    Raises UserError if a folder has too many files."""
    found = []
    for path in (path for each in sources_of(source) for path in _paths(each)):
        with suppress(OSError, ValueError):
            facts = os.stat(path)
            found.append((path, facts.st_size, facts.st_mtime_ns))
    return tuple(found)


def can_be_read_again(source: str) -> bool:
    """False for standard input and named pipes, whose text is gone once it is read."""
    return not any(each == STDIN or (not is_builtin(each) and stat.S_ISFIFO(mode_of(each))) for each in sources_of(source))


def is_one_file(source: str) -> bool:
    """True if the source names one regular file by its path."""
    return not is_builtin(source) and len(sources_of(source)) == 1 and stat.S_ISREG(mode_of(source))


def file_size(source: str) -> int | None:
    """Bytes of all files of a source; None where one of them is no regular file, or there is none."""
    try:
        stamp = source_stamp(source)
    except UserError:
        return None
    return sum(size for _, size, _ in stamp) if stamp and can_be_read_again(source) else None


def _paths(source: str) -> list[str]:
    if source == STDIN or is_builtin(source):
        return []
    try:
        path = path_of(source)
        if path.is_dir():
            return [file.path for file in find_in_folder(str(path)).files]
        if not path.exists() and is_pattern(source):
            return [file.path for file in find_by_pattern(os.path.abspath(os.path.expanduser(source))).files]
    except (OSError, ValueError, RuntimeError):
        return []
    return [str(path)]


def recent_texts(home: Path) -> list[RecentText]:
    """The last texts, the newest first, without those whose files or folders are gone. Looks at the disk."""
    return [text for text in read_preferences(home)[0].recent_texts if all(map(_is_there, sources_of(text.source)))]


def remember_text(home: Path, source: str, encoding: str = "") -> None:
    """Put a text first among the recent ones. Standard input and pipes, which cannot be read again, are not kept.

    A damaged file of preferences is left as it is.
    Raises UserError if the preferences cannot be written.
    """
    text = RecentText(source, encoding)
    if not 0 < len(source) <= LONGEST_SOURCE or len(encoding) > LONGEST_NAME or not can_be_read_again(source):
        return
    with preferences_lock(home):
        preferences, problem = read_preferences(home)
        if not problem and preferences.recent_texts[:1] != (text,):
            others = [each for each in preferences.recent_texts if each.source != source]
            replace_preferences(home, msgspec.structs.replace(preferences, recent_texts=(text, *others)[:MOST_TEXTS]))


def _is_there(source: str) -> bool:
    if is_builtin(source) or mode_of(source):
        return True
    return is_pattern(source) and not source.startswith(FILE_URI) and os.path.isdir(fixed_part(os.path.expanduser(source)))
