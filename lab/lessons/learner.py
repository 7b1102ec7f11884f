"""What the learner did: progress through the lessons, in one small file of the home folder, and predictions made before an answer
was revealed, a line each in another, with their score; and notes of their own, `notes.md`, at whose end the lab writes new ones.

A note is a heading with the time and the place, and what was typed. An earlier llmlab kept each in a file of its own in
`.learn/notes`; these are shown, are read into the file when it is first made, and stay where they are.
"""

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from lab.core.atomic_io import append_whole, folder_lock, keep_damaged, os_error_in_words, write_all, write_atomic
from lab.core.errors import DamagedFileError
from lab.core.number_format import date_and_time, fixed, whole
from lab.core.safe_open import JSON_ERRORS, decode_json, open_to_append, read_regular
from lab.core.visible_text import visible

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
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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


LARGEST_PREDICTIONS = 16 << 20
"""Bytes of the file: some forty thousand predictions."""
LONGEST_TEXT, LONGEST_LABEL, MOST_CHOICES = 500, 200, 26
QUIZ = "quiz"
"""The kind of an answer to the quiz, which is no prediction: it has a score of its own."""
RECENT = 10
"""Predictions that the recent score is over."""

Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
Label = Annotated[str, msgspec.Meta(max_length=LONGEST_LABEL)]
Index = Annotated[int, msgspec.Meta(ge=0, lt=MOST_CHOICES)]


class LearnerPrediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the file."""

    time: Annotated[float, msgspec.Meta(ge=0)]
    """Seconds since 1970."""
    kind: Label
    question: Text
    choices: Annotated[tuple[Label, ...], msgspec.Meta(min_length=2, max_length=MOST_CHOICES)]
    chosen: Index
    right: Annotated[tuple[Index, ...], msgspec.Meta(min_length=1, max_length=MOST_CHOICES)]
    """Indices of the right choices: several where they are tied."""
    source: Label
    """The place where it was asked: `Inspect`, or `lesson` and the lesson's name."""
    run: Text = ""
    identity: Label = ""
    """Equal for the same question on the same weights; "" for a question that is asked once only."""
    was_in_sight: bool = False
    """True if the answer had been on screen before: then it does not count."""
    is_sure: bool = False
    """True if the learner said so when it was made."""

    @property
    def is_right(self) -> bool:
        return self.chosen in self.right

    @property
    def chance(self) -> float:
        """Probability of a right answer by a choice at random, each with equal probability."""
        return len(set(self.right)) / len(self.choices)


@dataclass(frozen=True)
class Score:
    counted: tuple[LearnerPrediction, ...]
    """The predictions that count, oldest first: the first one on each question, since its answer is known afterwards."""

    @property
    def total(self) -> int:
        return len(self.counted)

    @property
    def right(self) -> int:
        return sum(each.is_right for each in self.counted)

    @property
    def chance(self) -> float:
        """Expected number of right ones, had each been chosen at random."""
        return sum(each.chance for each in self.counted)

    @property
    def text(self) -> str:
        """`predictions: 7 of 12 right, 3.40 by chance; sure of 5, 1 of them wrong`; "" while there are none."""
        name, sure_of = "prediction" if self.total == 1 else "predictions", [each for each in self.counted if each.is_sure]
        wrong = sum(not each.is_right for each in sure_of)
        sure = f"; sure of {whole(len(sure_of))}, {whole(wrong)} of them wrong" if sure_of else ""
        by_chance = f"{fixed(self.chance, 2)} by chance"
        return f"{name}: {whole(self.right)} of {whole(self.total)} right, {by_chance}{sure}" if self.total else ""

    @property
    def recent_text(self) -> str:
        """`last 10: 6 right, 2.30 by chance`; "" while there are not more than those."""
        recent = Score(self.counted[-RECENT:])
        return f"last {RECENT}: {recent.right} right, {fixed(recent.chance, 2)} by chance" if self.total > RECENT else ""


def score_of(predictions: Iterable[LearnerPrediction]) -> Score:
    """The score of predictions, oldest first."""
    met = set[str]()
    counted = []
    for each in predictions:
        if each.kind == QUIZ or (each.identity and each.identity in met):
            continue
        met.add(each.identity)
        if not each.was_in_sight:
            counted.append(each)
    return Score(tuple(counted))


def sure_and_wrong(predictions: Iterable[LearnerPrediction]) -> list[LearnerPrediction]:
    """The guesses that the learner was sure of and wrong about, the latest of each kind in each place, the oldest first.

    One that was followed by a right one there is not among them.
    """
    last: dict[tuple[str, str], LearnerPrediction] = {}
    for each in predictions:
        if each.is_right or each.is_sure:
            last.pop((each.source, each.kind), None)
        if each.is_sure and not each.is_right and each.kind != QUIZ:
            last[each.source, each.kind] = each
    return list(last.values())


def counts(predictions: Sequence[LearnerPrediction], new: LearnerPrediction) -> bool:
    """True if a prediction changes the score of those before it."""
    return score_of([*predictions, new]).total > score_of(predictions).total


def predictions_path(home: Path) -> Path:
    return learner_folder(home) / "predictions.jsonl"


def read_predictions(home: Path) -> tuple[list[LearnerPrediction], str]:
    """The predictions, oldest first, and the problem with their file in one sentence; "" if there is none.

    Lines that cannot be read are skipped. Never fails.
    """
    path = predictions_path(home)
    try:
        lines = read_regular(path, LARGEST_PREDICTIONS).splitlines()
    except FileNotFoundError:
        return [], ""
    except DamagedFileError as error:
        return [], f"Your predictions are not used: {error}"
    except OSError as error:
        return [], str(os_error_in_words(error, f"read your predictions in {path}"))
    found = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=LearnerPrediction))
        except JSON_ERRORS:
            continue
    return found, ""


