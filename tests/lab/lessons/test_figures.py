"""Every figure that a lesson states, against its source."""

import math
import re

import pytest

from lab.core.number_format import fixed, whole
from lab.data.cleaning.rule_registry import BY_NAME
from lab.experiments.greedy_loops import PHRASE, whole_sentence
from lab.lessons.lesson import lessons
from lab.runs.find_runs import open_run
from lab.training.one_step.three_weights import ThreeWeights
from lab.training.posttraining.posttraining_record import recorded_histories
from lab.training.posttraining.posttraining_views import pairs_view
from lab.views.softmax_table import softmax
from models.config import FIXED_VOCABULARY_SIZES, PRESETS
from models.parameter_count import inventory, kv_cache_bytes, parameter_count
from models.tokenizers.tokenizer import Tokenizer

LESSONS = {lesson.name: lesson for lesson in lessons()}
TEXTS = {name: " ".join(lesson.text.split()) for name, lesson in LESSONS.items()}
GPT2 = PRESETS["gpt2"].config(FIXED_VOCABULARY_SIZES["gpt2"])
COUNTS = {weight.name: weight.count for weight in inventory(GPT2)}
MATRICES = sum(n for name, n in COUNTS.items() if re.match(r"h\.0\.(attn|mlp)", name) and name.endswith("weight"))
THE_BIG_DOG = ", ".join(str(id_) for id_ in Tokenizer.gpt2().encode("The big dog ran"))


@pytest.mark.parametrize(
    ("lesson", "stated"),
    [
        ("tokens", "256 single bytes"),
        ("tokens", "GPT-2 has 50,000 of them and one end-of-text token: 50,257 in all"),
        ("next-token", f"For p = ½ it is {fixed(-math.log(0.5), 2)}, for p = 1/10 it is {fixed(math.log(10), 2)}"),
        ("next-token", f"for p = 1/1000 it is {fixed(math.log(1000), 2)}"),
        ("next-token", f"Half the probability is always {fixed(math.log(2), 2)} more"),
        ("next-token", f"ln 50,257 = {fixed(math.log(50257), 2)}"),
        ("embeddings", f"50,257 × 768 = {whole(COUNTS['wte.weight'])}"),
        ("embeddings", f"1,024 × 768 = {whole(COUNTS['wpe.weight'])}"),
        ("embeddings", f"In GPT-2 a row has {GPT2.width} numbers"),
        ("attention", f"({GPT2.head_width} in GPT-2)"),
        ("attention", f"GPT-2 has {GPT2.layers} layers of {GPT2.heads} heads"),
        ("softmax", "0.3, 0.8, 1.2 and 0.5"),
        ("softmax", f"0.4 more is always e^0.4 = {fixed(math.exp(0.4), 2)} times as much"),
        ("mlp", f"GPT-2 has {GPT2.layers} of them"),
        ("probabilities", "GPT-2 has 50,257 tokens, so it makes 50,257 logits"),
        ("training", f"0 for p = 1 and {fixed(-math.log(0.5), 2)} for p = ½"),
        ("parameters", f"{GPT2.layers} layers of width {GPT2.width}"),
        ("parameters", f"table of {whole(GPT2.vocab_size)} tokens alone has {whole(COUNTS['wte.weight'])} numbers"),
        ("parameters", f"All: {whole(parameter_count(GPT2))}."),
        ("parameters", f"12 · 768² = {whole(MATRICES)}"),
        ("kv-cache", f"2 · {GPT2.layers} · {GPT2.width} = {whole(kv_cache_bytes(GPT2, 1) // 4)}"),
        ("context-window", f"GPT-2 has {whole(GPT2.context)}"),
        ("worked-example", f"GPT-2's own tokenizer gives {THE_BIG_DOG}"),
        ("worked-example", "the last of its four layers"),
    ],
)
def test_a_figure_is_stated_as_its_source_has_it(lesson: str, stated: str) -> None:
    assert stated in TEXTS[lesson]


def test_the_sources_of_the_figures() -> None:
    tokenizer = Tokenizer.gpt2()
    assert tokenizer.vocab_size == GPT2.vocab_size == 50257 == 256 + 50000 + len(tokenizer.special)
    assert len({tuple(tokenizer.encode(text)) for text in ("dog", " dog", "Dog")}) == 3
    assert MATRICES == 12 * 768**2
    others = sum(n for name, n in COUNTS.items() if name.startswith("h.0.")) - MATRICES
    assert 1000 < others < 10_000  # "some thousands in biases and norms"
    scores = [0.3, 0.8, 1.2, 0.5]
    assert max(abs(softmax([score + 1 for score in scores]) - softmax(scores))) < 1e-15
    for temperature in (0.2, 5.0):
        assert (softmax([score / temperature for score in scores]).argsort() == softmax(scores).argsort()).all()
    named = set(re.findall(r"\*((?:mostly|duplicate|boilerplate|blank)[^*]*)\*", TEXTS["cleaning"]))
    assert named <= {rule.title for rule in BY_NAME.values()}
    net = ThreeWeights(w3=0.0)
    assert net.gradient[:2] == (0.0, 0.0)
    assert net.gradient[2] != 0.0


def test_the_lessons_that_speak_of_the_demo_show_it_as_it_is() -> None:
    demo = open_run("demo").config
    assert demo.model.layers == 4
    assert demo.data.source.startswith("stories")
    tokenizer = Tokenizer.load(open_run("demo").tokenizer_path)
    assert [tokenizer.decode([id_]) for id_ in tokenizer.encode("The")] == ["T", "he"]
    assert len(tokenizer.encode(" The")) == 1
    live = {name: [step.live for step in lesson.steps if step.live is not None] for name, lesson in LESSONS.items()}
    assert {
        each.options.get("run")
        for name in ("worked-example", "after-pretraining")
        for each in live[name]
        if each.widget != "predict-recorded"
    } == {"demo"}
    assert {each.options.get("prompt") for each in live["worked-example"]} == {"The big dog ran"}
    (sentence,) = {each.options["sentence"] for each in live["training"] if each.widget == "one-step"}
    assert len(tokenizer.encode(sentence)) == len(sentence.split()) + 1, "a word is split; the full stop is one more"


def test_the_example_answers_that_are_shown_need_not_be_those_that_play_safe() -> None:
    """A recorded training shows the first eight, of which none may name both animals: the lesson promises their number alone."""
    is_safe = []
    for history in recorded_histories():
        assert history.started is not None
        is_safe.append(any("and" in pair.answer for pair in history.started.pairs))
        assert f"{history.started.hedged} of which name both animals" in pairs_view(history).sentence
    assert not all(is_safe)
    said = "shows the first examples, and says with which probability an answer does so"
    assert said in " ".join(LESSONS["after-pretraining"].text.split())


def test_the_lesson_on_repetition_says_what_is_repeated_on_any_text() -> None:
    text = " ".join(LESSONS["repetition"].text.split())
    assert whole_sentence(["a line\n", "\\fBCREATE", " DATABASE", "\\fR", "\n"], 40) == (1, 4), "it has no full stop"
    assert "a whole sentence or line that the model wrote, else its first six tokens" in text
    assert PHRASE == 6
