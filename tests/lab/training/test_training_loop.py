import errno
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from msgspec.structs import force_setattr, replace
from torch.nn.functional import cross_entropy

from lab.core.safetensors_file import check_whole
from lab.data.data_order import TrainingBatches
from lab.data.token_file import TokenFile, token_dtype
from lab.runs import weights_file
from lab.runs.metrics_log import LineReader, LineWriter
from lab.runs.run_folder import Run
from lab.runs.run_schema import Insight, Metric, Status
from lab.training import checkpoint
from lab.training.checkpoint_schedule import CheckpointSchedule
from lab.training.command_inbox import StopRequestedError
from lab.training.distributed.one_rank import OneRank, RankLostError
from lab.training.gradient_accumulation import dropout_seed
from lab.training.stop_signals import StopSignals
from lab.training.trainer import train
from models.config import TokenizerError
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer
from tests.fixture_types import TinyRun, TrainHere
from tests.lab.training.compare_runs import assert_equal_weights, assert_same_run, same, weights

pytestmark = pytest.mark.usefixtures("one_core")


def test_a_run_leaves_one_line_a_step_samples_and_checkpoints(train_tiny: TinyRun) -> None:
    run = train_tiny(prompts=("The", "Then they"))
    status = run.status()
    assert (status.phase, status.step, status.steps, status.device) == ("finished", 30, None, "cpu")
    metrics = run.metrics().read()
    assert [m.step for m in metrics] == list(range(31))
    assert [m.step for m in metrics if m.val_loss is not None] == [0, 10, 20, 30]
    assert [m.tokens for m in metrics] == [step * 4 * 16 for step in range(31)]
    assert status.eval_tokens == run.config.data.tokens - run.config.data.split
    assert metrics[0].loss is None
    assert metrics[1].loss == pytest.approx(math.log(256), abs=0.1)
    assert metrics[-1].val_loss is not None
    assert metrics[-1].val_loss < 5.0
    assert [(s.step, s.prompt) for s in run.samples()] == [(step, p) for step in (0, 10, 20, 30) for p in ("The", "Then they")]
    assert [file.name for file in run.checkpoints()] == ["best", "last", "previous", *map(str, (0, 1, 2, *range(3, 31, 3)))]
    best = min((m for m in metrics[1:] if m.val_loss is not None), key=lambda m: m.val_loss or 0.0)
    assert (status.best_val_loss, status.best_step) == (best.val_loss, best.step)
    saved = check_whole(run.path / "best.safetensors").metadata
    assert (float(saved["val_loss"]), int(saved["step"])) == (best.val_loss, best.step)


