"""Evaluations during training against the whole validation part, token by token, in float64 and one window at a time."""

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from lab.data.token_file import TokenFile, token_dtype, token_lengths
from lab.runs.run_control import Command
from lab.runs.run_folder import Run
from lab.runs.run_schema import ValidationSegments
from lab.runs.weights_file import load_model
from lab.training import evaluation, training_loop
from lab.training.evaluation import Evaluator
from lab.training.model_insights import ModelInsights
from lab.training.training_loop import Training
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer
from tests.fixture_types import TinyRun, TrainHere
from tests.lab.training.compare_runs import assert_equal_weights

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def long_tale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text whose validation part becomes harder to predict towards its end, and is evaluated in few places."""
    monkeypatch.setattr("lab.data.train_val_split.EVALUATION_SEGMENTS", (4, 200))
    monkeypatch.setattr("lab.data.train_val_split.EDGE_WINDOW", 16)
    path = tmp_path / "long.txt"
    easy = "The big dog ran home. The cat sat.\n" * 1000
    hard = "".join(f"{at * 7919 % 10007} größere Hunde ßaßen {at * 31 % 977}.\n" for at in range(60))
    path.write_text(easy + hard)
    return path


def losses_of_tokens(run: Run, model: GPT) -> torch.Tensor:
    """-ln p of every token of the validation part, each in the window of the whole part that it lies in."""
    data, context = run.config.data, run.config.model.context
    ids = torch.from_numpy(np.fromfile(run.tokens_path, "<u2").astype(np.int64))
    model = model.double()
    found = []
    for start in range(data.split - 1, data.tokens - 1, context):
        window = ids[start : min(start + context, data.tokens - 1) + 1]
        with torch.no_grad():
            rows = model(window[None, :-1])[0].log_softmax(-1)
        found.append(-rows.gather(1, window[1:, None])[:, 0])
    return torch.cat(found)


def mean_loss(run: Run, segments: ValidationSegments | None, which: str = "last") -> tuple[float, float, int]:
    """Loss and bits per byte of these weights over the tokens of an evaluation, or over the whole part; the number of bytes."""
    data, losses = run.config.data, losses_of_tokens(run, load_model(run, which)[0])
    ids = np.fromfile(run.tokens_path, "<u2")
    spans = segments.tokens if segments else ((data.split, data.tokens),)
    places = np.concatenate([np.arange(*span) for span in spans])
    size = int(token_lengths(Tokenizer.load(run.tokenizer_path))[ids[places]].sum())
    losses = losses[places - data.split]
    return float(losses.mean()), float(losses.sum()) / math.log(2) / size, size


def evaluated(run: Run) -> list[tuple[int, float | None, float | None]]:
    return [(line.step, line.val_loss, line.bits_per_byte) for line in run.metrics().read() if line.val_loss is not None]


def test_an_evaluation_is_a_sample_of_the_whole_part_and_never_rounded(long_tale: Path, train_tiny: TinyRun) -> None:
    run = train_tiny(text=str(long_tale), steps=20, tokenizer="bpe", vocab=280, precision="bf16")
    status, data, last = run.status(), run.config.data, run.metrics().read()[-1]
    assert status.precision == "bf16"
    assert data.evaluated is not None
    tokens = sum(stop - start for start, stop in data.evaluated.tokens)
    assert tokens < (data.tokens - data.split) / 2
    loss, bits, size = mean_loss(run, data.evaluated)
    assert (last.val_loss, last.bits_per_byte) == pytest.approx((loss, bits), rel=2e-6)
    assert (status.eval_tokens, status.eval_bytes) == (tokens, size) == (tokens, data.evaluated.bytes)
    first = float(losses_of_tokens(run, load_model(run, "last")[0])[:tokens].mean())
    assert abs(loss - first) > 0.05 * first, "the beginning of the part would not do"


def test_evaluations_do_not_depend_on_how_often_they_are_made(long_tale: Path, train_tiny: TinyRun) -> None:
    often, seldom = (train_tiny(text=str(long_tale), steps=8, eval_every=every) for every in (2, 4))
    assert [line for line in evaluated(often) if line[0] in (0, 4, 8)] == evaluated(seldom)


def test_a_run_from_before_is_evaluated_on_what_it_was_then(long_tale: Path, tiny_run: TinyRun, train_here: TrainHere) -> None:
    """16 windows at least, from the start of the validation part, and three tenths of the tokens of the steps in between."""
    run = tiny_run(text=str(long_tale), steps=20, eval_every=10)
    config = run.path / "config.json"
    said = msgspec.json.decode(config.read_bytes())
    del said["data"]["evaluated"], said["data"]["final"]
    config.write_bytes(msgspec.json.encode(said))
    run = Run(run.path)
    tokens, tokenizer = TokenFile(run.tokens_path, token_dtype(256)), Tokenizer.load(run.tokenizer_path)
    assert Evaluator(run.config, tokens, token_lengths(tokenizer)).tokens == max(16 * 16, round(0.3 * 10 * 4 * 16) // 16 * 16)
    train_here(run, until=12)
    assert train_here(run).phase == "finished"
    losses = losses_of_tokens(run, load_model(run, "last")[0])
    assert run.metrics().read()[-1].val_loss == pytest.approx(float(losses[:256].mean()), rel=2e-6)


def test_the_last_and_the_best_weights_are_evaluated_on_the_whole_part_at_the_end(long_tale: Path, train_tiny: TinyRun) -> None:
    """The best are other weights: the learning rate is far too high for the later steps."""
    run = train_tiny(text=str(long_tale), tokenizer="bpe", vocab=280, steps=30, eval_every=5, lr=0.3, warmup=0.0)
    status, data = run.status(), run.config.data
    assert status.phase == "finished"
    assert status.best_step not in (None, 30)
    for found, which, step in ((status.final, "last", 30), (status.final_best, "best", status.best_step)):
        assert found is not None
        assert (found.step, found.tokens, found.bytes) == (step, data.tokens - data.split, data.val_bytes)
        loss, bits, size = mean_loss(run, None, which)
        assert (found.val_loss, found.bits_per_byte) == pytest.approx((loss, bits), rel=2e-6)
        assert size == data.val_bytes


def test_of_a_huge_validation_part_a_large_sample_is_evaluated(
    long_tale: Path, train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.data.train_val_split.FINAL_SEGMENTS", (8, 300))
    run = train_tiny(text=str(long_tale), steps=10)
    found, data = run.status().final, run.config.data
    assert found is not None
    assert data.final is not None
    assert found.bytes == data.final.bytes == pytest.approx(2400, abs=8 * 16)
    assert found.bytes < data.val_bytes
    assert found.val_loss == pytest.approx(mean_loss(run, data.final)[0], rel=2e-6)


def test_an_end_that_is_interrupted_is_evaluated_on_resuming(
    long_tale: Path, tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, stopped, killed = (tiny_run(text=str(long_tale), steps=10) for _ in range(3))
    final = train_here(straight).final
    assert final is not None
    status = train_here(stopped, until=10)
    assert (status.phase, status.step, status.final) == ("stopped", 10, None)
    with monkeypatch.context() as patch:
        patch.setattr(training_loop, "evaluate_final_weights", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train_here(killed)
    for broken in (stopped, killed):
        assert [line.step for line in broken.metrics().read()] == list(range(11))
        status = train_here(broken)
        assert (status.phase, status.final) == ("finished", final)
        assert evaluated(broken) == evaluated(straight)
        assert_equal_weights(broken, straight)


def test_commands_during_the_evaluation_at_the_end_do_not_change_it(
    long_tale: Path, tiny_run: TinyRun, train_here: TrainHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing a sample leaves a model in training mode, in which dropout would be at work."""
    straight, asked = (tiny_run(text=str(long_tale), steps=10, dropout=0.5) for _ in range(2))
    train_here(straight)
    handle = Training._handle_commands

    def serve(training: Training) -> None:
        if training.state.step == 10:
            training._handle(Command(name="sample", text="The"))
        handle(training)

    monkeypatch.setattr(Training, "_handle_commands", serve)
    assert train_here(asked).final == straight.status().final
    assert len(asked.samples()) > len(straight.samples())


def test_all_that_an_evaluation_measures_is_in_fp32(train_tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the insights and the samples, which the user's command asks for, too; steps may multiply in TF32."""
    seen: set[tuple[str, str]] = set()

    def note(owner: object, name: str) -> None:
        plain = getattr(owner, name)

        def noting(*arguments: Any) -> Any:
            is_step = name == "loss" and arguments[0].training
            seen.add(("step" if is_step else name, torch.get_float32_matmul_precision()))
            return plain(*arguments)

        monkeypatch.setattr(owner, name, noting)

    note(GPT, "loss")
    note(ModelInsights, "measure")
    note(evaluation, "generate")
    assert train_tiny(steps=2, eval_every=1).phase() == "finished"
    assert seen == {("step", "high"), ("loss", "highest"), ("measure", "highest"), ("generate", "highest")}
