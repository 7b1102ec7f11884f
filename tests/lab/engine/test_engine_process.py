"""The real engine as a process of its own, through its real client."""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lab.engine import method_registry as table
from lab.engine import process
from lab.engine.client import EngineClient, EngineError
from lab.engine.server import Server
from lab.views.blocks import Token
from models.config import SamplingSettings
from models.sampling import generate
from tests.lab.training.module_forker import ModuleForker


def main(arguments: list[str]) -> int:
    """The engine, started before anybody asks, up to where it would serve: it says the priority of its loading and of its
    answers, and what it computes with."""

    def tell_priority() -> None:
        print(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def flags(self: Server, *rest: object) -> None:
        tell_priority()
        allowed = torch.backends.cuda.matmul.allow_tf32
        print(torch.get_float32_matmul_precision(), allowed, torch.is_grad_enabled(), torch.get_default_dtype())

    torch.backends.cuda.matmul.allow_tf32 = True  # as TORCH_ALLOW_TF32_CUBLAS_OVERRIDE does
    Server.read, Server.serve_forever = lambda *rest: None, flags  # type: ignore[assignment, method-assign]
    process.answer_once, sys.argv = tell_priority, ["", process.LOW_PRIORITY]  # type: ignore[assignment]
    process.main()
    return 0


def test_the_engine_loads_at_low_priority_and_answers_at_its_own_in_fp32_with_tf32_off(
    tmp_path: Path, forker: ModuleForker
) -> None:
    log = tmp_path / "log"
    assert forker.code_of(forker.fork(__name__, [], log=log)) == 0
    own = str(os.getpriority(os.PRIO_PROCESS, 0))
    assert log.read_text().split() == [str(process.NICE), own, "highest", "False", "False", "torch.float32"]


async def take_steps(client: EngineClient) -> None:
    """A step of training is served, given up and served again."""
    ask: dict[str, Any] = {"run": "tiny", "text": "The big dog ran"}
    prompt = table.LensParams(checkpoint="best", **ask)
    first = await client.call(table.ONE_STEP, table.OneStepParams(**ask))
    assert (first.facts.checkpoint, first.facts.applied, first.facts.batch) == ("best", 0, None)
    many = asyncio.create_task(client.call(table.ONE_STEP, table.OneStepParams(**ask, applied=5000)))
    await asyncio.sleep(0.2)
    lens = await client.call(
        table.LENS, table.LensParams(run="tiny", checkpoint="best", text="The big dog ran")
    )  # served in between
    assert [token.label for token in lens.tokens] == [token.label for token in first.tokens]
    assert not many.done()
    many.cancel()
    with pytest.raises(asyncio.CancelledError):
        await many
    taken = await client.call(table.ONE_STEP, table.OneStepParams(**ask, applied=3, stage="after"))
    assert taken.facts.losses[-1] < first.facts.losses[0]
    undone = await client.call(table.ONE_STEP, table.OneStepParams(**ask))
    assert (undone.facts, undone.tokens) == (first.facts, first.tokens)
    same = await client.call(table.LENS, prompt)
    assert same == lens  # what Inspect shows has other weights than those that are stepped
    with pytest.raises(EngineError, match="The sentence is empty"):
        await client.call(table.ONE_STEP, table.OneStepParams(**ask | {"text": ""}))


async def test_the_engine_serves_a_run_survives_mistakes_and_takes_steps(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine_log: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in ("models", "lab"):
        (elsewhere / name).mkdir(parents=True)
        (elsewhere / name / "__init__.py").write_text("raise SystemExit('imported from the working directory')\n")
    monkeypatch.chdir(elsewhere)
    client = EngineClient()
    prompt: dict[str, Any] = {"run": "tiny", "checkpoint": "best", "text": "The big dog ran"}

    place = table.LensParams(**prompt, position=2, sampling=SamplingSettings(temperature=0.7))

    facts = await client.call(table.OPEN, table.OpenParams(run="tiny", checkpoint="best"))
    assert (facts.layers, facts.step) == (2, 100)
    lens = await client.call(table.LENS, place)
    assert [token.id for token in lens.tokens] == tiny.tokenizer.encode("The big dog ran")
    view = await client.call(table.VIEW, table.ViewParams(**prompt, stage="scores", layer=1, head=1, width_hint=80))
    assert view.parity is not None
    assert view.parity.max_delta < 1e-5
    explained = await client.call(table.EXPLAIN, table.ExplainParams(**prompt, stage="", ref="blocks.1.attn.pattern[1,2,0]"))
    assert [operand.label for operand in explained.operands] == ["score", "largest score", "Σ of exp(score − max)"]
    assert explained.delta < 1e-5
    shares = await client.call(table.ATTRIBUTION, table.AttributionParams(**prompt, stage="scores", against=7, by_size=False))
    assert shares.parity is not None
    assert shares.parity.max_delta < 1e-4
    told = await client.call(table.EVIDENCE, table.EvidenceParams(**prompt, stage="scores"))
    assert told.sentence.endswith("so its training text cannot be searched.")
    path = tmp_path / "trace.npz"
    saved = await client.call(table.SAVE_TRACE, table.SaveTraceParams(**prompt, path=str(path), kind="npz"))
    with np.load(path) as arrays:
        assert arrays["blocks.0.attn.pattern"].sum() == pytest.approx(2 * len(lens.tokens), rel=1e-5)
        assert saved.arrays == len(arrays.files)
    token = await client.call(table.SAMPLE, table.SampleParams(**prompt))
    assert isinstance(token, Token)
    assert token.probability
    assert token.id == next(generate(tiny.model, [token.id for token in lens.tokens], 1, SamplingSettings())).id

    with pytest.raises(EngineError, match="The prompt is empty"):
        await client.call(table.LENS, table.LensParams(run="tiny", text=""))
    with pytest.raises(EngineError, match="temperature must be 0 or above"):
        await client.call(table.SAMPLE, {**prompt, "sampling": {"temperature": -1.0}})  # type: ignore[misc]
    assert client.starts == 1

    await take_steps(client)
    assert client.starts == 1
    pid = client.pid
    await client.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert engine_log.read_text() == ""


async def test_the_engine_dies_with_its_parent(tiny: Any, tmp_path: Path) -> None:
    program = (
        "import asyncio\n"
        "from lab.engine.client import EngineClient\n"
        "async def main():\n"
        "    client = EngineClient()\n"
        "    await client.start()\n"
        "    print(client.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    for _ in range(600):
        if not _running(pid):
            return
        await asyncio.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the engine outlived the process that started it")


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
