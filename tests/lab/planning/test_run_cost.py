from dataclasses import replace

import pytest
from msgspec import structs

from lab.core.machine import Machine
from lab.planning.default_hyperparameters import QUICK_FLOPS_PER_CORE
from lab.planning.resolve_run import ResolvedRun, TextSize
from lab.planning.run_cost import (
    FLOPS_PER_CORE,
    FLOPS_PER_GPU,
    SECONDS_AROUND,
    describe_text,
    evaluation_share,
    expected_speeds,
    head_share,
    latest_similar,
    run_cost,
    seconds_at,
    steps_at,
)
from lab.planning.settings_table import Settings
from lab.runs.run_summary import RunSummary
from models.config import PRESETS
from models.parameter_count import flops_per_token
from tests.lab.planning.planned_runs import MACHINE, MICRO, PLANNED, TEXT, past_run, plan_of, resolved


def test_the_cost_is_told_in_words() -> None:
    told = dict(run_cost(PLANNED, [past_run("near", 1024.0, flops_per_token(PLANNED.model))], MACHINE))
    assert told["parameters"].startswith("940,800: token embedding 131k")
    assert "of 8.0 GB" in told["memory"]
    assert told["a step"] == "16 windows of 128: 2,048 tokens, 6.3M FLOPs per token"
    assert told["time"] == "about 3 min 20 s, at the speed of near"
    assert "91% of the training part" in told["in all"]
    often = dict(run_cost(resolved(Settings(preset="micro", length="20000")), [], MACHINE))["in all"]
    assert often.endswith("182 epochs, so many that dropout is 0.1 by default")
    without = dict(run_cost(resolved(Settings(preset="micro", length="20000", dropout="0")), [], MACHINE))["in all"]
    assert "which it may memorize" in without
    assert plan_of(replace(MICRO, width="130")).run is None
    assert describe_text(TEXT, "stories") == "stories, 1.0 MB, about 250k tokens"


def test_a_vocabulary_larger_than_the_text_can_give_is_not_counted() -> None:
    text = TextSize("stories", None, 1_000_000, 250_000, most_vocab=746)
    planned = resolved(MICRO, text)
    assert planned.model == PRESETS["micro"].config(746, dropout=0.1)
    assert dict(run_cost(planned, [], MACHINE))["vocabulary"].startswith("746 tokens")
    always = TextSize("stories", None, 1_000_000, 1_000_000, most_vocab=256)
    assert "vocabulary" not in dict(run_cost(resolved(Settings(tokenizer="bytes"), always), [], MACHINE)), (
        "bytes are 256 whatever the text is"
    )
    assert resolved(replace(MICRO, vocab="500"), text).model == PRESETS["micro"].config(500, dropout=0.1)
    assert resolved(replace(MICRO, tokenizer="bytes"), text).model == PRESETS["micro"].config(256, dropout=0.1)


def test_a_head_that_is_most_of_the_work_and_a_high_learning_rate_are_advised_against() -> None:
    """By hand, for nano with GPT-2's vocabulary: 6·50257·64 of 6·(2·12·64² + 50257·64) + 12·2·64·64."""
    planned = resolved(Settings(preset="nano", tokenizer="gpt2"))
    share = 6 * 50257 * 64 / (6 * (2 * 12 * 64**2 + 50257 * 64) + 12 * 2 * 64 * 64)
    assert head_share(planned.model) == pytest.approx(share)
    assert dict(run_cost(planned, [], MACHINE))["advice"].startswith("97% of a step's FLOPs are the head over 50,257 tokens")
    assert "advice" not in dict(run_cost(resolved(Settings()), [], MACHINE))
    assert "a learning rate of 1 is high" in dict(run_cost(resolved(Settings(lr="1")), [], MACHINE))["advice"]


def test_a_text_too_small_for_the_model_or_for_so_many_epochs_is_told_before_the_start() -> None:
    """Nine tenths of 10,000 tokens are fewer than a hundredth of 940,800 parameters."""
    for tokens, small in ((10_000, True), (10_500, False)):
        told = dict(run_cost(replace(PLANNED, text=TextSize("a.txt", None, 40_000, tokens)), [], MACHINE))
        assert ("are too few for 941k parameters" in told.get("advice", "")) == small
    few = replace(PLANNED, text=TextSize("a.txt", None, 40_000, 10_000), train=structs.replace(PLANNED.train, steps=1))
    assert "too few" not in dict(run_cost(few, [], MACHINE)).get("advice", ""), "a part of it is read only"
    text = TextSize("poem.txt", None, 6_000, 2_000)
    for steps, many in (("2000", True), ("20", False)):
        told = dict(run_cost(resolved(Settings(preset="nano", length=steps), text), [], MACHINE))
        assert ("some 1,800 tokens are too few for 2,276 epochs" in told.get("advice", "")) == many, told


A_GUESS = [2 * FLOPS_PER_CORE, 2 * QUICK_FLOPS_PER_CORE]
"""Of two cores, slow or quick."""


def speeds_of(run: ResolvedRun, runs: list[RunSummary], machine: Machine = MACHINE) -> list[float]:
    return expected_speeds(run, runs, machine, ())[0]


