"""The lab from Python: what its functions give is what the commands give."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.api import generate, open_model, trace, train
from lab.core.errors import UserError
from lab.runs.find_runs import open_run

SMALL = {"preset": "nano", "tokenizer": "bytes", "context": 16, "batch": 4, "threads": 1, "device": "cpu", "sample_tokens": 4}


def test_a_text_and_a_trace_are_those_of_the_commands(llmlab: Callable[..., Any]) -> None:
    demo = open_model("demo")
    said = llmlab("generate", "demo", "-p", "The big", "-n", "20", "--temperature", "0.8", "--top-k", "5", "--seed", "7").out
    assert generate(demo, "The big", 20, temperature=0.8, top_k=5, seed=7) + "\n" == said
    traced = trace(demo, "The big dog")
    pattern = traced["blocks.0.attn.pattern"]
    assert pattern.shape[1:] == (len(traced.ids), len(traced.ids))
    assert torch.allclose(pattern.sum(-1), torch.ones(pattern.shape[:2]))
    assert len(trace(demo, "The big dog ran. " * 200).ids) == demo.model.config.context


def test_a_run_is_trained_and_opened(home: Path, tmp_path: Path, forked_trainers: None) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The big dog ran fast. " * 200)
    run = train(str(text), name="first", steps=3, **SMALL)
    assert run.status().phase == "finished"
    assert open_run("first").last_metric() == run.last_metric()
    assert open_model(run, "last").step == 3
    with pytest.raises(UserError, match="There is a run called first already"):
        train(str(text), name="first", steps=3, **SMALL)
    with pytest.raises(UserError, match="nowhere"):
        open_model("nowhere")


def test_a_run_that_is_deleted_while_it_trains_is_no_result(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The big dog ran fast. " * 200)
    monkeypatch.setattr("lab.api.start_trainer", lambda run: shutil.rmtree(run.path))
    with pytest.raises(UserError, match="no run called first any more: it was renamed or deleted while it trained"):
        train(str(text), name="first", steps=3, **SMALL)


@pytest.mark.parametrize(
    "settings",
    [
        {"log_to": "x"},
        {"steps": 5.5},
        {"steps": "5"},
        {"tokenizer": "words"},
        {"dropout": float("nan")},
        {"nothing": 1},
        {"text": 1},
    ],
)
def test_settings_that_cannot_be_are_refused_before_there_is_a_run(settings: dict[str, Any], home: Path) -> None:
    with pytest.raises(UserError):
        train(**{"text": "stories:20kB", "name": "first", "steps": 3, **SMALL, **settings})
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda demo: open_model("demo", 500_000),
        lambda demo: open_model("demo", "nowhere"),
        lambda demo: generate(demo, "The", temperature=-1),
        lambda demo: generate(demo, "The", top_p=0.0),
        lambda demo: generate(demo, "The", temperature="hot"),
        lambda demo: generate(demo, "The", heat=1),
        lambda demo: generate(demo, "The", tokens=-1),
        lambda demo: generate(demo, "The", tokens=2.5),
        lambda demo: generate(demo, ""),
        lambda demo: trace(demo, ""),
        lambda demo: open_model(5),  # type: ignore[arg-type]
        lambda demo: open_model("demo\0"),
        lambda demo: open_run(None),  # type: ignore[arg-type]
        lambda demo: open_run("demo", "/path"),  # type: ignore[arg-type]
        lambda demo: generate(None, "a"),  # type: ignore[arg-type]
        lambda demo: generate(demo, "a", tokens=True),
        lambda demo: trace("demo", "a"),  # type: ignore[arg-type]
        lambda demo: generate(demo, 5),  # type: ignore[arg-type]
        lambda demo: trace(demo, None),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_is_the_error_that_is_promised(call: Callable[[Any], object]) -> None:
    with pytest.raises(UserError):
        call(open_model("demo", 6000))
