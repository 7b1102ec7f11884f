"""The engine of one step, made of hand-written answers."""

import asyncio
from typing import Any

import numpy as np

from lab.engine.client import EngineDied, EngineError
from lab.engine.method_registry import ONE_STEP, EngineMethod, OneStepParams
from lab.training.one_step.step_stages import STAGES, BackwardPass, GradientPart, LogitError, MovingWeight, StepAnswer, StepFacts
from lab.views.blocks import Array, Block, Cell, Column, Paragraph, Strip, Table, Token, View
from tests.screens.fake_wire import received_params, received_result

WINDOWS = (("The", " big", " dog", " ran", " fast", "."), ("The", " old", " cat", " sat", " on", "␊"))
CHANCES = (0.5, 0.02, 0.9, 1e-7, 0.999)
WEIGHTS = ("wte.weight[3,5]", "h.0.attn.c_attn.weight[1,2]", "ln_f.bias[0]")


class FakeEngine:
    """Answers as the real one does, in shapes and words. `calls` lists what was asked."""

    def __init__(self) -> None:
        self.calls: list[OneStepParams] = []
        self.dies = False
        self.closed = False
        self.killed = 0
        self.gate = asyncio.Event()
        """While it is cleared, an answer waits for the engine's end."""
        self.gate.set()
        self.starts = 1
        self.pid: int | None = 1

    async def call(self, method: EngineMethod[Any, Any], params: Any) -> Any:
        asked = received_params(method, params)
        assert method is ONE_STEP
        self.calls.append(asked)
        await asyncio.sleep(0)
        self.dies = self.dies or not self.gate.is_set()
        await self.gate.wait()
        self.pid = 1
        if self.dies:
            self.dies = False
            raise EngineDied("The engine was killed by SIGKILL.")
        if asked.text == "":
            raise EngineError("The sentence is empty, so there is nothing to learn from; type two words or more.")
        return received_result(method, self.answer(asked))

    def answer(self, asked: OneStepParams) -> StepAnswer:
        labels = WINDOWS[asked.window] if asked.text is None else tuple(asked.text)
        chances = [None, *(min(0.999, p * 1.5**asked.applied) for p in CHANCES)]
        tokens = [Token(index, label, p) for index, (label, p) in enumerate(zip(labels, chances, strict=False))]
        facts = StepFacts(
            run=asked.run,
            checkpoint="last",
            step=2000,
            batch=None if asked.text is not None else 2000 + asked.batch_offset,
            windows=2 if asked.text is None else 1,
            applied=asked.applied,
            losses=[4.0 - 0.25 * step for step in range(asked.applied + 1)],
            lr=2e-4,
        )
        position = min(4, len(tokens) - 1) if asked.position is None else asked.position
        picture = self.picture(asked) if asked.stage == "backward" else None
        return StepAnswer(facts, tokens, asked.window, position, self.view(asked, position), picture)

    def picture(self, asked: OneStepParams) -> BackwardPass:
        """Four layers, whose gradient grows on the way back; the weight is known once the changes were asked for."""
        errors = [
            LogitError(" dog", -0.75),
            LogitError(" cat", 0.5),
            LogitError(" mat", 0.125),
            LogitError("60 others", 0.125, True),
        ]
        names = [f"{layer} {kind}" for layer in (4, 3, 2, 1) for kind in ("MLP", "attention")]
        parts = [GradientPart("final norm", None, 0.01, 0.1)]
        parts += [GradientPart(name, int(name[0]) - 1, 0.1 + 0.1 * at, 0.1 + 0.05 * at) for at, name in enumerate(names)]
        parts += [GradientPart("position embedding", None, 0.2, None), GradientPart("token embedding", None, 0.4, None)]
        found = any(each.stage == "changes" and each.applied == asked.applied for each in self.calls)
        weight = MovingWeight("2 MLP", "W_in, layer 2: dimension 3 → neuron 7", WEIGHTS[1], 0.5, 0.5025) if found else None
        return BackwardPass(4.0 - 0.25 * asked.applied, 1.5, "one-hot", errors, parts, 1.25, weight)

    def view(self, asked: OneStepParams, position: int) -> View:
        rows = [[Cell(ref.split(".")[0]), Cell("0.1", 0.1, ref), Cell("0.2", 0.2, ref)] for ref in WEIGHTS]
        table = Table([Column("weight", align="left"), Column("before"), Column("after")], rows)
        strip = Strip("all of this window", Array.of(np.array([0.7, 3.9, 0.1, 16.1, 0.001])))
        blocks: list[Block] = [table] if asked.stage == "changes" else [strip] if asked.stage == "losses" else []
        sentence = f"Token {position + 1} after {asked.applied} steps. " + (f"About {asked.weight}." if asked.weight else "")
        return View(asked.stage, STAGES[asked.stage], sentence, [*blocks, Paragraph("What is seen, in a sentence.")])

    async def kill(self) -> None:
        self.pid = None
        self.killed += 1
        self.gate.set()

    async def close(self) -> None:
        self.closed = True
