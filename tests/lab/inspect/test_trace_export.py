"""The trace as a file: what the engine writes and what the command line writes are one and the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lab.cli.commands.trace_command import trace
from lab.engine.method_registry import SaveTraceParams
from lab.views.blocks import SavedTrace
from models.trace_edits import Edit
from tests.lab.engine.conftest import InProcessEngine

PROMPT = "The big dog ran"


def save(engine: InProcessEngine, path: Path, kind: str, **params: Any) -> SavedTrace:
    asked = SaveTraceParams(run="tiny", text=PROMPT, path=str(path), kind=kind, **params)  # type: ignore[arg-type]
    saved: SavedTrace = engine.save_trace(asked)
    return saved


@pytest.mark.parametrize("kind", ["npz", "json"])
def test_the_command_writes_the_same(kind: str, tiny: Any, engine: InProcessEngine, tmp_path: Path) -> None:
    own, theirs = tmp_path / f"own.{kind}", tmp_path / f"theirs.{kind}"
    saved = save(engine, own, kind)
    assert saved.bytes == own.stat().st_size
    options = ["--npz", str(theirs)] if kind == "npz" else ["--json", "--top", "20"]
    done = CliRunner().invoke(trace, ["tiny", "-p", PROMPT, *options])
    assert done.exit_code == 0
    if kind == "json":
        assert json.loads(own.read_text()) == json.loads(done.output)
        return
    with np.load(own) as a, np.load(theirs) as b:
        assert a.files == b.files
        assert saved.arrays == len(a.files)
        assert all(np.array_equal(a[name], b[name]) for name in a.files)


def test_the_file_holds_what_the_engine_shows_of_a_changed_model_too(tiny: Any, engine: InProcessEngine, tmp_path: Path) -> None:
    save(engine, tmp_path / "t.npz", "npz")
    arrays = engine.trace(text=PROMPT)
    with np.load(tmp_path / "t.npz") as archive:
        assert sorted(archive.files) == sorted(arrays)
        for name in archive.files:
            np.testing.assert_array_equal(archive[name], arrays[name])
        ids = torch.tensor([tiny.tokenizer.encode(PROMPT)])
        np.testing.assert_allclose(archive["logits"], tiny.model(ids)[0].numpy(), atol=2e-5)
    save(engine, tmp_path / "changed.npz", "npz", edits=(Edit("blocks.0.attn.z", "scale", head=0, scale=0.0),))
    with np.load(tmp_path / "changed.npz") as archive:
        assert not archive["blocks.0.attn.z"][:, 0].any()
        assert archive["blocks.0.attn.z"][:, 1].any()
