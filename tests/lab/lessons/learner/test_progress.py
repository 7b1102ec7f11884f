from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from lab.core.errors import UserError
from lab.lessons.guess_score import (
    LONGEST_TEXT,
    LearnerPrediction,
    predictions_path,
    read_predictions,
    record_prediction,
    score_of,
    sure_and_wrong,
)
from lab.lessons.learner_progress import LessonProgress, Progress, progress_path, read_progress, write_progress


def test_a_damaged_file_is_told_of_and_not_used(tmp_path: Path) -> None:
    assert read_progress(tmp_path) == (Progress(), "")
    write_progress(tmp_path, Progress(), "tokens")
    told = list[str]()
    damages = (b"{", b'{"lessons": {"a": {"step": -1}}}', b'{"lessons": {"a": {"step": 1e9}}}')
    for number, damage in enumerate(damages, 1):
        progress_path(tmp_path).write_bytes(damage)
        progress, problem = read_progress(tmp_path)
        assert progress == Progress()
        assert problem.startswith("Your progress is not used: ")
        kept = progress_path(tmp_path).with_name(f"progress.json.bak{'' if number == 1 else number}")
        write_progress(tmp_path, Progress().at("tokens", 1, 3), "tokens", told.append)
        assert told[-1] == f"The damaged progress.json is kept as {kept}."
        assert kept.read_bytes() == damage
        assert read_progress(tmp_path)[1] == ""
    write_progress(tmp_path, Progress(), "tokens", told.append)
    assert len(told) == len(damages)


def test_two_labs_keep_each_other_s_progress(tmp_path: Path) -> None:
    first = Progress().at("tokens", 1, 3)
    second = Progress().at("softmax", 0, 1)
    write_progress(tmp_path, first, "tokens")
    write_progress(tmp_path, second, "softmax")
    first = first.at("tokens", 2, 3).at("tokens", 0, 3)
    write_progress(tmp_path, first, "tokens")
    second = second.at("tokens", 0, 3)
    write_progress(tmp_path, second, "tokens")
    kept, problem = read_progress(tmp_path)
    assert (problem, kept.of("softmax").is_done, kept.of("another").is_done) == ("", True, False)
    assert kept.at("softmax", 0, 2).of("softmax").is_done, "a lesson that was done stays done"
    assert kept.of("tokens") == LessonProgress(0, is_done=True), "done stays done"
    assert kept.last == "tokens"


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    names = [f"lesson-{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(lambda name: write_progress(tmp_path, Progress().at(name, 1, 3), name), names))
    assert sorted(read_progress(tmp_path)[0].lessons) == names


def made(chosen: int = 0, choices: int = 4, identity: str = "", **facts: object) -> LearnerPrediction:
    labels = tuple("abcdef"[:choices])
    found = {"right": (0,), "time": 1.0, "kind": "next token", "question": "Which?", "source": "Inspect", **facts}
    return LearnerPrediction(choices=labels, chosen=chosen, identity=identity, **found)  # type: ignore[arg-type]


def test_predictions_are_read_again_in_their_order_within_bounds_and_lines_that_cannot_be_are_skipped(tmp_path: Path) -> None:
    kept = [made(chosen) for chosen in range(3)]
    for each in kept:
        record_prediction(tmp_path, each)
    path = predictions_path(tmp_path)
    path.write_bytes(path.read_bytes() + b'{"time": 1, "chosen": 99}\n' + b'{"time": 2, "kin')
    record_prediction(tmp_path, made(question="x" * 10_000, run="\udcff"))
    (*found, last), problem = read_predictions(tmp_path)
    assert (found, problem) == (kept, "")
    assert (last.question, last.run) == ("x" * LONGEST_TEXT, "?")


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


def test_no_file_and_no_regular_file_are_no_reason_to_fail(tmp_path: Path) -> None:
    assert read_predictions(tmp_path) == ([], "")
    predictions_path(tmp_path).mkdir(parents=True)
    found, problem = read_predictions(tmp_path)
    assert found == []
    assert problem.startswith("Your predictions are not used: ")
    with pytest.raises(UserError):
        record_prediction(tmp_path, made())


def test_a_lesson_is_done_when_each_step_was_read_and_each_guess_made_in_any_order(tmp_path: Path) -> None:
    cases = [
        ([(0, False), (1, False), (2, False)], []),
        ([(2, False), (0, False), (1, False)], []),
        ([(0, False), (1, True), (2, False)], [1]),
        ([(0, False), (1, True), (1, False), (2, False)], []),
        ([(0, False), (1, False), (1, True), (2, False)], []),
        ([(2, False)], [0, 1]),
    ]
    for reads, left in cases:
        progress = Progress()
        for step, is_open in reads:
            progress = progress.at("tokens", step, 3, is_open=is_open)
        assert progress.of("tokens").left(3) == left, reads
        assert progress.of("tokens").is_done == (not left)
        write_progress(tmp_path / str(reads), progress, "tokens")
        assert read_progress(tmp_path / str(reads))[0] == progress
    progress_path(tmp_path).parent.mkdir()
    progress_path(tmp_path).write_bytes(b'{"lessons": {"tokens": {"step": 1}, "softmax": {"step": 2, "is_done": true}}}')
    older = read_progress(tmp_path)[0]
    assert older.at("tokens", 2, 3).of("tokens").is_done, "a file without the steps: those before the one reached were read"
    assert older.of("softmax").left(3) == []


def test_the_score_tells_how_often_one_was_sure_and_wrong_and_such_a_guess_comes_back_until_it_is_right() -> None:
    wrong, right = made(1, is_sure=True, source="lesson a"), made(0, source="lesson a")
    other = made(2, is_sure=True, source="lesson b")
    cases = [([], 0, 0, []), ([made(1)], 0, 0, []), ([wrong], 1, 1, [wrong]), ([wrong, right], 1, 1, [])]
    cases += [([right, wrong], 1, 1, [wrong]), ([wrong, other, made(1, source="lesson a")], 2, 2, [wrong, other])]
    cases += [([wrong, other, wrong], 3, 3, [other, wrong]), ([made(0, is_sure=True)], 1, 0, [])]
    for predictions, sure, sure_wrong, again in cases:
        score = score_of(predictions)
        assert score.text.partition("; ")[2] == (f"sure of {sure}, {sure_wrong} of them wrong" if sure else "")
        assert sure_and_wrong(predictions) == again
    assert score_of([wrong, right]).text == "predictions: 1 of 2 right, 0.50 by chance; sure of 1, 1 of them wrong"


def test_in_another_order_of_lessons_what_was_done_stays_done_and_those_that_now_come_before_are_not_skipped() -> None:
    names = ["tokens", "attention", "repetition", "chat", "hallucination"]
    kept = {name: LessonProgress(5, is_done=True) for name in ("tokens", "hallucination", "attention")}
    progress = Progress(lessons=kept, last="attention").at("repetition", 2, 8)
    assert Progress(lessons=kept, last="attention").ahead(names) == "repetition"
    for last, after in (("hallucination", "repetition"), ("repetition", "repetition"), ("gone", None)):
        assert msgspec.structs.replace(progress, last=last).ahead(names) == after
    for step in range(8):
        progress = progress.at("repetition", step, 8)
    assert msgspec.structs.replace(progress, last="repetition").ahead(names) == "chat"
