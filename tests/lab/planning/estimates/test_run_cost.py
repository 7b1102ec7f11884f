from dataclasses import replace

import pytest

from lab.planning.estimates.run_cost import describe_text, head_share, run_cost
from lab.planning.resolve_run import TextSize
from lab.planning.settings_table import Settings
from models.config import PRESETS
from models.parameter_count import flops_per_token
from tests.lab.planning.planned_runs import MACHINE, PLANNED, TEXT, past_run, plan_of, resolved


def test_the_cost_is_told_in_words() -> None:
    told = dict(run_cost(PLANNED, [past_run("near", 1024.0, flops_per_token(PLANNED.model))], MACHINE))
    assert told["parameters"].startswith("940,800: token embedding 131k")
    assert "of 8.0 GB" in told["memory"]
    assert told["a step"] == "16 windows of 128: 2,048 tokens, 6.3M FLOPs per token"
    assert told["time"] == "about 3 min 20 s, at the speed of near"
    assert "91% of the training part" in told["in all"]
    often = dict(run_cost(resolved(Settings(length="20000")), [], MACHINE))["in all"]
    assert often.endswith("182 epochs, so many that dropout is 0.1 by default")
    without = dict(run_cost(resolved(Settings(length="20000", dropout="0")), [], MACHINE))["in all"]
    assert "which it may memorize" in without
    assert plan_of(Settings(width="130")).run is None
    assert describe_text(TEXT, "stories") == "stories, 1.0 MB, about 250k tokens"


def test_a_vocabulary_larger_than_the_text_can_give_is_not_counted() -> None:
    text = TextSize("stories", None, 1_000_000, 250_000, most_vocab=746)
    planned = resolved(Settings(), text)
    assert planned.model == PRESETS["micro"].config(746, dropout=0.1)
    assert dict(run_cost(planned, [], MACHINE))["vocabulary"].startswith("746 tokens")
    always = TextSize("stories", None, 1_000_000, 1_000_000, most_vocab=256)
    assert "vocabulary" not in dict(run_cost(resolved(Settings(tokenizer="bytes"), always), [], MACHINE)), (
        "bytes are 256 whatever the text is"
    )
    assert resolved(Settings(vocab="500"), text).model == PRESETS["micro"].config(500, dropout=0.1)
    assert resolved(Settings(tokenizer="bytes"), text).model == PRESETS["micro"].config(256, dropout=0.1)


def test_a_head_that_is_most_of_the_work_and_a_high_learning_rate_are_advised_against() -> None:
    """By hand, for nano with GPT-2's vocabulary: 6·50257·64 of 6·(2·12·64² + 50257·64) + 12·2·64·64."""
    planned = resolved(Settings(preset="nano", tokenizer="gpt2"))
    share = 6 * 50257 * 64 / (6 * (2 * 12 * 64**2 + 50257 * 64) + 12 * 2 * 64 * 64)
    assert head_share(planned.model) == pytest.approx(share)
    assert dict(run_cost(planned, [], MACHINE))["advice"].startswith("97% of a step's FLOPs are the head over 50,257 tokens")
    assert "advice" not in dict(run_cost(resolved(Settings()), [], MACHINE))
    assert "a learning rate of 1 is high" in dict(run_cost(resolved(Settings(lr="1")), [], MACHINE))["advice"]


def test_a_text_too_small_for_the_model_is_told_before_the_start() -> None:
    """Nine tenths of 10,000 tokens are fewer than a hundredth of 940,800 parameters."""
    for tokens, small in ((10_000, True), (10_500, False)):
        told = dict(run_cost(replace(PLANNED, text=TextSize("a.txt", None, 40_000, tokens)), [], MACHINE))
        assert ("are too few for 941k parameters" in told.get("advice", "")) == small


def test_a_text_too_small_for_so_many_epochs_is_told_for_a_small_model_too() -> None:
    """1,800 training tokens are not too few for the parameters of nano, which reads them 2,276 times."""
    text = TextSize("poem.txt", None, 6_000, 2_000)
    for steps, many in (("2000", True), ("20", False)):
        told = dict(run_cost(resolved(Settings(preset="nano", length=steps), text), [], MACHINE))
        assert ("some 1,800 tokens are too few for 2,276 epochs" in told.get("advice", "")) == many, told
