"""A run's settings as they would be typed again."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.core.machine import machine
from lab.planning.clone_settings import cloned_settings, hidden_settings, text_problem
from lab.planning.prepare_run import prepare_run
from lab.planning.resolve_run import TextSize
from lab.planning.run_request import RunRequest
from lab.planning.settings_form import make_plan
from lab.planning.settings_table import Settings


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "tale.txt"
    path.write_text("The big dog met the old cat. Then they ran home.\n" * 200 + "All rights reserved.\n")
    return path


@pytest.mark.parametrize(
    "asked",
    [
        {"preset": "nano", "steps": 60, "clean": ("line-endings", "boilerplate", "blank-lines")},
        {"preset": "nano", "context": 16, "minutes": 2.5, "lr": 0.004, "seed": 7, "batch": 3, "dropout": 0.1},
        {
            "preset": "nano",
            "tokenizer": "bytes",
            "width": 32,
            "heads": 4,
            "schedule": "wsd",
            "clip": 0.5,
            "prompts": ("The big",),
        },
    ],
)
def test_a_run_made_again_from_its_settings_is_the_same_run(home: Path, text: Path, asked: dict[str, Any]) -> None:
    """Only its name and the moment at which it was made differ."""
    first = prepare_run(RunRequest(text=str(text), device="cpu", **asked))
    size = TextSize(str(text), bytes=text.stat().st_size)
    plan = make_plan(cloned_settings(first.config), size, machine(), hidden_settings(first.config))
    assert plan.problems == {}
    assert plan.request is not None
    second = prepare_run(plan.request)
    assert second.name == "tale-2" if first.name == "tale" else second.name
    same = msgspec.structs.replace(second.config, name=first.config.name, created=first.config.created)
    assert same == first.config


def test_what_is_the_default_stays_empty(home: Path, text: Path) -> None:
    first = prepare_run(RunRequest(text=str(text), preset="nano", vocab=270))
    assert cloned_settings(first.config) == Settings(preset="nano", vocab="270")


def test_a_text_that_changed_or_is_gone_is_told(home: Path, text: Path) -> None:
    config = prepare_run(RunRequest(text=str(text), preset="nano", context=16)).config
    assert text_problem(config) == ""
    before = text.stat().st_size
    text.write_text(text.read_text() + "The end.\n")
    assert f"has changed since ({before:,} bytes then, {before + 9:,} now)" in text_problem(config)
    text.unlink()
    assert "cannot be read any more" in text_problem(config)
    piped = msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, name="stdin", source="-"))
    assert "came through standard input" in text_problem(piped)