def record_prediction(home: Path, prediction: LearnerPrediction) -> None:
    """Append a prediction, its texts cut to their bounds. Raises: UserError if it cannot be written."""
    path = predictions_path(home)
    # A line that a crash has cut is ended first, so that it does not take this one with it.
    line = b"\n" * _is_cut(path) + msgspec.json.encode(_within_bounds(prediction)) + b"\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = open_to_append(path)
        try:
            write_all(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise os_error_in_words(error, f"keep your prediction in {path}") from error


def _is_cut(path: Path) -> bool:
    """True if the file does not end with a whole line."""
    try:
        raw = read_regular(path, LARGEST_PREDICTIONS)
    except (OSError, DamagedFileError):
        return False  # a missing file is made; any other problem is told when the line is written
    return bool(raw) and not raw.endswith(b"\n")


def _within_bounds(prediction: LearnerPrediction) -> LearnerPrediction:
    def cut(text: str, most: int) -> str:
        return text.encode("utf-8", "replace").decode()[:most]

    return msgspec.structs.replace(
        prediction,
        kind=cut(prediction.kind, LONGEST_LABEL),
        question=cut(prediction.question, LONGEST_TEXT),
        choices=tuple(cut(choice, LONGEST_LABEL) for choice in prediction.choices),
        source=cut(prediction.source, LONGEST_LABEL),
        run=cut(prediction.run, LONGEST_TEXT),
        identity=cut(prediction.identity, LONGEST_LABEL),
    )


LARGEST_NOTES = 64 << 20
"""Bytes of the notes."""
LARGEST_EARLIER = 1 << 20
"""Bytes of a note of an earlier llmlab."""
FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*$\n?(.*)", re.MULTILINE | re.DOTALL)
SIGNS = re.compile(r"[\\`*\[\]<&~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown would read as its own signs in a heading."""


def notes_path(home: Path) -> Path:
    return learner_folder(home) / "notes.md"


def read_notes(home: Path) -> str:
    """The text of the notes, where there is no file that of an earlier llmlab's; "" where there are none.

    Raises: UserError: if the file cannot be read, or is no regular file.
    """
    path = notes_path(home)
    try:
        return read_regular(path, LARGEST_NOTES).decode("utf-8-sig", "replace").replace("\r\n", "\n")
    except FileNotFoundError:
        return "\n".join(_earlier_notes(home))
    except OSError as error:
        raise os_error_in_words(error, f"read your notes in {path}") from error


def prepare_notes(home: Path) -> Path:
    """Make the folder of the notes and, where the file is missing, write what an earlier llmlab kept. Returns the file's path.

    Raises: UserError: as the system says.
    """
    path = notes_path(home)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with folder_lock(path.parent):
            if not os.path.lexists(path) and (earlier := _earlier_notes(home)):
                write_atomic(path, "\n".join(earlier).encode("utf-8", "replace"))
    except OSError as error:
        raise os_error_in_words(error, f"write your notes to {path}") from error
    return path


def add_note(home: Path, place: str, text: str) -> None:
    """Write a note at the end of the file. Raises: UserError: if it cannot be written, or the file is no regular file."""
    path = prepare_notes(home)
    try:
        with folder_lock(path.parent):
            descriptor = open_to_append(path)
            try:
                before = read_regular(path, LARGEST_NOTES)
                gap = "" if not before else "\n" if before.endswith(b"\n") else "\n\n"
                append_whole(descriptor, (gap + _in_markdown(time.time(), place, text)).encode("utf-8", "replace"))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        raise os_error_in_words(error, f"write your note to {path}") from error


def _in_markdown(created: float, place: str, text: str) -> str:
    heading, body = SIGNS.sub(r"\\\g<0>", visible(place)), text.strip("\n")
    return f"## {date_and_time(created)} · {heading}\n\n{body}\n"


def _earlier_notes(home: Path) -> list[str]:
    """The notes of an earlier llmlab as Markdown, oldest first."""
    paths = sorted(path for path in (learner_folder(home) / "notes").glob("*.md") if not path.name.startswith("."))
    notes = sorted(map(_earlier_note, paths), key=lambda note: note[0])
    return [_in_markdown(*note) for note in notes]


def _earlier_note(path: Path) -> tuple[float, str, str]:
    """Time, place and text of the note; in the place of one that cannot be read, the reason."""
    created, place = path.lstat().st_mtime, path.name
    try:
        text = read_regular(path, LARGEST_EARLIER).decode("utf-8-sig").replace("\r\n", "\n")
    except DamagedFileError as error:
        return created, place, f"Not read: {visible(str(error))}"
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not text in UTF-8" if isinstance(error, UnicodeDecodeError) else (error.strerror or str(error)).lower()
        return created, place, f"Not read, {reason}: {visible(str(path))}"
    if found := FRONT_MATTER.match(text):
        fields, text = dict(re.findall("^(created|place):(.*)$", found[1], re.MULTILINE)), found[2]
        with suppress(KeyError, ValueError):
            created = datetime.strptime(fields["created"].strip(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
        with suppress(KeyError, msgspec.DecodeError):
            place = msgspec.json.decode(fields["place"], type=str)
    return created, place, text