def test_time_follows_from_the_work_and_the_speed_measured_on_the_most_similar_model() -> None:
    work = flops_per_token(PLANNED.model)
    runs = [
        past_run("far", 1e6, work * 50),
        past_run("near", 1000.0, work + 1),
        past_run("near and slow", 500.0, work + 1),
        past_run("demo", 9e9, work, is_bundled=True),
        past_run("new", None, work),
        past_run("elsewhere", 9e9, work, owner="process 7 on abacus"),
        replace(past_run("of a scaling experiment", 9e9, work), is_of_scaling=True),
        replace(past_run("of a few steps", 1.0, work), step=4),
        past_run("on a GPU", 9e9, work, device="cuda"),
        past_run("with AdamW", 9e9, work, optimizer="adamw"),
        past_run("with a larger batch", 9e9, work, batch=64),
    ]
    assert latest_similar(PLANNED, runs, on_gpu=False) == [runs[1], runs[2]]
    assert speeds_of(PLANNED, runs) == [500.0 * (work + 1), 1000.0 * (work + 1)]
    same = [
        past_run("same", 700.0, work),
        past_run("same on a busy machine", 300.0, work),
        past_run("with other parts", 9e9, work, accumulate=4),
    ]
    assert speeds_of(PLANNED, [*runs, *same]) == [300.0 * work, 700.0 * work]
    assert speeds_of(PLANNED, []) == A_GUESS
    assert speeds_of(PLANNED, runs[:1]) == A_GUESS, "nano's speed is not micro's"
    assert seconds_at(PLANNED, 1000.0 * work) == pytest.approx(100 * 16 * 128 / 1000)
    by_time = resolved(replace(MICRO, length="1 min"))
    assert steps_at(by_time, 2048.0 * work) == pytest.approx(60.0 - SECONDS_AROUND)
    assert seconds_at(by_time, 1.0) == 60.0


def test_a_plan_for_the_cpu_is_not_timed_by_the_gpu_of_the_machine() -> None:
    by_cpu, by_itself = (resolved(Settings(length="100", device=device)) for device in ("cpu", "auto"))
    work = flops_per_token(PLANNED.model)
    with_gpu = replace(MACHINE, gpu="a GPU")
    runs = [past_run("on the GPU", 9e6, work, device="cuda"), past_run("on the CPU", 1000.0, work)]
    assert speeds_of(by_cpu, [], with_gpu) == A_GUESS
    assert speeds_of(by_itself, [], with_gpu) == [FLOPS_PER_GPU]
    assert speeds_of(by_cpu, runs, with_gpu) == [1000.0 * work]
    assert speeds_of(by_itself, runs, with_gpu) == [9e6 * work]


def test_the_time_is_the_range_of_the_latest_runs_not_that_of_the_fastest_ever() -> None:
    work = flops_per_token(PLANNED.model)
    speeds = {"fastest": 9000.0, "third": 3000.0, "second": 2048.0, "first": 1024.0}
    runs = [replace(past_run(name, speed, work), last_heartbeat=at) for at, (name, speed) in enumerate(speeds.items())]
    said = dict(run_cost(PLANNED, runs, MACHINE))["time"]
    assert said == "about 1 min 08 s to 3 min 20 s, at the speeds of first, second, third"
    assert dict(run_cost(PLANNED, runs[:1], MACHINE))["time"] == "about 23 s, at the speed of fastest"
    assert dict(run_cost(resolved(Settings(preset="micro", length="1 min")), runs, MACHINE))["time"].startswith("1 min 00 s")


def test_a_measured_time_is_told_as_one() -> None:
    """100 steps of 0.5 s, and an evaluation on 32 stretches of 1,024 bytes or 256 tokens. A stretch meets 1 + 255/128 windows of
    128 tokens on average; a token costs a third of one of the 204,800 trained on: 2% more."""
    assert evaluation_share(PLANNED) == pytest.approx(32 * (1 + 255 / 128) * 128 / 3 / 204_800)
    assert dict(run_cost(PLANNED, [], MACHINE, (0.5,)))["time"] == "about 51 s, measured by up to twenty steps on this machine"
    work = flops_per_token(PLANNED.model)
    measured = "about 51 s, measured by up to twenty steps"
    for other, told in (
        (past_run("one", 3000.0, work), "about 1 min 08 s, at the speed of one"),
        (past_run("held up", 1024.0, work), measured),
        (past_run("one", 3000.0, work + 1), measured),
        (past_run("one", 3000.0, work, accumulate=2), measured),
    ):
        assert dict(run_cost(PLANNED, [other], MACHINE, (0.5,)))["time"].startswith(told)
    busy = dict(run_cost(PLANNED, [], MACHINE, (0.1, 0.5)))["time"]
    assert busy == "about 10 s to 51 s, measured by up to twenty steps while other programs kept this machine busy"
    assert dict(run_cost(PLANNED, [], MACHINE))["time"].endswith("a guess: nothing like it was timed on this machine yet")
    assert dict(run_cost(PLANNED, [], MACHINE, is_timing=True))["time"].endswith(", a guess until its steps have been timed")
    short = TextSize("tale", None, 100_000, 25_000)
    assert evaluation_share(replace(PLANNED, text=short)) == pytest.approx(2_500 / 3 / 204_800), "all 10,000 bytes are evaluated"
    assert evaluation_share(replace(PLANNED, text=TextSize("unknown"))) < 0.05
