"""The learner's predictions: appended and read again, scored against chance, and never a reason to fail."""

from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.lessons.learner.predictions import (
    LONGEST_TEXT,
    LearnerPrediction,
    predictions_path,
    read_predictions,
    record_prediction,
    score_of,
)


def made(chosen: int = 0, choices: int = 4, identity: str = "", **facts: object) -> LearnerPrediction:
    labels = tuple("abcdef"[:choices])
    found = {"right": (0,), "time": 1.0, "kind": "next token", "question": "Which?", "source": "Inspect", **facts}
    return LearnerPrediction(choices=labels, chosen=chosen, identity=identity, **found)  # type: ignore[arg-type]


def test_what_is_recorded_is_read_again_in_its_order(tmp_path: Path) -> None:
    for chosen in range(3):
        record_prediction(tmp_path, made(chosen))
    assert read_predictions(tmp_path) == ([made(chosen) for chosen in range(3)], "")


def test_the_score_and_its_chance() -> None:
    score = score_of([made(0), made(1, choices=5), made(0, choices=2), made(2, right=(1, 2))])
    assert (score.right, score.total) == (3, 4)
    assert score.chance == pytest.approx(1 / 4 + 1 / 5 + 1 / 2 + 2 / 4)
    assert (score.text, score.recent_text) == ("predictions: 3 of 4 right, 1.45 by chance", "")
    assert score_of([made(0)]).text == "prediction: 1 of 1 right, 0.25 by chance"
    assert score_of([]).text == ""
    many = score_of([made(1)] * 5 + [made(0)] * 9 + [made(1)])
    assert many.recent_text == "last 10: 9 right, 2.50 by chance"


def test_only_the_first_answer_to_a_question_counts_and_none_that_was_in_sight() -> None:
    score = score_of([made(1, identity="x"), made(0, identity="x"), made(0, identity="y", was_in_sight=True), made(0)])
    assert (score.right, score.total) == (1, 2)
    assert score_of([made(0, identity="y", was_in_sight=True), made(0, identity="y")]).total == 0, "it was seen by then"


def test_lines_that_cannot_be_read_are_skipped_and_a_cut_one_takes_no_other_with_it(tmp_path: Path) -> None:
    record_prediction(tmp_path, made(1))
    path = predictions_path(tmp_path)
    path.write_bytes(path.read_bytes() + b'{"time": 1, "chosen": 99}\n' + b'{"time": 2, "kin')
    record_prediction(tmp_path, made(2))
    assert read_predictions(tmp_path) == ([made(1), made(2)], "")


def test_odd_texts_are_kept_within_their_bounds(tmp_path: Path) -> None:
    record_prediction(tmp_path, made(question="x" * 10_000, run="\udcff"))
    (found,), problem = read_predictions(tmp_path)
    assert (found.question, found.run, problem) == ("x" * LONGEST_TEXT, "?", "")


def test_no_file_and_no_regular_file_are_no_reason_to_fail(tmp_path: Path) -> None:
    assert read_predictions(tmp_path) == ([], "")
    predictions_path(tmp_path).mkdir(parents=True)
    found, problem = read_predictions(tmp_path)
    assert found == []
    assert problem.startswith("Your predictions are not used: ")
    with pytest.raises(UserError):
        record_prediction(tmp_path, made())
