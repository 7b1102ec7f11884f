"""A run folder that version 0.1 wrote opens, shows the same numbers, and resumes as it would have gone on then.

`run_of_0_1/stopped` was stopped after step 20 of 40 by the version before modules and fields had their present names, and
`run_of_0_1/straight` holds what the same run logged then without a stop. Other processors round otherwise, so that losses are
compared within a tolerance; on the machine that made them they are equal.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from lab.core.safetensors_file import read_metadata
from lab.runs.find_runs import open_run
from lab.runs.metrics_log import LineReader
from lab.runs.run_folder import Run
from lab.runs.run_schema import Metric, PartUpdate, Status
from lab.runs.run_summary import RunsWatcher
from lab.runs.weights_file import initial_weight, load_model
from lab.training.one_step.starting_point import open_checkpoint
from lab.training.trainer_state import SpikeDetector, TrainerState
from models.gpt import GPT

RUN_OF_0_1 = Path(__file__).parent / "run_of_0_1"

STATE_OF_0_1 = (
    '{"step":12,"seconds":3.5,"step_seconds":0.25,"precision":"bf16","attention":"fused","threads":4,"threads_now":3,'
    '"computed":"bf16; tried","best_val_loss":2.5,"best_step":10,"no_better":3,"pending":{"step":12,"tokens":96,"epoch":0.5,'
    '"seconds":3.5,"loss":2.0,"lr":0.01,"grad_norm":1.5,"tokens_per_second":100.0},"pending_parts":[["embedding",0.5,0.001]],'
    '"parts":2,"watch":{"losses":[2.0,2.25],"held":[9.0],"bad":1},"rate_factor":0.25,"halvings":2,"went_back_at":11,'
    '"good_step":8,"good_losses":[2.5],"settings":"0123abcd"}'
)
"""Every field of a checkpoint's trainer state, as version 0.1 wrote it."""


@pytest.fixture
def stopped(home: Path) -> Run:
    shutil.copytree(RUN_OF_0_1 / "stopped", home / "stopped")
    return open_run("stopped")


def straight() -> tuple[list[Metric], Status]:
    folder = RUN_OF_0_1 / "straight"
    return LineReader(folder / "metrics.jsonl", Metric).read(), msgspec.json.decode(
        (folder / "status.json").read_bytes(), type=Status
    )


def test_it_shows_the_same_numbers(stopped: Run) -> None:
    metrics, _ = straight()
    assert stopped.metrics().read() == [
        msgspec.structs.replace(metric, seconds=mine.seconds, tokens_per_second=mine.tokens_per_second)
        for metric, mine in zip(metrics[:21], stopped.metrics().read(), strict=True)
    ]
    (shown,) = (each for each in RunsWatcher().read() if each.name == "stopped")
    assert (shown.phase, shown.step, shown.val_loss, shown.bits_per_byte) == (
        "stopped",
        20,
        metrics[20].val_loss,
        metrics[20].bits_per_byte,
    )
    assert (shown.parameters, shown.text) == (1308, "stories")
    files = [("best", 20), ("last", 20), ("previous", 0), ("0", 0), ("12", 12), ("20", 20)]
    assert [(file.name, file.step) for file in stopped.checkpoints()] == files
    assert len(stopped.samples()) == 3


def test_its_weights_open(stopped: Run) -> None:
    for which, step in (("best", 20), ("last", 20), ("previous", 0), ("0", 0), ("12", 12)):
        assert load_model(stopped, which)[1] == step
    initial = initial_weight(stopped, "wte.weight")
    assert initial is not None
    assert torch.equal(initial, GPT(stopped.config.model, seed=stopped.config.train.seed).wte.weight)
    assert open_checkpoint(stopped).state.best_val_loss == straight()[0][20].val_loss


def test_it_resumes_as_if_it_had_not_been_stopped(stopped: Run, train_here: Callable[..., Status]) -> None:
    metrics, ended = straight()
    status = train_here(stopped)
    assert status.phase == "finished", status.message
    for mine, then in zip(stopped.metrics().read(), metrics, strict=True):
        assert (mine.step, mine.tokens, mine.epoch, mine.lr) == (then.step, then.tokens, then.epoch, then.lr)
        assert [mine.loss, mine.grad_norm, mine.val_loss] == pytest.approx([then.loss, then.grad_norm, then.val_loss], rel=2e-3)
    assert status.best_step == ended.best_step
    assert status.final is not None
    assert ended.final is not None
    assert status.final.val_loss == pytest.approx(ended.final.val_loss, rel=2e-3)


def test_every_field_of_its_trainer_state_has_its_place() -> None:
    state = msgspec.json.decode(STATE_OF_0_1, type=TrainerState)
    assert state == TrainerState(
        step=12,
        seconds=3.5,
        step_seconds=0.25,
        precision="bf16",
        attention="fused",
        threads=4,
        threads_now=3,
        computed="bf16; tried",
        best_val_loss=2.5,
        best_step=10,
        evals_without_improvement=3,
        pending=Metric(step=12, tokens=96, epoch=0.5, seconds=3.5, loss=2.0, lr=0.01, grad_norm=1.5, tokens_per_second=100.0),
        pending_updates=[PartUpdate("embedding", 0.5, 0.001)],
        micro_batches=2,
        spike_detector=SpikeDetector(losses=[2.0, 2.25], held=[9.0], bad=1),
        lr_factor=0.25,
        halvings=2,
        rolled_back_at=11,
        rollback_step=8,
        rollback_losses=[2.5],
        config_checksum="0123abcd",
    )
    assert msgspec.json.encode(state).decode() == STATE_OF_0_1
    assert "cursor" in (read_metadata(RUN_OF_0_1 / "stopped" / "last.safetensors") or {})