def test_training_is_the_textbook_loop(train_tiny: TinyRun) -> None:
    """Against a plain loop: torch's cross entropy, its unfused AdamW, and the schedule written out."""
    run = train_tiny(steps=12, precision="fp32", warmup=0.25, optimizer="adamw")
    config, train = run.config, run.config.train
    model = GPT(config.model, seed=train.seed)
    assert all(torch.equal(weight, model.state_dict()[name]) for name, weight in weights(run, "0").items()), "its first snapshot"
    groups = [
        {"params": [w for w in model.parameters() if w.dim() == 2], "weight_decay": train.weight_decay},
        {"params": [w for w in model.parameters() if w.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(train.beta1, train.beta2), fused=False, foreach=False)
    tokens = TokenFile(run.tokens_path, token_dtype(256))
    batches = TrainingBatches(tokens, 0, config.data.split, config.model.context, train.batch, train.seed)
    metrics = run.metrics().read()
    for step in range(12):
        progress = (step + 1) / 12
        fall = 0.1 + 0.9 * (1 + math.cos(math.pi * (progress - 0.25) / 0.75)) / 2
        lr = train.lr * (progress / 0.25 if progress < 0.25 else fall)
        for group in optimizer.param_groups:
            group["lr"] = lr
        ids, targets = (torch.from_numpy(part) for part in batches.at(step))
        torch.manual_seed(dropout_seed(train.seed, step))
        loss = cross_entropy(model(ids).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        norm = math.sqrt(sum(float((w.grad.double() ** 2).sum()) for w in model.parameters() if w.grad is not None))
        for weight in model.parameters():
            assert weight.grad is not None
            weight.grad *= min(1.0, train.clip / norm)
        optimizer.step()
        metric = metrics[step + 1]
        assert metric.loss == pytest.approx(loss.item(), abs=2e-4)
        assert metric.lr == pytest.approx(lr, rel=1e-5)
        assert metric.grad_norm == pytest.approx(norm, rel=1e-3)
    for name, weight in weights(run).items():
        torch.testing.assert_close(weight, model.state_dict()[name], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("patience", [0.0, 60.0])
def test_interrupted_training_equals_uninterrupted(
    patience: float, straight: Run, tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps 0, 10 and 20 have an evaluation, so there the signal comes while it is made: it is broken off, or awaited.

    What was written after the last checkpoint is written anew.
    """
    monkeypatch.setattr("lab.training.training_loop.CANCEL_SECONDS", patience)
    broken = tiny_run()
    for stop in (0, 1, 7, 10, 13, 20, 21):
        status = train_here(broken, until=stop)
        assert (status.phase, status.step, status.message) == ("stopped", stop, "Ended by SIGTERM.")
        last = broken.last_metric()
        assert (last.step if last else -1) == (stop - 1 if stop % 10 == 0 and not patience else stop)
        if stop == 13:
            for path, lines in (
                (broken.metrics_path, b'{"step":14,"tokens":1,"epoch":0,"seconds":0}\n{"step":15,"tok'),
                (broken.samples_path, b'{"step":20,"prompt":"a","text":"b"}\n'),
                (broken.insights_path, b'{"step":20,"took":0.0}\n{"step":3'),
            ):
                with path.open("ab") as file:
                    file.write(lines)
            weights_file.save_snapshot(broken, GPT(broken.config.model), 25)
    assert train_here(broken).phase == "finished"
    assert same(broken.metrics().read()) == same(straight.metrics().read())
    assert broken.samples() == straight.samples()
    assert insights(broken) == insights(straight)
    assert [file.step for file in broken.snapshots()] == [file.step for file in straight.snapshots()]
    for which in ("last", "best", "6", "30"):
        assert_equal_weights(straight, broken, which)


def insights(run: Run) -> list[Insight]:
    """Without the time that each took, which depends on the machine."""
    return [replace(line, took=0.0) for line in LineReader(run.insights_path, Insight).read()]


def test_an_absurd_learning_rate_fails_in_words_and_spoils_no_checkpoint(tiny_run: TinyRun, train_here: TrainHere) -> None:
    run = tiny_run(warmup=0.0, precision="fp32")
    force_setattr(run.config.train, "lr", 1e25)  # more than a run may ask for
    status = train_here(run)
    assert status.phase == "failed"
    assert "The learning rate of 1e+25 is too high" in status.message
    assert "3 steps in a row" in status.message
    raw = run.metrics_path.read_text()
    assert "NaN" not in raw
    assert "Infinity" not in raw
    assert run.metrics().read()[-1].loss is None
    for file in run.checkpoints():
        assert all(bool(torch.isfinite(weight).all()) for weight in weights(run, file.name).values())


WRITES: dict[str, tuple[Any, str, type[Any]]] = {
    "write the metrics": (LineWriter, "write", Metric),
    "write the insights": (LineWriter, "write", Insight),
    "keep a snapshot": (weights_file, "save_snapshot", object),
    "keep the best weights": (weights_file, "save_best", object),
    "save a checkpoint": (checkpoint, "save_checkpoint", object),
}
"""What there may be no room for: the function, and the kind of its last argument."""


def full_now_and_then(write: Callable[..., Any], kind: type[Any], see: Callable[[], None]) -> Callable[..., Any]:
    """The function, which finds a full disk twice in its third call with a `kind`."""
    calls = 0

    def find_room(*arguments: Any) -> Any:
        nonlocal calls
        calls += isinstance(arguments[-1], kind)
        if isinstance(arguments[-1], kind) and calls in (3, 4):
            see()
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)

    return find_room


def test_a_full_disk_pauses_the_training_until_there_is_room(
    straight: Run, tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(minutes_of_steps=True)  # its clock stands still while metrics are written
    monkeypatch.setattr("lab.training.run_logs.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("lab.training.checkpoint_schedule.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("lab.training.checkpoint_schedule.SAVE_SHARE", 1e9)
    seen: dict[str, list[Status]] = {place: [] for place in WRITES}
    for place, (owner, name, kind) in WRITES.items():
        see = lambda place=place: seen[place].append(run.status())  # noqa: E731
        monkeypatch.setattr(owner, name, full_now_and_then(getattr(owner, name), kind, see))
    assert train_here(run).phase == "finished"
    for place, statuses in seen.items():
        assert [status.phase for status in statuses] == ["training", "paused"], place
        said = f"Paused because the disk is full: there is no room to {place}. The last checkpoint, of step"
        assert said in statuses[1].message
    kinds = [event.kind for event in run.events().read() if event.kind in ("pause", "resume")]
    assert kinds == ["pause", "resume"] * len(WRITES)
    assert_same_run(run, straight)


def test_another_fault_of_the_disk_is_one_sentence(train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(checkpoint, "save_checkpoint", broken)
    status = train_tiny().status()
    assert (status.phase, status.message) == ("failed", "Cannot save a checkpoint: input/output error.")


@pytest.mark.usefixtures("ticking_clock")
def test_a_run_by_minutes_ends_with_an_evaluation(train_tiny: TinyRun) -> None:
    run = train_tiny(steps=None, minutes=0.01)
    status = run.status()
    assert status.phase == "finished"
    assert 0.6 <= status.seconds < 0.65
    metrics = run.metrics().read()
    assert metrics[-1].val_loss is not None
    rates = [m.lr for m in metrics if m.lr]
    assert max(rates) == pytest.approx(run.config.train.lr, rel=0.02)
    assert rates[-1] == pytest.approx(0.1 * run.config.train.lr, rel=0.1)
    assert run.snapshots()[-1].step == status.step


def test_seeds_of_dropout_differ_and_fit_what_torch_takes() -> None:
    seeds = {dropout_seed(seed, step) for seed in range(5) for step in range(1000)}
    assert len(seeds) == 5000
    assert max(seeds) < 2**32


def test_a_tokenizer_that_cannot_be_used_is_one_sentence(
    tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it shows only while samples are written: then it must not pass for logits that are NaN."""
    run = tiny_run()
    run.tokenizer_path.write_text("{}")
    monkeypatch.setattr("lab.training.trainer.lower_priority_on_cpu", lambda run: None)
    assert train(run, StopSignals()) == 1
    status = run.status()
    assert status.phase == "failed"
    assert status.message.startswith(f"{run.tokenizer_path}: the tokenizer's file is damaged")
    assert capsys.readouterr().err == f"{status.message}\n"


def test_a_fault_of_the_tokenizer_while_samples_are_written_is_not_swallowed(
    train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise TokenizerError("7 is no token.")

    monkeypatch.setattr(Tokenizer, "decode", broken)
    with pytest.raises(TokenizerError, match=r"7 is no token\."):
        train_tiny(prompts=("The",))


def test_a_rank_that_is_lost_while_a_stop_saves_is_told(train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sharded optimizer's state needs all ranks."""

    def lose(saver: CheckpointSchedule) -> None:
        raise RankLostError("Rank 1 died.", can_save=False)

    monkeypatch.setattr(CheckpointSchedule, "save_silently", lose)
    monkeypatch.setattr(CheckpointSchedule, "is_due", lambda saver, step: False)
    run = train_tiny(steps=20, until=5)
    status = run.status()
    assert status.phase == "failed"
    assert status.message.startswith("Rank 1 died. ")
    assert status.message.endswith(f"`llmlab resume {run.name}` goes on.")


def test_discarding_what_a_lost_rank_leaves_unsaved_is_no_internal_error(
    train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(ranks: OneRank, step: int, micro_batches: int, lr: float) -> None:
        if step == 5:
            monkeypatch.setattr(CheckpointSchedule, "save_silently", discard)
            raise RankLostError("Rank 1 died.")

    def discard(saver: CheckpointSchedule) -> None:
        raise StopRequestedError("stop", save=False)

    monkeypatch.setattr(OneRank, "begin_step", lose)
    run = train_tiny(steps=20)
    assert run.status().phase == "failed"
    assert run.status().message == (f"Rank 1 died. The last checkpoint, of step 0, is whole. `llmlab resume {run.name}` goes on.")
