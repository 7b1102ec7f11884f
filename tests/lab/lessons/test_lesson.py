import re
from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.experiments.experiment_registry import EXPERIMENTS
from lab.inspect.stages.stage_registry import STAGES
from lab.lessons.conditions import names_in, parse_experiment_guess
from lab.lessons.lesson import FOLDER, Lesson, Live, lessons, lessons_and_problems, parse_lesson
from lab.studies.study_job import RECORDED, StudyHistory
from lab.training.job import history_of
from lab.training.one_step.step_stages import STAGES as STEP_STAGES
from screens.learn.live.study_widget import RECORDED_RESULTS

MOST_WORDS = 120
BESIDE_A_PICTURE = 60
"""Words: at 80x24 they leave the picture ten lines."""
RUNS_OF_MINUTES = ("scaling", "after-pretraining")
"""Lessons whose live part takes minutes, with more to say beside a picture."""

ALL = pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.name)


@ALL
def test_a_lesson_is_a_few_short_steps_with_one_prediction_something_to_remember_and_the_next(lesson: Lesson) -> None:
    is_quick, last = lesson.name not in RUNS_OF_MINUTES, lesson.steps[-1]
    assert 0 < len(lesson.title) < 45
    assert 4 <= len(lesson.steps) <= 8
    for step in lesson.steps:
        most = MOST_WORDS if step.live is None else BESIDE_A_PICTURE if is_quick else 80
        assert len(step.text.split()) <= most, step.title
        assert len(step.title) <= 33, "it stands beside the lesson's title"
    predictions = [step for step in lesson.steps if step.live is not None and step.live.widget.startswith(("predict-", "draw-"))]
    assert len(predictions) >= 1
    assert all(step.title.startswith(("Predict", "Guess")) for step in predictions)
    assert "**Try:**" in lesson.text or lesson.name == "after-pretraining"
    if is_quick:
        assert "Remember" in f"{last.title} {last.text}"
    assert "Next:" in last.text or lesson == lessons()[-1]


def test_the_order_is_that_of_the_lecture_and_no_text_names_a_lesson_by_its_number() -> None:
    names = [lesson.name for lesson in lessons()]
    assert [lesson.number for lesson in lessons()] == list(range(1, len(names) + 1))
    for row in (
        ("simulator-of-documents", "chat", "after-pretraining", "preferences"),
        ("kv-cache", "inference-faster", "context-window"),
        ("worked-example", "simulator-of-documents"),
    ):
        at = names.index(row[0])
        assert tuple(names[at : at + len(row)]) == row
    of_first_half = {path.stem.partition("-")[2] for path in (FOLDER / "how_models_are_made").iterdir()}
    assert names.index("worked-example") == len(of_first_half) - 1, "it ends the first half"
    assert set(names[: len(of_first_half)]) == of_first_half
    drawing = next(lesson.text for lesson in lessons() if lesson.name == "probabilities")
    assert re.search(r"\*\*Top-k\*\*.*\*\*top-p\*\*", drawing, re.DOTALL)
    assert sum("**top-p**" in lesson.text.lower() for lesson in lessons()) == 1, "it is explained once"
    texts = [path for path in FOLDER.parent.rglob("*.md") if re.search(r"(?i)\blessons? \d", path.read_text())]
    assert texts == [], "a number is wrong once another lesson comes before"


def test_the_first_lessons_say_where_more_is_to_be_seen_and_the_later_ones_show_it_in_every_step() -> None:
    at_mlp = [lesson.name for lesson in lessons()].index("mlp")
    assert "`demo` unless {key:learn.model} chooses another" in lessons()[0].steps[0].text, "also of who has a run of their own"
    assert all("{key:lesson.open} opens" in lesson.steps[-1].text for lesson in lessons()[: at_mlp + 1])
    later = [lesson for lesson in lessons()[at_mlp + 1 :] if lesson.name not in RUNS_OF_MINUTES]
    assert all(step.live is not None for lesson in later for step in lesson.steps)


@ALL
def test_the_live_blocks_name_what_there_is(lesson: Lesson) -> None:
    for live in (step.live for step in lesson.steps if step.live is not None):
        match live.widget:
            case "experiment":
                assert live.options["name"] in EXPERIMENTS
            case "stage":
                assert live.options["stage"] in STAGES
            case "one-step":
                assert live.options["stage"] in STEP_STAGES
            case "predict-recorded":
                assert parse_experiment_guess(live.options).experiment in RECORDED_RESULTS
            case "predict-experiment":
                assert parse_experiment_guess(live.options).experiment in EXPERIMENTS
            case "study":
                assert live.options.get("view", "") in {"", *recorded(live.options["name"]).views}
            case "predict-study":
                study = live.options["study"]
                guess = parse_experiment_guess({**live.options, "experiment": study})
                needed = set[str]().union(*(each.names for each in guess.conditions if each is not None))
                assert needed.union(*map(names_in, (guess.answer, *guess.whys))) <= recorded(study).measures.keys()


def recorded(study: str) -> StudyHistory:
    return history_of(RECORDED / f"{study}.jsonl", StudyHistory)


def test_a_lesson_is_its_steps_and_their_live_widgets() -> None:
    text = "# Title\nFirst.\n\n## Second\nText.\n\n```live stage\nstage: scores\nhead: 2\n```\n\n```\nkept\n```\n"
    lesson = parse_lesson(Path("05-a-name.md"), text)
    assert (lesson.name, lesson.number, lesson.title) == ("a-name", 5, "Title")
    assert [(step.title, step.text) for step in lesson.steps] == [("", "First."), ("Second", "Text.\n\n\n```\nkept\n```")]
    assert [step.live for step in lesson.steps] == [None, Live("stage", {"stage": "scores", "head": "2"})]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("softmax.md", "# T\n", "its number, a dash, its name"),
        ("05-softmax.md", "no title\n", "must begin with its title"),
        ("05-softmax.md", "# T\n```live stage\n", "line 2: this fenced block has no end"),
        ("05-softmax.md", "# T\n\n```live stage\nhead 2\n```\n", "line 4: an option is one line"),
        ("05-softmax.md", "# T\n```live a\n```\n```live b\n```\n", "line 4: a step has one live widget at most"),
    ],
)
def test_a_file_in_another_form_is_refused_with_its_line(name: str, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        parse_lesson(Path(name), text)


GOOD = b"# Water\nText.\n"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("02-fire.md", b"# \xff\xfe\n", "no UTF-8 text"),
        ("02-fire.md", b"# T\n" + b"x" * (1 << 20), "larger than"),
        ("02-fire.md", None, "no regular file"),
        ("02-water.md", GOOD, "Two lessons in"),
        (f"02-{'f' * 120}.md", GOOD, "too long"),
    ],
)
def test_one_bad_file_leaves_the_other_lessons_and_is_told_in_a_sentence(
    tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    (tmp_path / "01-water.md").write_bytes(GOOD)
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(content)
    found, problems = lessons_and_problems(tmp_path)
    assert [lesson.name for lesson in found] == ["water"]
    assert len(problems) == 1
    assert problem in problems[0]
    with pytest.raises(UserError, match=problem):
        lessons(tmp_path)


def test_control_characters_of_a_file_are_shown_and_never_sent_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "01-water.md").write_bytes(b"# Wa\x1b[31mter\r\n\r\nText \x1b]0;title\x07.\r\n")
    lesson = lessons(tmp_path)[0]
    assert "\x1b" not in lesson.title + lesson.text
    assert lesson.title == "Wa␛[31mter"
