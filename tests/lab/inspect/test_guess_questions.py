"""Questions for the learner: the answer is the model's own, choices are plausible and in no telling order, ties are told."""

import dataclasses
import math
from collections import Counter

import numpy as np
import pytest
import torch

from lab.core.number_format import significant
from lab.inspect.guess_questions import (
    KEY_CHOICES,
    TOKEN_CHOICES,
    attention_question,
    is_lottery,
    next_token_question,
    percentages,
    right_choices,
    shuffled,
)
from lab.inspect.model_cache import OpenModel, TraceCache
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import GuessQuestion
from models.config import SamplingSettings
from tests.lab.engine.conftest import PROMPT, InProcessEngine, TinyRun
from tests.lab.inspect.read_views import make_sink


def stage_context(tiny: TinyRun, prompt: str = PROMPT, **place: int) -> StageContext:
    """The last position of the prompt, on the model as it is in memory."""
    opened = OpenModel(tiny.run, "best", 100, tiny.model.eval(), tiny.tokenizer, (str(tiny.run.path), 0, 0, 0))
    ids = tiny.tokenizer.encode(prompt)[-tiny.model.config.context :]
    traced = TraceCache().trace(opened, ids, ())
    return dataclasses.replace(StageContext(opened, traced, ids, 0, len(ids) - 1, SamplingSettings()), **place)  # type: ignore[arg-type]


def with_logits(context: StageContext, logits: np.ndarray) -> StageContext:
    """The same place with these logits, instead of the model's."""
    context.__dict__["logits"] = logits
    return context


def probabilities_of(tiny: TinyRun, prompt: str, position: int) -> np.ndarray:
    """The model's own next-token probabilities, from its fast path in float64."""

    logits = tiny.model(torch.tensor([tiny.tokenizer.encode(prompt)[-tiny.model.config.context :]]))[0]
    row = (logits[0] if logits.dim() == 3 else logits)[position].double()
    return np.asarray(row.softmax(-1).numpy())


def test_the_right_token_is_the_most_probable_of_the_whole_vocabulary(tiny: TinyRun, engine: InProcessEngine) -> None:
    length = len(tiny.tokenizer.encode(PROMPT)[-16:])
    for position in range(length):
        found: GuessQuestion = engine.guess(position=position)
        own = probabilities_of(tiny, PROMPT, position)
        assert len(found.right) == 1
        right = found.choices[found.right[0]]
        assert right.label == f"“{tiny.tokenizer.label(int(own.argmax()))}”"
        assert right.value == pytest.approx(own.max(), rel=1e-4)
        assert right.text in found.answer
        assert found.others is not None
        assert found.others.value is not None
        total = sum(choice.value or 0 for choice in found.choices) + found.others.value
        assert total == pytest.approx(1)
        assert len({choice.label.strip("“” ") for choice in found.choices}) == TOKEN_CHOICES
        assert found.question.startswith(f"Position {position + 1} predicts token {position + 2}.")


def test_the_token_that_the_prompt_goes_on_with_is_among_the_choices(tiny: TinyRun) -> None:
    context = stage_context(tiny, position=2)
    found = next_token_question(context)
    actual = context.label(3)
    assert f"“{actual}”" in [choice.label for choice in found.choices]
    assert "The prompt goes on with" in found.why
    p = float(probabilities_of(tiny, PROMPT, 2)[context.ids[3]])
    loss = float(found.why.partition(" = ")[2].rstrip("."))
    assert loss == pytest.approx(-math.log(p), abs=0.02)


def test_a_tie_has_two_right_answers_and_equal_logits_or_equal_attention_none(tiny: TinyRun) -> None:
    size = tiny.model.config.vocab_size
    ids = [tiny.tokenizer.encode(word)[-1] for word in ("g", "t")]
    logits = np.zeros(size)
    logits[ids] = 3.0
    found = next_token_question(with_logits(stage_context(tiny), logits))
    assert sorted(found.choices[at].label for at in found.right) == ["“g”", "“t”"]
    assert "are tied at" in found.answer
    nothing = next_token_question(with_logits(stage_context(tiny), np.zeros(size)))
    assert nothing.choices == ()
    assert "the same probability" in nothing.question
    tiny.model.blocks[0].attn.c_attn.weight.zero_()
    tiny.model.blocks[0].attn.c_attn.bias.zero_()
    alike = attention_question(stage_context(tiny, position=3))
    assert alike.choices == ()
    assert "attends equally" in alike.question


