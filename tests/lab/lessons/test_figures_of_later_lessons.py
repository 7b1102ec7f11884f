"""Figures that the later lessons state, against their sources, and their live blocks against what there is."""

import math
import re

import pytest

from lab.core.number_format import fixed, whole
from lab.experiments.experiment_registry import EXPERIMENTS
from lab.inspect.stages.stage_registry import STAGES
from lab.lessons.conditions import parse_experiment_guess
from lab.lessons.lesson import Lesson, lessons
from lab.one_step.chain_rule.three_weights import ThreeWeights
from lab.one_step.step_stages import STAGES as STEP_STAGES
from lab.runs.find_runs import open_run
from models.config import PRESETS
from models.parameter_count import inventory, kv_cache_bytes, parameter_count
from models.tokenizers.tokenizer import Tokenizer
from models.tokenizers.tokenizer_kinds import FIXED_VOCABULARY_SIZES

NAMES = ("probabilities", "training", "parameters", "kv-cache", "context-window", "worked-example")
MINE = {lesson.name: lesson for lesson in lessons() if lesson.name in NAMES}
LATER = [lesson for lesson in lessons() if lesson.number >= MINE["probabilities"].number]
TEXTS = {name: " ".join(lesson.text.split()) for name, lesson in MINE.items()}
GPT2 = PRESETS["gpt2"].config(FIXED_VOCABULARY_SIZES["gpt2"])

MOST_WORDS = 60
"""Words beside a picture: at 80x24 they leave it ten lines."""


@pytest.mark.parametrize("lesson", MINE.values(), ids=lambda lesson: lesson.name)
def test_a_lesson_is_a_few_short_steps_with_one_guess_and_a_word_on_the_next(lesson: Lesson) -> None:
    assert 4 <= len(lesson.steps) <= 8
    guesses = [step for step in lesson.steps if step.live is not None and step.live.widget.startswith("predict-")]
    assert len(guesses) == 1
    for step in lesson.steps:
        assert step.live is not None, step.title
        assert len(step.text.split()) <= MOST_WORDS, step.title
    assert "Remember" in lesson.steps[-1].text or lesson.steps[-1].title == "Remember"
    if lesson != lessons()[-1]:
        assert "Next: " in lesson.steps[-1].text
    assert "**Try:**" in lesson.text


@pytest.mark.parametrize("lesson", MINE.values(), ids=lambda lesson: lesson.name)
def test_the_live_blocks_name_what_there_is(lesson: Lesson) -> None:
    for step in lesson.steps:
        assert step.live is not None
        options = step.live.options
        match step.live.widget:
            case "experiment":
                assert options["name"] in EXPERIMENTS
            case "stage":
                assert options["stage"] in STAGES
            case "one-step":
                assert options["stage"] in STEP_STAGES
            case "predict-experiment":
                parse_experiment_guess(options, EXPERIMENTS)


def test_the_vocabulary_and_the_losses() -> None:
    assert "GPT-2 has 50,257 tokens, so it makes 50,257 logits" in TEXTS["probabilities"]
    assert Tokenizer.gpt2().vocab_size == GPT2.vocab_size == 50257
    assert f"0 for p = 1 and {fixed(-math.log(0.5), 2)} for p = ½" in TEXTS["training"]


def test_the_parameters_of_gpt2() -> None:
    counts = {weight.name: weight.count for weight in inventory(GPT2)}
    text = TEXTS["parameters"]
    assert f"{GPT2.layers} layers of width {GPT2.width}" in text
    assert f"table of {whole(GPT2.vocab_size)} tokens alone has {whole(counts['wte.weight'])} numbers" in text
    assert f"All: {whole(parameter_count(GPT2))}." in text
    matrices = sum(n for name, n in counts.items() if re.match(r"h\.0\.(attn|mlp)", name) and name.endswith("weight"))
    assert f"12 · 768² = {whole(matrices)}" in text
    assert matrices == 12 * 768**2
    others = sum(n for name, n in counts.items() if name.startswith("h.0.")) - matrices
    assert 1000 < others < 10_000  # "some thousands in biases and norms"


def test_the_cache_of_gpt2() -> None:
    numbers = kv_cache_bytes(GPT2, 1) // 4
    assert f"2 · {GPT2.layers} · {GPT2.width} = {whole(numbers)}" in TEXTS["kv-cache"]


def test_the_window_of_gpt2() -> None:
    assert f"GPT-2 has {whole(GPT2.context)}" in TEXTS["context-window"]


def test_a_weight_of_0_stops_what_leads_through_it() -> None:
    net = ThreeWeights(w3=0.0)
    assert net.gradient[:2] == (0.0, 0.0)
    assert net.gradient[2] != 0.0


def test_the_worked_example_is_of_the_demo_and_gpt2() -> None:
    ids = Tokenizer.gpt2().encode("The big dog ran")
    assert f"GPT-2's own tokenizer gives {', '.join(str(id_) for id_ in ids)}" in TEXTS["worked-example"]
    demo = open_run("demo").config
    assert demo.model.layers == 4
    assert "the last of its four layers" in TEXTS["worked-example"]
    assert demo.data.source.startswith("stories")
    tokenizer = Tokenizer.load(open_run("demo").tokenizer_path)
    assert [tokenizer.decode([id_]) for id_ in tokenizer.encode("The")] == ["T", "he"]
    assert len(tokenizer.encode(" The")) == 1
    assert all(step.live is not None and step.live.options.get("run") == "demo" for step in MINE["worked-example"].steps)
    assert {step.live.options.get("prompt") for step in MINE["worked-example"].steps if step.live} == {"The big dog ran"}


def test_no_word_of_the_sentence_to_learn_from_is_split_by_the_demo() -> None:
    (sentence,) = {
        step.live.options["sentence"] for step in MINE["training"].steps if step.live and step.live.widget == "one-step"
    }
    tokenizer = Tokenizer.load(open_run("demo").tokenizer_path)
    assert len(tokenizer.encode(sentence)) == len(sentence.split()) + 1  # the full stop


def test_the_post_training_of_the_lesson_is_that_of_the_demo() -> None:
    steps = next(lesson.steps for lesson in lessons() if lesson.name == "after-pretraining")
    assert all(step.live.options.get("run") == "demo" for step in steps if step.live is not None)


@pytest.mark.parametrize("lesson", LATER, ids=lambda lesson: lesson.name)
def test_the_title_of_a_step_is_short_enough_to_stand_beside_that_of_the_lesson(lesson: Lesson) -> None:
    assert all(len(step.title) <= 30 for step in lesson.steps)
