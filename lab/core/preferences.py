"""Preferences of the user, kept in one small file of the home folder: theme, animation, sampling, last texts, notifications
and language.

Nothing here needs torch.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from lab.core.atomic_io import folder_lock, keep_damaged, os_error_in_words, write_atomic
from lab.core.errors import DamagedFileError
from lab.core.safe_open import decode_json, make_private_folder, read_regular
from models.config import SamplingSettings

AnimationSpeed = Literal["off", "slow", "normal", "fast"]
"""Pace of transitions and of what plays by itself; `off` shows no movement."""

MODELS_OWN = SamplingSettings()
"""The model's own distribution."""

LARGEST_PREFERENCES = 1 << 18
LONGEST_NAME = 100
MOST_TEXTS = 10
LONGEST_SOURCE = 2_000
"""Characters of a text's source; one of many paths is not kept."""


class RecentText(NamedTuple):
    """A text that was trained on: its source, and the encoding that was asked for, or "" for that of the file."""

    source: str
    encoding: str = ""


class Preferences(msgspec.Struct, frozen=True):
    """The user's choices, with the lab's own where there are none. Raises ValueError for a value out of bounds."""

    theme: str = ""
    """Name of the theme; empty for the lab's own."""
    animation: AnimationSpeed = "normal"
    sampling: SamplingSettings = MODELS_OWN
    recent_texts: tuple[RecentText, ...] = ()
    """The last one first."""
    notifications: bool = False
    """True for a bell and a desktop notification when a run or a long job ends while the lab is not in front."""
    language: str = ""
    """Code of the language of the lessons, a folder of `lab/translations`; empty for English."""

    def __post_init__(self) -> None:
        for what, name in (("theme", self.theme), ("language", self.language)):
            if len(name) > LONGEST_NAME:
                raise ValueError(f"the name of the {what} has more than {LONGEST_NAME} characters")
        if len(self.recent_texts) > MOST_TEXTS:
            raise ValueError(f"there are more than {MOST_TEXTS} recent texts")
        for source, encoding in self.recent_texts:
            if not 0 < len(source) <= LONGEST_SOURCE or len(encoding) > LONGEST_NAME:
                raise ValueError(f"the source of a recent text is empty or has more than {LONGEST_SOURCE:,} characters")


def preferences_path(home: Path) -> Path:
    return home / "preferences.json"


def read_preferences(home: Path) -> tuple[Preferences, str]:
    """The preferences, and the problem with their file in one sentence; "" if there is none. Never fails.

    A file that is not there is no problem. The file may be a link, so that it can lie among the user's other settings.
    """
    path = preferences_path(home)
    if not os.path.exists(path):
        return Preferences(), ""
    try:
        return decode_json(path, read_regular(path, LARGEST_PREFERENCES, follow=True), Preferences), ""
    except DamagedFileError as error:
        return Preferences(), f"Your preferences are not used: {error}"
    except OSError as error:
        return Preferences(), str(os_error_in_words(error, f"read your preferences in {path}"))


def write_preferences(home: Path, tell: Callable[[str], None] = lambda _: None, **changes: Any) -> Preferences:
    """Change some of the preferences in the file, keep the others that are there, and return all.

    A damaged file is kept beside it, and `tell` is called with a sentence about that.
    Raises UserError if the file cannot be written."""
    with preferences_lock(home):
        there, problem = read_preferences(home)
        preferences = msgspec.structs.replace(there, **changes)
        with suppress(OSError):  # writing says what is wrong
            if problem:
                keep_damaged(preferences_path(home).resolve(), tell)
        replace_preferences(home, preferences)
    return preferences


@contextmanager
def preferences_lock(home: Path) -> Iterator[None]:
    """Lock of the file of preferences, to read, change and replace them. Its folder is made if it is missing."""
    with suppress(OSError):  # writing says what is wrong
        make_private_folder(home)
    with folder_lock(preferences_path(home).resolve().parent):
        yield


def replace_preferences(home: Path, preferences: Preferences) -> None:
    """Write all preferences, with their lock held. Raises UserError as `write_preferences`."""
    path = preferences_path(home)
    try:
        write_atomic(path.resolve(), msgspec.json.format(msgspec.json.encode(preferences)) + b"\n")
    except OSError as error:
        raise os_error_in_words(error, f"keep your preferences in {path}") from error