def test_the_place_of_a_choice_says_nothing_about_its_share(tiny: TinyRun) -> None:
    """Over many places the right choice is about as often at each: with 5 places of 400, 3.5 standard deviations are 28."""
    places = Counter(shuffled(range(5), "next token", [salt]).index(0) for salt in range(400))
    assert all(abs(count - 80) < 28 for count in places.values())
    assert len(places) == 5
    assert shuffled([3, 1, 2], "a") == shuffled([2, 3, 1], "a"), "a fixed order, whatever it was before"


def test_the_right_key_is_the_most_attended_one(tiny: TinyRun, engine: InProcessEngine) -> None:
    pattern = engine.trace()["blocks.1.attn.pattern"]  # (H, T, T)
    length = pattern.shape[1]
    for head in range(2):
        for position in range(1, length):
            found: GuessQuestion = engine.guess(position=position, about="attention", layer=1, head=head)
            row = pattern[head, position, : position + 1]
            right = found.choices[found.right[0]]
            assert int(right.label.split()[0]) == row.argmax() + 1
            assert right.value == pytest.approx(row.max(), rel=1e-4)
            assert len(found.choices) == min(position + 1, KEY_CHOICES)
            assert [int(choice.label.split()[0]) for choice in found.choices] == sorted(
                int(choice.label.split()[0]) for choice in found.choices
            )
            others = found.others.value if found.others is not None else 0.0
            assert sum(choice.value or 0 for choice in found.choices) + (others or 0) == pytest.approx(1, abs=1e-5)
            if row[0] >= 0.5 and position > 1:
                assert "first-token sink" in found.why


def test_of_a_sink_the_norms_of_the_values_are_told(tiny: TinyRun, engine: InProcessEngine) -> None:
    make_sink(tiny.model, 0, 5.0)
    context = stage_context(tiny)
    found = attention_question(dataclasses.replace(context, layer=0, head=1))
    norms = np.linalg.norm(context.array("blocks.0.attn.v")[:, 1], axis=-1)
    assert found.why.startswith("This is a first-token sink")
    assert f"norm {significant(float(norms[0]))}, those of the others {significant(float(norms[1:].mean()))} on" in found.why


def test_from_the_first_token_there_is_nothing_to_guess(tiny: TinyRun, engine: InProcessEngine) -> None:
    found: GuessQuestion = engine.guess(text="T", about="attention")
    assert found.choices == ()
    assert "can attend only to it" in found.question
    assert engine.guess(text="T").choices, "its next token can be guessed"


def test_the_same_question_has_one_identity_and_another_place_another(tiny: TinyRun) -> None:
    asked = [next_token_question(stage_context(tiny, position=at)).identity for at in (2, 2, 3)]
    assert asked[0] == asked[1] != asked[2]
    longer = next_token_question(stage_context(tiny, PROMPT + " sat", position=2))
    assert longer.identity == asked[0], "later tokens change nothing"
    heads = [attention_question(stage_context(tiny, position=3, head=head)).identity for head in (0, 1)]
    assert len({*asked, *heads}) == 4


@pytest.mark.parametrize(
    ("shares", "lottery"),
    [
        ([0.5, 0.3, 0.2], False),
        ([0.35, 0.33, 0.32], True),
        ([0.48, 0.46, 0.06], True),
        ([0.48, 0.44, 0.08], False),
        ([0.13, *[0.0435] * 20], True),
        ([0.16, *[0.042] * 20], True),
        ([0.4, *[0.03] * 20], False),
        ([0.62, 0.38], True),
        ([0.7, 0.3], False),
        ([1.0, 0.0], False),
    ],
)
def test_a_guess_is_a_lottery_where_the_first_two_are_close_or_the_entropy_is_near_its_maximum(
    shares: list[float], lottery: bool
) -> None:
    margin = sorted(shares)[-1] - sorted(shares)[-2]
    entropy = -sum(share * math.log(share) for share in shares if share) / math.log(len(shares))
    assert is_lottery(np.array(shares)) == lottery == (margin < 0.03 or entropy > 0.95)


def test_printed_shares_tell_the_largest_from_the_rest() -> None:
    assert percentages([0.41234, 0.41231, 0.1]) == ["41.234%", "41.231%", "10.000%"]
    assert percentages([0.4, 0.4, 0.2]) == ["40.0%", "40.0%", "20.0%"]
    assert right_choices([0.2, 0.4, 0.4 * (1 - 1e-8)]) == (1, 2)
