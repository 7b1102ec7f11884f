"""The lab from Python: what its functions give is what the commands give."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.api import generate, open_model, open_run, trace, train
from lab.core.errors import UserError

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
