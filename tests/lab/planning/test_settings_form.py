from dataclasses import fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest

from lab.core.limits import LIMITS
from lab.core.machine import machine
from lab.data.statistics.text_statistics import CountRequest, count_tokens
from lab.planning.default_hyperparameters import MANY_EPOCHS, default_dropout
from lab.planning.prepare_run import prepare_run
from lab.planning.resolve_run import TextSize
from lab.planning.run_cost import run_cost
from lab.planning.settings_form import defaults, make_plan, parse_settings
from lab.planning.settings_table import FORM, SETTINGS, RunRequest, Settings
from lab.runs.run_schema import TrainConfig
from models.config import PRESETS, ModelConfig
from models.parameter_count import by_part, flops_per_token
from tests.lab.planning.planned_runs import MACHINE, MICRO, TEXT, plan_of, resolved


@pytest.fixture(autouse=True)
def empty_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.planning.settings_form.no_cuda_reason", lambda: "this machine shows no NVIDIA GPU")
    monkeypatch.setattr("lab.planning.settings_form.has_mps", lambda: False)


def test_the_defaults_are_a_plan_without_problems_and_shown_in_empty_fields() -> None:
    plan = make_plan(MICRO, TEXT, MACHINE)
    assert not plan.problems
    assert plan.request is not None
    run = resolved(MICRO)
    assert plan.run == run
    assert run.model == PRESETS["micro"].config(1024, dropout=0.1)
    assert run.train.steps == 2000
    # By hand: 1024·128 + 128·128 + 4·(12·128² + 13·128) + 2·128
    assert run.parameters == 131072 + 16384 + 4 * (12 * 128 * 128 + 13 * 128) + 256
    assert sum(by_part(run.model).values()) == run.parameters
    assert run.tokens_per_step == 16 * 128
    shown = defaults(Settings(preset="small"), TEXT, MACHINE)
    run = resolved(Settings(preset="small"))
    assert (shown["width"], shown["vocab"]) == (str(run.model.width), str(run.model.vocab_size))
    assert (float(shown["lr"]), int(shown["batch"])) == (run.train.lr, run.train.batch)
    assert defaults(Settings(tokenizer="gpt2"), TEXT, MACHINE)["vocab"] == "50257"


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("width", "130", "width 130 cannot be divided among 4 heads"),
        ("layers", "two", "Layers must be a whole number of at least 1, not two."),
        ("layers", "0", "at least 1, not 0"),
        ("context", "30000", "does not fit into the tenth of the text"),
        ("vocab", "256", "at least 257, not 256"),
        ("dropout", "1", "at least 0 and below 1, not 1"),
        ("lr", "0", "above 0, not 0"),
        ("length", "soon", "like 2000 steps, 5 min or 2 h, not soon"),
        ("length", "0", "not 0"),
        ("length", "1.5 steps", "not 1.5 steps"),
        ("batch", "0", "at least 1, not 0"),
        ("accumulate", "0", "at least 1, not 0"),
        ("accumulate", "17", "A batch of 16 windows cannot be computed in 17 parts"),
        ("patience", "0", "at least 1, not 0"),
        ("patience", "many", "not many"),
        ("device", "cuda", "no NVIDIA GPU"),
        ("device", "mps", "needs a Mac"),
        ("name", "a/b", "cannot be a run's name"),
        ("name", "demo", "choose another name"),
        ("clean", "blnk-lines", "did you mean blank-lines"),
    ],
)
def test_a_mistake_is_told_beside_its_field(field: str, typed: str, words: str) -> None:
    plan = plan_of(replace(MICRO, **{field: typed}))
    assert list(plan.problems) == [field]
    assert words in plan.problems[field]
    assert plan.request is None


def test_a_taken_name_and_too_little_memory_are_told(home: Path) -> None:
    (home / "taken").mkdir()
    assert "called taken already" in plan_of(Settings(name="taken")).problems["name"]
    assert "of memory and this machine has 1.0 MB" in plan_of(MICRO, memory=1_000_000).problems["batch"]


