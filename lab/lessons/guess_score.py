"""Guesses that the learner made before an answer was revealed, a line each in one file of the home folder, and their score."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from lab.core.atomic_io import os_error_in_words, write_all
from lab.core.errors import DamagedFileError
from lab.core.number_format import fixed, whole
from lab.core.safe_open import JSON_ERRORS, make_private_folder, open_to_append, read_regular
from lab.lessons.learner_progress import learner_folder

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
        make_private_folder(path.parent)
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
