from dataclasses import fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest

from lab.core.limits import LIMITS
from lab.core.machine import machine
from lab.data.statistics.text_statistics import count_tokens
from lab.planning.default_hyperparameters import MANY_EPOCHS, default_dropout
from lab.planning.prepare_run import prepare_run
from lab.planning.resolve_run import TextSize
from lab.planning.run_request import RunRequest
from lab.planning.settings_form import defaults, fit_plan, make_plan
from lab.planning.settings_table import FORM, SETTINGS, Settings
from lab.runs.run_schema import TrainConfig
from models.config import PRESETS, ModelConfig
from models.parameter_count import flops_per_token
from tests.lab.planning.planned_runs import MACHINE, TEXT, resolved


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
    whole, parts = (resolved(Settings(accumulate=accumulate)).memory for accumulate in ("", "4"))
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
    count = count_tokens(str(path), None, settings.tokenizer, vocab_size)  # type: ignore[arg-type]
    text = TextSize(str(path), None, path.stat().st_size, count.tokens)
    plan = fit_plan(make_plan(settings, text, machine()), [], machine(), (0.1,))
    assert plan.run is not None
    assert plan.problems == {}
    assert plan.request is not None
    config = prepare_run(plan.request).config
    assert config.model == plan.run.model
    assert msgspec.structs.replace(config.train, prompts=()) == plan.run.train


def test_every_default_that_follows_from_something_has_its_reason() -> None:
    reasons = resolved(Settings()).reasons
    assert reasons["lr"] == "usual for a width of 128 with muon"
    assert reasons["batch"] == "so that a step has 2,048 tokens"
    assert reasons["dropout"] == "beyond 8 epochs such a model memorizes its text"
    assert reasons["vocab"] == "usual for the preset micro"
    assert reasons["length"] == "2,000 steps, the default"
    assert resolved(Settings(), replace(TEXT, bytes=30_000)).reasons["vocab"] == "one token for 100 bytes of text"
    asked = resolved(Settings(vocab="300", lr="0.1", batch="4", dropout="0", length="7"))
    assert asked.reasons.keys() == reasons.keys() - {"vocab", "lr", "batch", "dropout", "length"}


def test_the_table_of_settings_has_every_setting_of_the_form_and_of_a_request() -> None:
    assert {setting.name for setting in FORM} == {field.name for field in fields(Settings)}
    assert SETTINGS.keys() - {"length"} <= set(RunRequest.__struct_fields__)
    for setting in SETTINGS.values():
        if setting.kind in ("whole", "real"):
            assert setting.limit.problem(float("nan"))
        if setting.choices:
            assert setting.default in setting.choices


def test_a_setting_of_training_can_be_asked_for_and_every_number_has_a_limit() -> None:
    assert set(TrainConfig.__struct_fields__) <= set(RunRequest.__struct_fields__)
    for struct in (TrainConfig, ModelConfig):
        for name, types in get_type_hints(struct).items():
            if {int, float} & {types, *get_args(types)}:
                assert name in LIMITS, f"{struct.__name__}.{name}"
                low, high = LIMITS[name].least, LIMITS[name].most
                assert low < high, name
