"""One training step under the microscope, held to the trainer, to autograd, to finite differences and to torch's optimizer."""

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import force_setattr
from torch.nn.functional import cross_entropy

from lab.core.errors import UserError
from lab.engine.method_registry import OneStepParams
from lab.engine.one_step_methods import OneStepMethods
from lab.one_step.adamw_update import AdamW
from lab.one_step.batch import own_batch, sentence_batch
from lab.one_step.open_checkpoint import OpenCheckpoint, open_checkpoint
from lab.one_step.step_stages import STAGES, StepAnswer
from lab.one_step.training_step import TrainingStep
from lab.one_step.weight_changes import largest_indices
from lab.runs.run_folder import Run
from lab.runs.run_schema import Status
from lab.runs.weights_file import load_model
from lab.training.gradient_accumulation import dropout_seed
from lab.training.run_length import RunLength
from lab.training.training_clock import Clock, Throughput
from lab.views.blocks import Table
from models.gpt import GPT
from models.tokenizers.tokenizer import Tokenizer
from models.trace import Trace
from models.unembed import finish

TinyRun = Callable[..., Run]
TrainHere = Callable[..., Status]
SENTENCE = "The big dog met"


@pytest.fixture(autouse=True)
def _one_core_without_gradients() -> Iterator[None]:
    """As in the engine, where gradients are off unless they are asked for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def trained(tiny_run: TinyRun, train_here: TrainHere) -> Run:
    """A run that was stopped after 12 of its 30 steps."""
    run = tiny_run(optimizer="adamw", precision="fp32")
    with torch.enable_grad():
        train_here(run, until=12)
    return run


def at_next_batch(run: Run) -> TrainingStep:
    checkpoint = open_checkpoint(run)
    parts = checkpoint.state.micro_batches or run.config.train.accumulate
    return TrainingStep(checkpoint, own_batch(run, checkpoint.state.step, parts))


def at_sentence(run: Run, text: str = SENTENCE) -> TrainingStep:
    batch = sentence_batch(Tokenizer.load(run.tokenizer_path), text, run.config.model.context)
    return TrainingStep(open_checkpoint(run), batch)


def everything(step: TrainingStep | OpenCheckpoint) -> dict[str, torch.Tensor]:
    """Copies of all weights and of the whole optimizer state."""
    found = {name: weight.detach().clone() for name, weight in step.model.named_parameters()}
    for name, weight in step.model.named_parameters():
        for key, value in step.optimizer.state.get(weight, {}).items():
            found[f"{key} of {name}"] = value.clone()
    return found


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize(
    "settings", [{}, {"optimizer": "adamw"}, {"accumulate": 2}, {"precision": "bf16"}, {"clip": 0.1}, {"schedule": "wsd"}]
)
def test_the_step_is_the_trainers_own_bit_for_bit(tiny_run: TinyRun, train_here: TrainHere, settings: dict[str, object]) -> None:
    run = tiny_run(**settings)
    with torch.enable_grad():
        train_here(run, until=12)
    step = at_next_batch(run)
    assert (step.checkpoint.name, step.state.step, step.checkpoint.has_fresh_optimizer) == ("last", 12, False)
    finish(step.go_to(1))
    with torch.enable_grad():
        train_here(run, until=13)
    metric = run.metrics().read()[-1]
    assert metric.step == 13
    assert step.snapshots[0].loss == pytest.approx(metric.loss, abs=6e-6)
    assert step.snapshots[0].lr == pytest.approx(metric.lr, rel=1e-5)
    trainers = open_checkpoint(run)
    assert trainers.state.step == 13
    assert_same(everything(step), everything(trainers))
    assert_same(dict(trainers.model.named_parameters()), load_model(run, "last")[0].state_dict())


def test_the_mean_of_the_tokens_losses_is_the_batchs_and_the_norms_add_up_to_the_clipped_one(trained: Run) -> None:
    step = at_next_batch(trained)
    finish(step.go_to(0))
    assert float(step.current.losses.double().mean()) == pytest.approx(step.current.loss, rel=1e-6)
    squares = sum(norm**2 for norm in step.gradients.norms.values())
    assert math.sqrt(squares) == pytest.approx(step.gradients.total, rel=1e-6)
    clipped = math.sqrt(sum(float(w.grad.norm()) ** 2 for w in step.model.parameters() if w.grad is not None))
    assert clipped == pytest.approx(step.gradients.total * step.gradients.factor, rel=1e-5)


def in_doubles(run: Run) -> TrainingStep:
    step = at_sentence(run)
    step.model.double()
    force_setattr(step.run.config.train, "clip", 1e9)
    finish(step.go_to(0))
    return step


def loss_in_doubles(step: TrainingStep) -> float:
    """By torch's own cross entropy of the whole logits, not by the trainer's."""
    logits = step.model.eval()(torch.from_numpy(step.batch.ids)).flatten(0, 1)
    return float(cross_entropy(logits, torch.from_numpy(step.batch.targets).flatten()))


def test_gradients_are_autograds_and_those_of_central_differences(trained: Run) -> None:
    step = in_doubles(trained)
    assert step.current.loss == pytest.approx(loss_in_doubles(step), rel=1e-12)
    independent = GPT(trained.config.model, seed=None).double().eval()
    independent.load_state_dict(step.model.state_dict())
    with torch.enable_grad():
        logits = independent(torch.from_numpy(step.batch.ids)).flatten(0, 1)
        cross_entropy(logits, torch.from_numpy(step.batch.targets).flatten()).backward()  # type: ignore[no-untyped-call]
    random = np.random.default_rng(0)
    for name, weight in step.model.named_parameters():
        expected, own = independent.get_parameter(name).grad, weight.grad
        assert expected is not None
        assert own is not None
        assert torch.allclose(own, expected, rtol=1e-10, atol=1e-14), name
        assert step.gradients.norms[name] == pytest.approx(float(expected.norm()), rel=1e-10)
        flat, epsilon = weight.view(-1), 1e-5
        for at in random.integers(0, flat.numel(), 4).tolist():
            kept = float(flat[at])
            sides = []
            for side in (1, -1):
                flat[at] = kept + side * epsilon
                sides.append(loss_in_doubles(step))
            flat[at] = kept
            assert float(own.view(-1)[at]) == pytest.approx((sides[0] - sides[1]) / (2 * epsilon), rel=1e-5, abs=1e-9), name


@pytest.fixture
def in_bf16(tiny_run: TinyRun, train_here: TrainHere) -> Run:
    run = tiny_run(precision="bf16", accumulate=2)
    with torch.enable_grad():
        train_here(run, until=12)
    return run


def test_a_step_in_bf16_is_shown_from_a_forward_pass_in_fp32_and_agrees_with_inspect(in_bf16: Run) -> None:
    methods = OneStepMethods()
    for applied in (0, 1):
        step = at_sentence(in_bf16)
        finish(step.go_to(applied))
        own = Trace(step.model, step.batch.ids[0].tolist())["logits"].double().softmax(-1)  # (T, V)
        after = finish(
            methods.one_step(
                OneStepParams(run=str(in_bf16.path), text=SENTENCE, position=3, applied=applied, stage="logits_gradient")
            )
        )
        assert after.view.parity is not None
        assert after.view.parity.max_delta < 1e-6
        table = after.view.blocks[0]
        assert isinstance(table, Table)
        shown = [row[1].value or 0.0 for row in table.rows[:-1]]
        assert shown[0] == pytest.approx(float(own[2].max()), rel=1e-5)
        assert all(float((own[2] - p).abs().min()) < 1e-6 for p in shown)
        p = [token.probability for token in after.tokens[1:]]
        assert p == pytest.approx([float(own[place, id_]) for place, id_ in enumerate(step.batch.targets[0])], rel=1e-5)
        assert after.facts.losses[-1] == pytest.approx(loss_in_doubles(step), rel=1e-5)
    said = str(finish(methods.one_step(OneStepParams(run=str(in_bf16.path), text=SENTENCE))).view.blocks)
    assert "The step is computed in bf16 on the CPU" in said
    assert "forward pass in fp32" in said


def test_the_pass_in_fp32_has_the_dropout_masks_of_the_step(in_bf16: Run) -> None:
    step = at_next_batch(in_bf16)
    finish(step.go_to(0))
    assert step.batch.step is not None
    torch.manual_seed(dropout_seed(in_bf16.config.train.seed, step.batch.step))
    step.model.train()
    halves = [torch.from_numpy(ids).tensor_split(2) for ids in (step.batch.ids, step.batch.targets)]
    losses = [float(step.model.loss(ids, targets)) for ids, targets in zip(*halves, strict=True)]
    assert step.current.mean == pytest.approx(sum(losses) / 2, rel=1e-6)
    assert step.current.mean != step.current.loss
    assert step.current.mean == pytest.approx(step.current.loss, rel=0.01)
    view = finish(OneStepMethods().one_step(OneStepParams(run=str(in_bf16.path), stage="logits_gradient"))).view
    assert view.parity is None
    assert "With dropout off, as in Inspect" in str(view.blocks[-1])


def test_what_one_prediction_pulls_is_told_from_what_the_whole_batch_did(trained: Run) -> None:
    methods = OneStepMethods()
    said = finish(
        methods.one_step(OneStepParams(run=str(trained.path), text=SENTENCE, stage="logits_gradient", position=3))
    ).view.sentence
    assert "this prediction pulls the logit of “␣” up" in said
    assert "only one of the 14 predictions of the step" in said
    assert "raises" not in said
    after = finish(
        methods.one_step(OneStepParams(run=str(trained.path), text=SENTENCE, stage="logits_gradient", position=3, applied=1))
    )
    step = at_sentence(trained)
    finish(step.go_to(0))
    target = int(step.batch.targets[0, 2])
    ids = torch.from_numpy(step.batch.ids)
    before = float(step.model.eval()(ids)[0, 2, target])
    finish(step.go_to(1))
    now = float(step.model.eval()(ids)[0, 2, target])
    done = "raised" if now > before else "lowered"
    expected = f"Step 1, of all predictions together, {done} the logit of “␣” by "
    assert expected in after.view.sentence
    assert f"from {before:.3f} to {now:.3f}.".replace("-", "−") in after.view.sentence


def test_the_lr_of_a_run_by_minutes_is_the_trainers(tiny_run: TinyRun, train_here: TrainHere) -> None:
    run = tiny_run(steps=None, minutes=5.0)
    with torch.enable_grad():
        train_here(run, until=3)
    step = at_sentence(run)
    assert 0 < step.state.step_seconds < 5
    step.state.seconds, step.state.step_seconds = 100.0, 20.0
    clock, speed = Clock(100.0), Throughput(20.0)
    clock.stop()
    first = RunLength(run.config.train, step.state, clock, speed).lr
    assert step.lr == pytest.approx(first, rel=1e-4)
    step.applied = 2
    assert step.lr == pytest.approx(RunLength(run.config.train, step.state, Clock(140.0), speed).lr, rel=1e-3)
    assert step.lr < first


def test_p_minus_one_hot_is_the_gradient_at_the_logits(trained: Run) -> None:
    methods = OneStepMethods()
    answer = finish(methods.one_step(OneStepParams(run=str(trained.path), text=SENTENCE, stage="logits_gradient", position=3)))
    step = at_sentence(trained)
    finish(step.go_to(0))
    assert step.current.hidden is not None
    with torch.enable_grad():
        logits = step.logits_of(step.current.hidden, step.head_at(0)).double().detach().requires_grad_()
        cross_entropy(logits, torch.from_numpy(step.batch.targets).flatten()).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    expected = logits.grad[2]
    table = answer.view.blocks[0]
    assert isinstance(table, Table)
    tokenizer = Tokenizer.load(trained.tokenizer_path)
    target = int(step.batch.targets[0, 2])
    by_label = {row[0].text: row for row in table.rows}
    row = by_label[tokenizer.label(target)]
    assert row[4].value == pytest.approx(float(expected[target]), rel=1e-6)
    assert row[3].value == pytest.approx(float(expected[target]) * step.batch.predictions, rel=1e-6)
    for id_ in expected.topk(3).indices.tolist():
        assert by_label[tokenizer.label(id_)][4].value == pytest.approx(float(expected[id_]), rel=1e-6)
    assert sum(row[3].value or 0.0 for row in table.rows) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("room", [0, 1 << 29])
def test_undo_restores_every_weight_and_the_optimizer_bit_for_bit(
    trained: Run, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr("lab.one_step.training_step.UNDO_BYTES", room)
    step = at_sentence(trained)
    states, losses = [], []
    for applied in range(5):
        finish(step.go_to(applied))
        states.append(everything(step))
        losses.append(step.current.loss)
    assert losses == sorted(losses, reverse=True)
    for applied in (3, 4, 1, 2, 0):
        finish(step.go_to(applied))
        assert_same(everything(step), states[applied])
        assert [snapshot.loss for snapshot in step.snapshots] == losses[: applied + 1]
    held = sum(snapshot.undo is not None for snapshot in step.snapshots)
    assert held == 0


def test_with_little_room_only_the_state_of_the_start_is_held(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.one_step.training_step.UNDO_BYTES", 0)
    step = at_sentence(trained)
    finish(step.go_to(4))
    assert [snapshot.undo is not None for snapshot in step.snapshots] == [True, False, False, False, False]
    assert [snapshot.hidden is not None for snapshot in step.snapshots] == [True, False, False, True, True]
    assert step.snapshots[0].undo is not None
    weights = sum(weight.numel() for weight in step.model.parameters()) * 4
    state = sum(value.numel() * 4 for kept in step.optimizer.state.values() for value in kept.values())
    assert step.bytes_held() == 2 * weights + state + weights + state  # with gradients; then the start's


def test_looking_ahead_changes_nothing_and_is_what_the_step_then_does(trained: Run) -> None:
    step = at_sentence(trained)
    finish(step.go_to(0))
    before = everything(step)
    gradients = torch.cat([weight.grad.flatten() for weight in step.model.parameters() if weight.grad is not None])
    finish(step.preview())
    assert_same(everything(step), before)
    moves = step.changes
    finish(step.go_to(1))
    after = dict(step.model.named_parameters())
    steps = torch.cat([(after[name] - before[name]).flatten() for name in after])
    assert moves.changed == int(steps.count_nonzero())
    assert moves.against == int(((steps * gradients.sign()) < 0).sum())
    assert moves.at_least_half == int((steps.abs() >= 0.5 * step.snapshots[0].lr).sum())
    assert moves.step_norm == pytest.approx(float(steps.double().norm()), rel=1e-5)
    found = sorted((abs(each.after - each.before) for each in moves.largest), reverse=True)
    assert found == pytest.approx(steps.abs().topk(len(found)).values.tolist(), rel=1e-6)
    for each in moves.largest:
        assert float(before[each.name][each.index]) == each.before
        assert float(after[each.name][each.index]) == each.after


def test_the_first_order_prediction_is_the_loss_along_a_step_that_is_short(trained: Run) -> None:
    step = at_sentence(trained)
    force_setattr(step.run.config.train, "lr", 1e-5)
    finish(step.go_to(1))
    predicted = step.snapshots[0].predicted
    assert predicted is not None
    assert predicted < 0
    assert step.snapshots[1].loss - step.snapshots[0].loss == pytest.approx(predicted, rel=0.02)


def test_the_formula_of_adamw_is_torchs() -> None:
    weight = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    m = v = 0.0
    for step, gradient in enumerate((0.3, -0.02, 1e-9, 4.0), 1):
        terms = AdamW(float(weight), gradient, m, v, step, 3e-3, 0.9, 0.95, 1e-8, 0.1)
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        assert terms.after == pytest.approx(float(weight), rel=1e-12)
        m, v = terms.new_m, terms.new_v
        assert m == pytest.approx(float(optimizer.state[weight]["exp_avg"]), rel=1e-12)
        assert v == pytest.approx(float(optimizer.state[weight]["exp_avg_sq"]), rel=1e-12)


def test_the_run_on_disk_is_only_read_and_a_damaged_checkpoint_left_where_it_is(trained: Run) -> None:
    last = trained.path / "last.safetensors"
    damaged = bytearray(last.read_bytes())
    damaged[-5] ^= 1
    last.write_bytes(damaged)

    def files() -> dict[Path, str]:
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in trained.path.rglob("*") if path.is_file()}

    before = files()
    answer = finish(OneStepMethods().one_step(OneStepParams(run=str(trained.path), applied=2, stage="after")))
    assert files() == before
    assert answer.facts.checkpoint == "previous"
    assert answer.facts.applied == 2


def test_a_run_without_optimizer_state_begins_anew_and_says_so(trained: Run) -> None:
    for name in ("last", "previous"):
        (trained.path / f"{name}.safetensors").unlink()
    methods = OneStepMethods()
    answer = finish(methods.one_step(OneStepParams(run=str(trained.path))))
    assert (answer.facts.checkpoint, answer.facts.step) == ("best", 10)
    assert "optimizer starts fresh" in str(answer.view.blocks[-1])
    moved = finish(methods.one_step(OneStepParams(run=str(trained.path), stage="changes")))
    assert "Adam's first step is g ÷ (|g| + 1e−8) times the learning rate" in str(moved.view.blocks[-1])
    best = load_model(trained, "best")[0].state_dict()
    step = open_checkpoint(trained)
    assert all(torch.equal(best[name], weight) for name, weight in step.model.state_dict().items())


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("applied", [0, 2])
def test_every_stage_is_answered_and_again_by_an_engine_that_was_just_started(trained: Run, stage: str, applied: int) -> None:
    params = OneStepParams(run=str(trained.path), stage=stage, applied=applied, window=1, position=4)
    methods = OneStepMethods()
    for before in ("batch", "changes", "after"):
        finish(methods.one_step(OneStepParams(run=str(trained.path), stage=before)))
    answer = finish(methods.one_step(params))
    assert isinstance(answer, StepAnswer)
    assert (answer.view.stage, answer.window, answer.position, answer.facts.applied) == (stage, 1, 4, applied)
    assert answer.view.parity is None or answer.view.parity.max_delta < 1e-6
    again = finish(OneStepMethods().one_step(params))
    assert again.facts == answer.facts
    assert again.view == answer.view or stage in ("batch", "weight")  # those say what is held, and m, v in full


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_weight_that_follows_muon_is_written_out_in_its_terms(tiny_run: TinyRun, train_here: TrainHere, precision: str) -> None:
    run = tiny_run(optimizer="muon", precision=precision)
    with torch.enable_grad():
        train_here(run, until=12)
    methods = OneStepMethods()
    weights = ("h.0.attn.c_attn.weight[35,2]", "h.0.mlp.c_fc.weight[40,3]", "h.0.mlp.c_proj.weight[3,40]", "wte.weight[84,1]")
    for weight in weights:
        for applied in (0, 1):
            view = finish(methods.one_step(OneStepParams(run=str(run.path), stage="weight", weight=weight, applied=applied))).view
            assert view.parity is not None
            assert view.parity.max_delta < 1e-6
            assert ("Newton" in str(view.blocks)) == weight.startswith("h.")
            assert ("m̂" in str(view.blocks)) == weight.startswith("wte")


class Plain(torch.optim.SGD):
    """An optimizer that the lab does not know."""


def test_a_weight_that_follows_another_rule_is_shown_without_its_terms(trained: Run) -> None:
    step = at_sentence(trained)
    step.checkpoint.optimizer = Plain(step.model.parameters(), 1e-3)
    methods = OneStepMethods()
    finish(methods.one_step(OneStepParams(run=str(trained.path), text=SENTENCE)))
    assert methods._held is not None
    methods._held.step = step
    view = finish(
        methods.one_step(OneStepParams(run=str(trained.path), text=SENTENCE, stage="weight", weight="wte.weight[84,1]"))
    ).view
    assert "follows Plain" in str(view.blocks)
    assert view.parity is None
    table = view.blocks[0]
    assert isinstance(table, Table)
    before, gradient, moved = (row[1].value or 0.0 for row in table.rows)
    assert table.total is not None
    assert moved == pytest.approx(-step.lr * gradient, rel=1e-3)
    assert table.total[1].value == pytest.approx(before + moved, rel=1e-6)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"text": ""}, "The sentence is empty"),
        ({"text": "a"}, "is one token, so nothing is predicted"),
        ({"batch_offset": -13}, "There is no earlier batch"),
        ({"stage": "weight", "weight": "wte.weight[999,0]"}, "There is no weight called"),
        ({"stage": "weight", "weight": "nothing[1]"}, "There is no weight called"),
        ({"stage": "no"}, "There is no stage called no"),
    ],
)
def test_mistakes_are_one_sentence_and_what_was_before_goes_on(trained: Run, params: dict[str, object], words: str) -> None:
    methods = OneStepMethods()
    good = OneStepParams(run=str(trained.path), applied=2, stage="losses")
    before = finish(methods.one_step(good))
    with pytest.raises(UserError, match=words):
        finish(methods.one_step(OneStepParams(run=str(trained.path), **params)))  # type: ignore[arg-type]
    assert finish(methods.one_step(good)) == before


def test_a_long_sentence_is_cut_to_the_context_and_says_so(trained: Run) -> None:
    answer = finish(OneStepMethods().one_step(OneStepParams(run=str(trained.path), text="abcdefghij" * 2)))
    assert len(answer.tokens) == 17  # a context of 16, and the token that its last predicts
    assert "last 3 tokens do not fit" in answer.view.sentence


def test_weights_that_diverged_are_told_in_a_sentence(trained: Run) -> None:
    step = at_sentence(trained)
    step.model.ln_f.weight[0] = math.nan
    with pytest.raises(UserError, match="NaN or inf"):
        finish(step.go_to(0))


def test_work_that_is_given_up_halfway_leaves_nothing_behind(trained: Run) -> None:
    step = at_sentence(trained)
    finish(step.go_to(0))
    before = everything(step)
    work = step.go_to(3)
    for _ in range(4):
        next(work)
    work.close()
    assert step.applied == 0
    assert_same(everything(step), before)
    finish(step.go_to(2))
    other = at_sentence(trained)
    finish(other.go_to(2))
    assert_same(everything(step), everything(other))


def test_looking_ahead_goes_on_where_it_was_given_up(trained: Run) -> None:
    step, other = at_sentence(trained), at_sentence(trained)
    finish(step.go_to(0))
    slices = len(list(step.parameters))
    for _ in range(3):
        begun = step.preview()
        for _ in range(slices // 3):
            next(begun)
        begun.close()
    assert step.found_changes is None
    assert len(list(step.preview())) <= slices - 3 * (slices // 3) + 1
    finish(other.go_to(0))
    finish(other.preview())
    assert step.changes == other.changes


def test_a_run_that_has_trained_on_is_said_to_have_and_read_again_when_asked(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = OneStepMethods()
    before = finish(methods.one_step(OneStepParams(run=str(trained.path))))
    assert "trained on" not in str(before.view)
    monkeypatch.setattr(Run, "phase", lambda run: "training")
    monkeypatch.setattr(Run, "status", lambda run: Status(phase="training", step=25))
    view = finish(methods.one_step(OneStepParams(run=str(trained.path)))).view
    assert "The run has trained on since, to step 25; r reads the newest checkpoint." in str(view.blocks)
    (trained.path / "last.safetensors").unlink()
    assert finish(methods.one_step(OneStepParams(run=str(trained.path)))).facts == before.facts
    assert finish(methods.one_step(OneStepParams(run=str(trained.path), opened=1))).facts.checkpoint == "previous"


@pytest.mark.parametrize("shape", [(300,), (40, 7), (3, 50), (2, 2)])
def test_the_largest_indices_are_those_of_sorting_all(shape: tuple[int, ...]) -> None:
    values = torch.empty(shape).normal_(generator=torch.Generator().manual_seed(1))
    expected = values.abs().flatten().topk(min(16, values.numel())).values.tolist()
    assert [abs(float(values[place])) for place in largest_indices(values, 16)] == expected


def test_a_batch_that_takes_too_long_is_cut_and_the_view_says_so(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = own_batch(trained, 12, 1)
    monkeypatch.setattr("lab.one_step.batch.MOST_FLOPS", 2.5 * 6 * 7664 * 16)  # 2.5 windows of 16 tokens through 7,664 weights
    cut = own_batch(trained, 12, 1)
    assert np.array_equal(cut.ids, whole.ids[:2])
    assert cut.left_out == 2
    answer = finish(OneStepMethods().one_step(OneStepParams(run=str(trained.path))))
    assert answer.facts.windows == 2
    assert "2 more windows of the batch are left out" in answer.view.sentence
