"""Every figure that a lesson states, against its source."""

import math

from lab.core.number_format import fixed, whole
from lab.lessons.load_lessons import lessons
from models.config import PRESETS
from models.parameter_count import inventory, parameter_count
from models.tokenizers.tokenizer import Tokenizer

TEXTS = {lesson.name: lesson.text for lesson in lessons()}
GPT2 = PRESETS["gpt2"].config(50257)


def test_there_are_seven_short_lessons_each_with_a_title() -> None:
    assert list(TEXTS) == ["prediction", "tokens", "vectors", "attention", "softmax", "parameters", "training"]
    for lesson in lessons():
        assert 0 < len(lesson.title) < 45
        assert len(lesson.text.split()) < 230, lesson.name


def test_each_lesson_says_where_the_lab_shows_it() -> None:
    for name, text in TEXTS.items():
        assert "**See it:**" in text or "**Try it below:**" in text, name


def test_the_vocabulary_of_gpt2() -> None:
    assert "50,257 tokens: the 256 single bytes, 50,000 merges" in " ".join(TEXTS["tokens"].split())
    tokenizer = Tokenizer.gpt2()
    assert tokenizer.vocab_size == 50257 == 256 + 50000 + len(tokenizer.special)
    for id in tokenizer.encode("The big dog ran"):
        assert f"`{id}`" in TEXTS["tokens"]
    assert len({tuple(tokenizer.encode(text)) for text in ("dog", " dog")}) == 2


def test_the_embeddings_of_gpt2() -> None:
    counts = {weight.name: weight.count for weight in inventory(GPT2)}
    assert f"50,257 × 768 = {whole(counts['wte.weight'])}" in TEXTS["vectors"]
    assert f"1,024 × 768 = {whole(counts['wpe.weight'])}" in TEXTS["vectors"]
    assert f"({GPT2.head_width} in GPT-2)" in TEXTS["attention"]
    assert f"{GPT2.layers} layers of {GPT2.heads} heads" in TEXTS["attention"]


def test_the_parameters_of_gpt2_add_up() -> None:
    def of(*parts: str) -> int:
        names = [weight for weight in inventory(GPT2) if weight.tied_to is None]
        return sum(weight.count for weight in names if weight.name.startswith(parts))

    rows = [line.split("|")[1:3] for line in TEXTS["parameters"].splitlines() if line.startswith("|")]
    stated = {part.strip(): count.strip().strip("*") for part, count in rows}
    assert stated["one layer: attention"] == whole(of("h.0.attn"))
    assert stated["one layer: MLP"] == whole(of("h.0.mlp"))
    assert stated["one layer: two LayerNorms"] == whole(of("h.0.ln"))
    assert stated["12 layers"] == whole(of("h."))
    assert stated["final LayerNorm"] == whole(of("ln_f"))
    assert stated["**all**"] == whole(parameter_count(GPT2)) == "124,439,808"


def test_the_losses_that_are_stated() -> None:
    text = " ".join(TEXTS["training"].split())
    assert f"{fixed(math.log(2), 2)} for p = ½" in text
    assert f"{fixed(math.log(50257), 2)} for a model that assigns equal probability to all 50,257 tokens" in text
