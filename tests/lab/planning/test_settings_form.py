from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.core.machine import Machine
from lab.planning.default_hyperparameters import default_dropout
from lab.planning.default_length import default_steps
from lab.planning.duration_estimate import (
    FLOPS_PER_CORE,
    FLOPS_PER_GPU,
    evaluation_share,
    seconds_at,
    speed_of_runs,
    steps_at,
)
from lab.planning.memorization import MANY_EPOCHS
from lab.planning.resolve_run import ResolvedRun, TextSize
from lab.planning.run_cost import head_share, run_cost, text_in_words
from lab.planning.settings_form import Plan, defaults, fit_plan, make_plan
from lab.planning.settings_table import Settings
from lab.runs.run_schema import TrainConfig
from lab.runs.run_summary import RunSummary
from models.config import PRESETS
from models.parameter_count import by_part, flops_per_token

TEXT = TextSize("stories", None, 1_000_000, 250_000)
MACHINE = Machine(processor="a processor", cores=2, memory=8_000_000_000, gpu=None)


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path))
    monkeypatch.setattr("lab.planning.settings_form.why_no_cuda", lambda: "this machine shows no NVIDIA GPU")
    monkeypatch.setattr("lab.planning.settings_form.has_mps", lambda: False)


def plan_of(settings: Settings, text: TextSize = TEXT, memory: int = 10**15) -> Plan:
    return make_plan(settings, text, replace(MACHINE, memory=memory))


def resolved(settings: Settings, text: TextSize = TEXT) -> ResolvedRun:
    """The run that the form stands for, whatever is wrong with it."""
    run = plan_of(settings, text).run
    assert run is not None
    return run


PLANNED = resolved(Settings(length="100"))
"""Micro, 16 windows of 128 tokens, with Muon."""


def run(
    name: str,
    tokens_per_second: float | None,
    flops: int,
    *,
    is_demo: bool = False,
    owner: str = "",
    device: str = "cpu",
    **train: Any,
) -> RunSummary:
    """A run of micro's shape in the planned way, except for what is said."""
    model = PLANNED.model
    if flops != flops_per_token(model):
        model = replace(model, width=8)
    return RunSummary(
        name,
        Path(name),
        "text",
        "finished",
        "",
        mean_speed=tokens_per_second,
        flops_per_token=flops,
        is_demo=is_demo,
        owner=owner,
        device=device,
        model=model,
        train=msgspec.structs.replace(PLANNED.train, **train),
    )


def test_the_defaults_are_a_plan_without_problems() -> None:
    plan = make_plan(Settings(), TEXT, MACHINE)
    assert not plan.problems
    assert plan.request is not None
    run = resolved(Settings())
    assert plan.run == run
    assert run.model == PRESETS["micro"].config(1024, dropout=0.1)
    assert run.train.steps == 2000
    # By hand: 1024·128 + 128·128 + 4·(12·128² + 13·128) + 2·128
    assert run.parameters == 131072 + 16384 + 4 * (12 * 128 * 128 + 13 * 128) + 256
    assert sum(by_part(run.model).values()) == run.parameters
    assert run.tokens_per_step == 16 * 128


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("width", "130", "width 130 cannot be divided among 4 heads"),
        ("layers", "two", "Layers must be a whole number of at least 1, not two."),
        ("layers", "0", "at least 1, not 0"),
        ("context", "-5", "at least 1"),
        ("context", "30000", "does not fit into the tenth of the text"),
        ("vocab", "256", "at least 257, not 256"),
        ("dropout", "1", "at least 0 and below 1, not 1"),
        ("lr", "0", "above 0, not 0"),
        ("lr", "nan", "not nan"),
        ("lr", "inf", "not inf"),
        ("length", "soon", "like 2000 steps, 5 min or 2 h, not soon"),
        ("length", "0", "not 0"),
        ("length", "1.5 steps", "not 1.5 steps"),
        ("batch", "", ""),
        ("batch", "0", "at least 1, not 0"),
        ("accumulate", "0", "at least 1, not 0"),
        ("accumulate", "17", "A batch of 16 windows cannot be computed in 17 parts"),
        ("patience", "0", "at least 1, not 0"),
        ("patience", "many", "not many"),
        ("seed", "-1", "at least 0"),
        ("device", "cuda", "no NVIDIA GPU"),
        ("device", "mps", "needs a Mac"),
        ("name", "a/b", "cannot be a run's name"),
        ("name", "demo", "choose another name"),
    ],
)
def test_a_mistake_is_told_beside_its_field(field: str, typed: str, words: str) -> None:
    plan = plan_of(Settings(**{field: typed}))
    if not words:
        assert not plan.problems
        return
    assert list(plan.problems) == [field]
    assert words in plan.problems[field]
    assert plan.request is None


