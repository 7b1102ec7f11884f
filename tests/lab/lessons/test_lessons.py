"""Every figure that a lesson states, against its source."""

from pathlib import Path

import pytest

from lab.core.errors import UserError
from lab.core.number_format import whole
from lab.lessons.lesson import Live, lessons, lessons_and_problems, parse_lesson
from models.config import PRESETS
from models.parameter_count import inventory
from models.tokenizers.tokenizer import Tokenizer

TEXTS = {lesson.name: lesson.text for lesson in lessons()}
GPT2 = PRESETS["gpt2"].config(50257)


def test_every_lesson_is_short_and_has_a_title() -> None:
    numbers = [lesson.number for lesson in lessons()]
    assert numbers == sorted(set(numbers))
    for lesson in lessons():
        assert 0 < len(lesson.title) < 45
        for step in lesson.steps:
            assert len(step.text.split()) < 200, (lesson.name, step.title)


def test_the_vocabulary_of_gpt2() -> None:
    text = " ".join(TEXTS["tokens"].split())
    assert "256 single bytes" in text
    assert "GPT-2 has 50,000 of them and one end-of-text token: 50,257 in all" in text
    tokenizer = Tokenizer.gpt2()
    assert tokenizer.vocab_size == 50257 == 256 + 50000 + len(tokenizer.special)
    assert len({tuple(tokenizer.encode(text)) for text in ("dog", " dog", "Dog")}) == 3


def test_the_embeddings_of_gpt2() -> None:
    counts = {weight.name: weight.count for weight in inventory(GPT2)}
    assert f"50,257 × 768 = {whole(counts['wte.weight'])}" in TEXTS["embeddings"]
    assert f"1,024 × 768 = {whole(counts['wpe.weight'])}" in TEXTS["embeddings"]
    assert f"({GPT2.head_width} in GPT-2)" in TEXTS["attention"]
    assert f"{GPT2.layers} layers of {GPT2.heads} heads" in TEXTS["attention"]


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
        ("02-fire.md", b"# T\n```live a\n```\n```live b\n```\n", "line 4"),
        ("02-fire.md", b"# T\n" + b"x" * (1 << 20), "larger than"),
        ("02-fire.md", None, "no regular file"),
        ("fire.md", GOOD, "its number, a dash, its name"),
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
