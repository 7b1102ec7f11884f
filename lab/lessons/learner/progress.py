"""Progress through the lessons: the step that each was left at, and which are done; one small file of the home folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec

from lab.core.atomic_io import folder_lock, keep_damaged, os_error_in_words, write_atomic
from lab.core.errors import DamagedFileError
from lab.core.safe_open import decode_json, read_regular

LARGEST_PROGRESS = 1 << 18
MOST_STEPS = 1000
Name = Annotated[str, msgspec.Meta(max_length=100)]


class LessonProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    step: Annotated[int, msgspec.Meta(ge=0, le=MOST_STEPS)] = 0
    """0-based step that the lesson was left at."""
    is_done: bool = False
    """True once its last step was read."""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    lessons: Annotated[dict[Name, LessonProgress], msgspec.Meta(max_length=1000)] = {}
    """By name of the lesson; one that is not here was not begun."""
    last: Name = ""
    """The lesson read last."""

    def of(self, lesson: str) -> LessonProgress:
        return self.lessons.get(lesson, LessonProgress())

    def at(self, lesson: str, step: int, steps: int, *, is_back: bool = False) -> "Progress":
        """The progress once this step, of so many, is read; `is_back` if it was reached from the lesson after this one."""
        is_done = self.of(lesson).is_done or (step == steps - 1 and not is_back)
        return Progress({**self.lessons, lesson: LessonProgress(step, is_done)}, lesson)


def learner_folder(home: Path) -> Path:
    return home / ".learn"


def progress_path(home: Path) -> Path:
    return learner_folder(home) / "progress.json"


def read_progress(home: Path) -> tuple[Progress, str]:
    """The progress, and the problem with its file in one sentence; "" if there is none. Never fails."""
    path = progress_path(home)
    try:
        return decode_json(path, read_regular(path, LARGEST_PROGRESS), Progress), ""
    except FileNotFoundError:
        return Progress(), ""
    except DamagedFileError as error:
        return Progress(), f"Your progress is not used: {error}"
    except OSError as error:
        return Progress(), str(os_error_in_words(error, f"read your progress in {path}"))


def write_progress(home: Path, progress: Progress, lesson: str, tell: Callable[[str], None] = lambda _: None) -> None:
    """Keep the progress through one lesson, and the last one; that through the others may have been changed by another lab.

    A damaged file is kept beside it, and `tell` is called with a sentence on it.

    Raises: UserError: if it cannot be written.
    """
    path = progress_path(home)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with folder_lock(path.parent):
            kept, problem = read_progress(home)
            if problem:
                keep_damaged(path, tell)
            read = progress.of(lesson)
            read = LessonProgress(read.step, read.is_done or kept.of(lesson).is_done)
            merged = Progress({**progress.lessons, **kept.lessons, lesson: read}, progress.last)
            write_atomic(path, msgspec.json.format(msgspec.json.encode(merged)) + b"\n")
    except OSError as error:
        raise os_error_in_words(error, f"keep your progress in {path}") from error
