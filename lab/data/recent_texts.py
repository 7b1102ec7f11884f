"""The last texts that were trained on, kept among the user's preferences."""

import os
from dataclasses import replace
from pathlib import Path

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
from lab.data.find_text_files import fixed_part, is_pattern
from lab.data.statistics.source_stamp import can_be_read_again
from lab.data.text_source import FILE_URI, mode_of, sources_of


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
            replace_preferences(home, replace(preferences, recent_texts=(text, *others)[:MOST_TEXTS]))


def _is_there(source: str) -> bool:
    if is_builtin(source) or mode_of(source):
        return True
    return is_pattern(source) and not source.startswith(FILE_URI) and os.path.isdir(fixed_part(os.path.expanduser(source)))
