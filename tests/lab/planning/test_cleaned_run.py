"""A run on cleaned text, and a run made again: whatever looks at a run's text again uses the same rules."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from lab.cli.commands.train_command import description
from lab.core.errors import UserError
from lab.core.machine import machine
from lab.data.source_files import change_of_text
from lab.exchange.report_facts import text_facts
from lab.planning.default_hyperparameters import DEFAULT_MINUTES
from lab.planning.prepare_run import prepare_run
from lab.planning.resolve_run import TextSize
from lab.planning.settings_form import cloned_settings, hidden_settings, make_plan, text_problem
from lab.planning.settings_table import RunRequest, Settings
from lab.runs.run_folder import Run
from lab.runs.run_schema import DEFAULT_RULES, RunConfig

PROSE = "The big dog met the old cat. Then they ran home.\n" * 200
NOTICE = "All rights reserved.\n"
RULES = ("line-endings", "boilerplate", "blank-lines")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "tale.txt"
    path.write_bytes(f"{PROSE}{NOTICE}\n\n\n".replace("\n", "\r\n").encode())
    return path


def request(text: Path, **asked: Any) -> RunRequest:
    return RunRequest(text=str(text), preset="nano", tokenizer="bytes", device="cpu", **asked)


def test_a_run_keeps_its_rules_and_funnel_and_its_text_is_the_cleaned_one(home: Path, text: Path) -> None:
    run = prepare_run(request(text, clean=RULES))
    data = Run(run.path).config.data
    assert data.cleaning == RULES
    assert data.bytes == len(PROSE) + 1
    assert [step.rule for step in data.funnel] == list(RULES)
    assert data.funnel[0].bytes_in == text.stat().st_size
    assert data.funnel[-1].bytes_out == data.bytes
    assert "Cleaned by boilerplate, blank-lines" in description(run)
    assert "boilerplate (−21 B)" in dict(text_facts(run.config))["cleaning"]
    assert (text_problem(run.config), change_of_text(data, 0.0)) == ("", "")
    text.write_bytes(text.read_bytes() + NOTICE.encode())
    assert (text_problem(run.config), change_of_text(data, 0.0)) == ("", ""), "the rules take what was added"
    text.write_bytes(text.read_bytes() + b"More.\n")
    assert "changed" in text_problem(run.config)
    assert "changed" in change_of_text(data, 0.0)


def test_a_run_from_before_rules_were_kept_has_the_default_ones(home: Path, text: Path) -> None:
    run = prepare_run(request(text))
    written = msgspec.json.decode((run.path / "config.json").read_bytes())
    assert (written["data"].pop("cleaning"), len(written["data"].pop("funnel"))) == (list(DEFAULT_RULES), 1)
    data = msgspec.convert(written, RunConfig).data
    assert (data.cleaning, data.funnel) == (DEFAULT_RULES, ())
    assert change_of_text(data, 0.0) == ""


def test_a_funnel_that_does_not_add_up_is_damaged(home: Path, text: Path) -> None:
    run = prepare_run(request(text))
    path = run.path / "config.json"
    path.write_text(path.read_text().replace('"removed": 0', '"removed": 5', 1))
    with pytest.raises(UserError, match="add up"):
        _ = Run(run.path).config


def test_rules_that_leave_nothing_are_one_sentence_and_nothing_is_left_on_disk(home: Path, tmp_path: Path) -> None:
    word = tmp_path / "word.txt"
    word.write_text("x" * 5000)
    with pytest.raises(UserError, match="leaves nothing of this text: long-lines"):
        prepare_run(request(word, clean=("long-lines",)))
    assert not [path for path in home.iterdir() if path.is_dir()] if home.exists() else True


def test_documents_that_vanish_leave_no_end_of_text_behind(home: Path, tmp_path: Path) -> None:
    paragraph = "The big dog met the old cat. Then they ran home, and the wet bird flew over the dark wood to see them.\n"
    for name, text in (("a", PROSE), ("b", paragraph), ("c", paragraph), ("d", PROSE.replace("dog", "fox"))):
        (tmp_path / f"{name}.txt").write_text(text)
    run = prepare_run(request(tmp_path, clean=("line-endings", "duplicate-paragraphs")))
    data = run.config.data
    assert (data.documents, data.bytes) == (3, 2 * len(PROSE) + len(paragraph))
    assert data.funnel[-1].documents_emptied == 1
    ids = np.fromfile(run.tokens_path, "<u2")
    assert data.tokens == len(ids) == data.bytes + 2
    assert np.flatnonzero(ids == 256).tolist() == [len(PROSE), len(PROSE) + len(paragraph) + 1]


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


def test_what_is_the_default_stays_empty_and_a_text_that_changed_or_is_gone_is_told(home: Path, text: Path) -> None:
    config = prepare_run(RunRequest(text=str(text), preset="nano", vocab=270, minutes=DEFAULT_MINUTES)).config
    assert cloned_settings(config) == Settings(preset="nano", vocab="270")
    assert text_problem(config) == ""
    before = config.data.bytes
    text.write_bytes(text.read_bytes() + b"The end.\n")
    assert f"has changed since ({before:,} bytes then, {before + 9:,} now)" in text_problem(config)
    text.unlink()
    assert "cannot be read any more" in text_problem(config)
    piped = msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, name="stdin", source="-"))
    assert "came through standard input" in text_problem(piped)