def test_a_taken_name_and_too_little_memory_are_told(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    assert "called taken already" in plan_of(Settings(name="taken")).problems["name"]
    assert "of memory and this machine has 1.0 MB" in plan_of(Settings(), memory=1_000_000).problems["batch"]


@pytest.mark.parametrize(
    ("typed", "steps", "minutes"),
    [
        ("300", 300, None),
        ("300 steps", 300, None),
        ("5 min", None, 5.0),
        ("90s", None, 1.5),
        ("2 h", None, 120.0),
        ("1,5 h", None, 90.0),
    ],
)
def test_a_length_is_steps_or_time(typed: str, steps: int | None, minutes: float | None) -> None:
    assert not plan_of(Settings(length=typed)).problems
    train = resolved(Settings(length=typed)).train
    assert (train.steps, train.minutes) == (steps, minutes)


def test_empty_fields_show_what_they_stand_for() -> None:
    shown = defaults(Settings(preset="small"), TEXT, MACHINE)
    run = resolved(Settings(preset="small"))
    assert (shown["width"], shown["vocab"]) == (str(run.model.width), str(run.model.vocab_size))
    assert (float(shown["lr"]), int(shown["batch"])) == (run.train.lr, run.train.batch)
    assert defaults(Settings(tokenizer="gpt2"), TEXT, MACHINE)["vocab"] == "50257"


def test_time_follows_from_the_work_and_the_speed_measured_on_the_most_similar_model() -> None:
    work = flops_per_token(PLANNED.model)
    runs = [
        run("far", 1e6, work * 50),
        run("near", 1000.0, work + 1),
        run("near and slow", 500.0, work + 1),
        run("demo", 9e9, work, is_demo=True),
        run("new", None, work),
        run("elsewhere", 9e9, work, owner="process 7 on abacus"),
        run("on a GPU", 9e9, work, device="cuda"),
        run("with AdamW", 9e9, work, optimizer="adamw"),
        run("with a larger batch", 9e9, work, batch=64),
    ]
    assert speed_of_runs(PLANNED, runs, MACHINE) == (1000.0 * (work + 1), runs[1])
    same = [
        run("same", 700.0, work),
        run("same on a busy machine", 300.0, work),
        run("with other parts", 9e9, work, accumulate=4),
    ]
    assert speed_of_runs(PLANNED, [*runs, *same], MACHINE) == (700.0 * work, same[0])
    assert speed_of_runs(PLANNED, [], MACHINE) == (2 * FLOPS_PER_CORE, None)
    assert speed_of_runs(PLANNED, runs[:1], MACHINE) == (2 * FLOPS_PER_CORE, None), "nano's speed is not micro's"
    assert seconds_at(PLANNED, 1000.0 * work) == pytest.approx(100 * 16 * 128 / 1000)
    by_time = resolved(Settings(length="1 min"))
    assert steps_at(by_time, 2048.0 * work) == pytest.approx(60.0)
    assert seconds_at(by_time, 1.0) == 60.0


def test_a_plan_for_the_cpu_is_not_timed_by_the_gpu_of_the_machine() -> None:
    by_cpu, by_itself = (resolved(Settings(length="100", device=device)) for device in ("cpu", "auto"))
    work = flops_per_token(PLANNED.model)
    with_gpu = replace(MACHINE, gpu="a GPU")
    runs = [run("on the GPU", 9e6, work, device="cuda"), run("on the CPU", 1000.0, work)]
    assert speed_of_runs(by_cpu, [], with_gpu) == (2 * FLOPS_PER_CORE, None)
    assert speed_of_runs(by_itself, [], with_gpu) == (FLOPS_PER_GPU, None)
    assert speed_of_runs(by_cpu, runs, with_gpu) == (1000.0 * work, runs[1])
    assert speed_of_runs(by_itself, runs, with_gpu) == (9e6 * work, runs[0])


def test_without_a_length_a_run_has_as_many_steps_as_fit_into_four_minutes() -> None:
    """Of 0.25 s with the evaluations: 960, rounded down to hundreds."""
    plan = make_plan(Settings(), TEXT, MACHINE)
    share = 1 + evaluation_share(resolved(Settings()))
    found = {}
    for seconds in (0.05, 0.12, 0.121, 0.25, 2.0):
        request = fit_plan(plan, [], MACHINE, seconds / share).request
        assert request is not None
        steps = request.steps
        assert steps is not None
        found[seconds] = steps
        assert steps == default_steps(seconds)
    assert found == {0.05: 2000, 0.12: 2000, 0.121: 1900, 0.25: 900, 2.0: 300}
    chosen = fit_plan(plan, [], MACHINE, 0.25 / share)
    assert chosen.run is not None
    assert chosen.request is not None
    assert chosen.request.steps == 900, "config.json has it, so that the run can be made again"
    assert defaults(Settings(), TEXT, MACHINE, chosen.run)["length"] == "900 steps"
    told = dict(run_cost(chosen.run, [], MACHINE, 0.25 / share))["time"]
    assert told == (
        "about 3 min 45 s, measured by twenty steps on this machine; 900 steps, since no length was given: about as many as this "
        "machine takes in 4 minutes"
    )
    by_steps = make_plan(Settings(length="70"), TEXT, MACHINE)
    assert fit_plan(by_steps, [], MACHINE, 0.25 / share) == by_steps
    by_time = fit_plan(make_plan(Settings(length="2 min"), TEXT, MACHINE), [], MACHINE, 0.25 / share)
    assert by_time.run is not None
    assert (by_time.run.train.steps, by_time.run.train.minutes) == (None, 2.0)


def test_the_cost_is_told_in_words() -> None:
    told = dict(run_cost(PLANNED, [run("near", 1024.0, flops_per_token(PLANNED.model))], MACHINE))
    assert told["parameters"].startswith("940,800: token embedding 131k")
    assert "of 8.0 GB" in told["memory"]
    assert told["a step"] == "16 windows of 128: 2,048 tokens, 6.3M FLOPs per token"
    assert told["time"] == "about 3 min 20 s, at the speed of near"
    assert "91% of the text" in told["in all"]
    often = dict(run_cost(resolved(Settings(length="20000")), [], MACHINE))["in all"]
    assert often.endswith("182 epochs, so many that dropout is 0.1 by default")
    without = dict(run_cost(resolved(Settings(length="20000", dropout="0")), [], MACHINE))["in all"]
    assert "which it may memorize" in without
    assert plan_of(Settings(width="130")).run is None
    assert text_in_words(TEXT, "stories") == "stories, 1.0 MB, about 250k tokens"


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


def test_dropout_is_chosen_from_the_planned_epochs_unless_it_is_given() -> None:
    """Of 940,800 weights, more than there are tokens to train on, 8 epochs of 225,000 tokens are many, which are 879 steps; of
    1,800,000 tokens, 20 epochs, which are 17,578 steps. Two cores go through 8 epochs of the former in 57 s, at most."""
    long_text = TextSize("a.txt", None, 8_000_000, 2_000_000)
    for text, length, typed, dropout in (
        (TEXT, "878", "", 0.0),
        (TEXT, "880", "", 0.1),
        (TEXT, "880", "0", 0.0),
        (TEXT, "100", "0.3", 0.3),
        (TEXT, "0.9 min", "", 0.0),
        (TEXT, "1 min", "", 0.1),
        (long_text, "17578", "", 0.0),
        (long_text, "17579", "", 0.1),
        (long_text, "10 min", "", 0.0),
    ):
        settings = Settings(length=length, dropout=typed)
        planned = resolved(settings, text)
        assert planned.model.dropout == dropout, length
        assert ("dropout" in planned.reasons) == (not typed)
        assert typed or defaults(settings, text, MACHINE, planned)["dropout"] == str(dropout)


def test_dropout_by_minutes_follows_the_device() -> None:
    """Nano on a GPU takes a step in 2 ms at the least, so 30,000 in a minute: 61 million tokens, where two cores at 1e11
    operations a second each take 13.6 million."""
    model = PRESETS["nano"].config(512)
    work = flops_per_token(model)
    for device, tokens, dropout in (
        ("cpu", 60 * 2e11 / work / MANY_EPOCHS + 2, 0.0),
        ("cpu", 60 * 2e11 / work / MANY_EPOCHS - 2, 0.1),
        ("cuda", 30_000 * 2048 / MANY_EPOCHS + 2, 0.0),
        ("cuda", 30_000 * 2048 / MANY_EPOCHS - 2, 0.1),
    ):
        train = TrainConfig(steps=None, minutes=1.0, batch=32, device=device)
        assert train.batch * model.context == 2048
        assert default_dropout(train, model, round(tokens), MACHINE) == dropout
    large = PRESETS["small"].config(4096)
    train = TrainConfig(steps=None, minutes=10.0, batch=64, device="cuda")
    by_work = 600 * 2e14 / flops_per_token(large)
    assert default_dropout(train, large, round(by_work / MANY_EPOCHS) + 1, MACHINE) == 0.0
    assert default_dropout(train, large, round(by_work / MANY_EPOCHS) - 1, MACHINE) == 0.1


def test_a_measured_time_is_told_as_one() -> None:
    """100 steps of 0.5 s, and an evaluation on 32 stretches of 1,024 bytes or 256 tokens. A stretch meets 1 + 255/128 windows of
    128 tokens on average; a token costs a third of one of the 204,800 trained on: 2% more."""
    assert evaluation_share(PLANNED) == pytest.approx(32 * (1 + 255 / 128) * 128 / 3 / 204_800)
    assert dict(run_cost(PLANNED, [], MACHINE, 0.5))["time"] == "about 51 s, measured by twenty steps on this machine"
    work = flops_per_token(PLANNED.model)
    measured = "about 51 s, measured by twenty steps"
    for other, told in (
        (run("one", 3000.0, work), "about 1 min 08 s, at the speed of one"),
        (run("held up", 1024.0, work), measured),
        (run("one", 3000.0, work + 1), measured),
        (run("one", 3000.0, work, accumulate=2), measured),
    ):
        assert dict(run_cost(PLANNED, [other], MACHINE, 0.5))["time"].startswith(told)
    assert dict(run_cost(PLANNED, [], MACHINE))["time"].endswith("a guess: nothing like it was timed on this machine yet")
    short = TextSize("tale", None, 100_000, 25_000)
    assert evaluation_share(replace(PLANNED, text=short)) == pytest.approx(2_500 / 3 / 204_800), "all 10,000 bytes are evaluated"
    assert evaluation_share(replace(PLANNED, text=TextSize("unknown"))) < 0.05


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


def test_memory_is_less_in_parts() -> None:
    whole, parts = (resolved(Settings(accumulate=accumulate)).memory for accumulate in ("", "4"))
    assert parts < 0.5 * whole
