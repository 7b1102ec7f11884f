"""The same question asked of the weights of every moment of training."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from lab.core.errors import UserError
from lab.reports.training_timeline import stops
from lab.runs.weights_file import save_snapshot
from models.gpt import GPT
from tests.lab.engine.conftest import InProcessEngine

PROMPT = "The big dog ran"


@pytest.fixture
def snapshots(tiny: Any) -> dict[str, GPT]:
    """Three moments: other weights at each, as the trainer would leave them behind."""
    found = {}
    for seed, step in enumerate((0, 8, 64)):
        model = GPT(tiny.model.config, seed)
        for weight in model.parameters():
            weight += 0.3 * torch.empty(weight.shape).normal_(generator=torch.Generator().manual_seed(seed))
        save_snapshot(tiny.run, model, step)
        found[str(step)] = model
    return found


def test_every_snapshot_answers_with_its_own_weights(tiny: Any, engine: InProcessEngine, snapshots: dict[str, GPT]) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    assert [stop.checkpoint for stop in stops(tiny.run)] == ["0", "8", "64", "best"]
    for checkpoint, model in [*snapshots.items(), ("best", tiny.model)]:
        facts = engine.open(checkpoint=checkpoint)
        assert (facts.checkpoint, facts.step) == (checkpoint, 100 if checkpoint == "best" else int(checkpoint))
        state = {
            name: weight.bfloat16().float() if checkpoint in ("8", "64") else weight
            for name, weight in model.state_dict().items()
        }
        own = GPT(model.config)
        own.load_state_dict(state)
        expected = torch.softmax(own.eval()(torch.tensor([ids]))[0, -1].double(), -1).numpy()
        lens = engine.lens(checkpoint=checkpoint, text=PROMPT)
        assert [guess.id for guess in lens.top] == np.argsort(-expected)[:20].tolist()
        assert [guess.probability for guess in lens.top] == pytest.approx(np.sort(expected)[::-1][:20].tolist(), rel=1e-3)
        view = engine.view(checkpoint=checkpoint, stage="scores", text=PROMPT)
        assert view.parity is not None
        assert view.parity.max_delta < 2e-5


def test_a_step_that_has_no_snapshot_is_named(tiny: Any, engine: InProcessEngine, snapshots: dict[str, GPT]) -> None:
    with pytest.raises(UserError, match=r"no checkpoint called '7'; .* snapshots of steps: 0, 8, 64\.$"):
        engine.open(checkpoint="7")


def test_a_prompt_is_traced_once_for_each_snapshot(
    tiny: Any, engine: InProcessEngine, snapshots: dict[str, GPT], monkeypatch: pytest.MonkeyPatch
) -> None:
    from models import trace

    made: list[int] = []
    run = trace.Trace._run

    def counted(self: trace.Trace) -> Iterator[None]:
        made.append(1)
        return run(self)

    monkeypatch.setattr(trace.Trace, "_run", counted)
    for _ in range(3):
        for checkpoint in snapshots:
            engine.lens(checkpoint=checkpoint, text=PROMPT)
    assert len(made) == 3
