"""The lessons up to the MLP: their form, and every figure that they state against its source."""

import math
import re

import pytest

from lab.core.number_format import fixed
from lab.data.cleaning.rule_registry import BY_NAME
from lab.experiments.experiment_registry import EXPERIMENTS
from lab.lessons.lesson import Lesson, lessons
from lab.views.softmax_table import softmax
from models.config import PRESETS

FIRST = lessons()[: [lesson.name for lesson in lessons()].index("mlp") + 1]
WORDS_BESIDE_A_PICTURE, WORDS = 60, 120


def words(text: str) -> str:
    return " ".join(text.split())


TEXTS = {lesson.name: words(lesson.text) for lesson in FIRST}
GPT2 = PRESETS["gpt2"].config(50257)


@pytest.mark.parametrize("lesson", FIRST, ids=lambda lesson: lesson.name)
def test_a_lesson_has_a_few_short_steps_one_prediction_and_something_to_remember(lesson: Lesson) -> None:
    assert 4 <= len(lesson.steps) <= 8
    for step in lesson.steps:
        most = WORDS if step.live is None else WORDS_BESIDE_A_PICTURE
        assert len(step.text.split()) <= most, (step.title, len(step.text.split()))
    predictions = [step for step in lesson.steps if step.live is not None and step.live.widget.startswith("predict-")]
    assert len(predictions) == 1
    assert predictions[0].title.startswith("Predict")
    assert "**Try:**" in lesson.text
    assert "**Remember:**" in lesson.steps[-1].text
    assert "Next:" in lesson.steps[-1].text
    assert "`o` opens" in lesson.steps[-1].text


def test_the_experiments_that_are_named_exist() -> None:
    for lesson in FIRST:
        for step in lesson.steps:
            if step.live is not None and step.live.widget == "experiment":
                assert step.live.options["name"] in EXPERIMENTS, (lesson.name, step.title)


def test_the_surprises_that_are_stated() -> None:
    text = TEXTS["next-token"]
    assert f"For p = ½ it is {fixed(-math.log(0.5), 2)}, for p = 1/10 it is {fixed(math.log(10), 2)}" in text
    assert f"for p = 1/1000 it is {fixed(math.log(1000), 2)}" in text
    assert f"Half the probability is always {fixed(math.log(2), 2)} more" in text
    assert f"ln 50,257 = {fixed(math.log(50257), 2)}" in text


def test_the_softmax_that_is_stated() -> None:
    text, scores = TEXTS["softmax"], [0.3, 0.8, 1.2, 0.5]
    assert f"0.4 more is always e^0.4 = {fixed(math.exp(0.4), 2)} times as much" in text
    moved = softmax([score + 1 for score in scores])
    assert max(abs(moved - softmax(scores))) < 1e-15
    assert "0.3, 0.8, 1.2 and 0.5" in text
    for temperature in (0.2, 5.0):
        assert (softmax([score / temperature for score in scores]).argsort() == softmax(scores).argsort()).all()


def test_the_shape_of_gpt2_that_is_stated() -> None:
    assert f"In GPT-2 a row has {GPT2.width} numbers" in TEXTS["embeddings"]
    assert f"GPT-2 has {GPT2.layers} of them" in TEXTS["mlp"]
    assert f"GPT-2 has {GPT2.layers} layers of {GPT2.heads} heads" in TEXTS["attention"]


def test_the_rules_that_are_named() -> None:
    titles = {rule.title for rule in BY_NAME.values()}
    named = set(re.findall(r"\*((?:mostly|duplicate|boilerplate|blank)[^*]*)\*", TEXTS["cleaning"]))
    assert named <= titles, named - titles
