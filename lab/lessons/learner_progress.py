"""Progress of the learner through the lessons, in one small file of the home folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from lab.core.atomic_io import folder_lock, keep_damaged, os_error_in_words, write_atomic
from lab.core.errors import DamagedFileError
from lab.core.safe_open import decode_json, make_private_folder, read_regular

LARGEST_PROGRESS = 1 << 18
MOST_STEPS = 1000
Name = Annotated[str, msgspec.Meta(max_length=100)]
Step = Annotated[int, msgspec.Meta(ge=0, le=MOST_STEPS)]


class LessonProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    step: Step = 0
    """0-based step that the lesson was left at."""
    is_done: bool = False
    """True once all its steps were read, and their guesses made."""
    finished: Annotated[tuple[Step, ...], msgspec.Meta(max_length=MOST_STEPS)] | None = None
    """The steps that were read and, where they ask a guess, answered, while some are left; None where all or none are."""

    def left(self, steps: int) -> list[int]:
        """The steps of so many that are left until the lesson is done."""
        return [] if self.is_done else [step for step in range(steps) if step not in (self.finished or ())]


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    lessons: Annotated[dict[Name, LessonProgress], msgspec.Meta(max_length=1000)] = {}
    """By name of the lesson; one that is not here was not begun."""
    last: Name = ""
    """The lesson read last."""

    def of(self, lesson: str) -> LessonProgress:
        return self.lessons.get(lesson, LessonProgress())

    def ahead(self, lessons: Sequence[str]) -> str | None:
        """Of these lessons, in their order, the one to read on with: the last one read or, if that is done, the next that is not,
        from the first again after the end; None where none was read, or all are done."""
        if self.last not in lessons:
            return None
        at = lessons.index(self.last)
        return next((each for each in (*lessons[at:], *lessons[:at]) if not self.of(each).is_done), None)

    def at(self, lesson: str, step: int, steps: int, *, is_open: bool = False) -> "Progress":
        """The progress once this step, of so many, is read; `is_open` while its guess is not made."""
        before = self.of(lesson)
        # A file of an older lab does not tell which steps were read before the one reached.
        finished = set(range(before.step + 1) if before.finished is None and lesson in self.lessons else before.finished or ())
        if not is_open:
            finished.add(step)
        is_done = before.is_done or finished >= set(range(steps))
        read = LessonProgress(step, is_done, None if is_done else tuple(sorted(finished)))
        return Progress({**self.lessons, lesson: read}, lesson)


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
        make_private_folder(path.parent)
        with folder_lock(path.parent):
            kept, problem = read_progress(home)
            if problem:
                keep_damaged(path, tell)
            read = progress.of(lesson)
            other = kept.of(lesson)
            if read.is_done or other.is_done:
                read = LessonProgress(read.step, is_done=True)
            else:
                read = LessonProgress(read.step, finished=tuple(sorted({*(read.finished or ()), *(other.finished or ())})))
            merged = Progress({**progress.lessons, **kept.lessons, lesson: read}, progress.last)
            write_atomic(path, msgspec.json.format(msgspec.json.encode(merged)) + b"\n")
    except OSError as error:
        raise os_error_in_words(error, f"keep your progress in {path}") from error