def test_a_card_s_memory_is_left_to_the_trainer_and_a_mac_shares_the_main_memory() -> None:
    card = replace(MACHINE, memory=1_000_000, gpu="NVIDIA H100", gpus=1)
    plan = make_plan(MICRO, TEXT, card)
    assert not plan.problems
    assert plan.run is not None
    assert dict(run_cost(plan.run, (), card))["memory"].endswith("on the GPU; where it has less, a step is computed in parts")
    assert "batch" in make_plan(MICRO, TEXT, replace(card, gpu="Apple GPU", gpus=0)).problems
    assert "batch" in make_plan(replace(MICRO, device="cpu"), TEXT, card).problems


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
    request, problems = parse_settings(Settings(length=typed), TEXT)
    assert (request.steps, request.minutes, problems) == (steps, minutes, {})


def test_the_help_of_each_field_fits_below_the_form() -> None:
    assert [setting.name for setting in FORM if len(setting.help) > 76] == []


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
        settings = replace(MICRO, length=length, dropout=typed)
        planned = resolved(settings, text)
        assert planned.model.dropout == dropout, length
        assert ("dropout" in planned.reasons) == (not typed)
        assert typed or defaults(settings, text, MACHINE, planned)["dropout"] == f"{dropout:g}"


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


def test_memory_is_less_in_parts() -> None:
    whole, parts = (resolved(replace(MICRO, accumulate=accumulate)).memory for accumulate in ("", "4"))
    assert parts < 0.5 * whole


@pytest.mark.parametrize(
    "typed",
    [
        {},
        {"length": "2 min", "tokenizer": "bytes"},
        {"preset": "micro", "vocab": "280", "length": "30000", "optimizer": "adamw"},
        {"context": "16", "batch": "8", "accumulate": "3", "schedule": "wsd", "patience": "2", "lr": "0.5", "dropout": "0.2"},
    ],
)
def test_what_the_form_shows_is_what_is_prepared(typed: dict[str, str], home: Path, tmp_path: Path) -> None:
    """Shape, settings and length, all but the prompts, which are taken from the text."""
    path = tmp_path / "tale.txt"
    path.write_text("The big dog met the old cat. Then they ran home, and the wet bird sang.\n" * 300)
    settings = Settings(**({"preset": "nano", "vocab": "" if "tokenizer" in typed else "270"} | typed))
    vocab_size = 256 if "tokenizer" in typed else int(settings.vocab)
    count = count_tokens(CountRequest(str(path), None, settings.tokenizer, vocab_size))  # type: ignore[arg-type]
    text = TextSize(str(path), None, path.stat().st_size, count.tokens)
    plan = make_plan(settings, text, machine())
    assert plan.run is not None
    assert plan.problems == {}
    assert plan.request is not None
    config = prepare_run(plan.request).config
    assert config.model == plan.run.model
    assert msgspec.structs.replace(config.train, prompts=()) == plan.run.train


def test_every_default_that_follows_from_something_has_its_reason() -> None:
    reasons = resolved(MICRO).reasons
    assert reasons["lr"] == "usual for a width of 128 with muon"
    assert reasons["batch"] == "so that a step has 2,048 tokens"
    assert reasons["dropout"] == "beyond 8 epochs such a model memorizes its text"
    assert reasons["vocab"] == "usual for the preset micro"
    assert resolved(MICRO, replace(TEXT, bytes=30_000)).reasons["vocab"] == "one token for 100 bytes of text"
    asked = resolved(Settings(vocab="300", lr="0.1", batch="4", dropout="0", length="7"))
    assert asked.reasons.keys() == reasons.keys() - {"vocab", "lr", "batch", "dropout"}


def test_the_table_of_settings_is_that_of_the_form_of_a_request_and_of_training_and_every_number_has_a_limit() -> None:
    assert {setting.name for setting in FORM} == {field.name for field in fields(Settings)}
    assert SETTINGS.keys() - {"length"} <= set(RunRequest.__struct_fields__)
    for setting in SETTINGS.values():
        if setting.kind in ("whole", "real"):
            assert setting.limit.problem(float("nan"))
        if setting.choices:
            assert setting.default in setting.choices
    assert set(TrainConfig.__struct_fields__) <= set(RunRequest.__struct_fields__)
    for struct in (TrainConfig, ModelConfig):
        for name, types in get_type_hints(struct).items():
            if {int, float} & {types, *get_args(types)}:
                assert name in LIMITS, f"{struct.__name__}.{name}"
                low, high = LIMITS[name].least, LIMITS[name].most
                assert low < high, name
