"""Weight changes of a step that is yet to be taken, and undo of those taken, bit for bit."""

import pytest
import torch
from msgspec.structs import force_setattr

from lab.runs.run_folder import Run
from lab.training.one_step.weight_changes import largest_indices
from models.check import checked_by
from tests.given_up import given_up_at
from tests.lab.training.one_step.taken_steps import assert_same, at_sentence, everything


@pytest.mark.parametrize("room", [0, 1 << 29])
def test_undo_restores_every_weight_and_the_optimizer_bit_for_bit(
    trained: Run, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr("lab.training.one_step.training_step.UNDO_BYTES", room)
    step = at_sentence(trained)
    states, losses = [], []
    for applied in range(5):
        step.go_to(applied)
        states.append(everything(step))
        losses.append(step.current.loss)
    assert losses == sorted(losses, reverse=True)
    for applied in (3, 4, 1, 2, 0):
        step.go_to(applied)
        assert_same(everything(step), states[applied])
        assert [snapshot.loss for snapshot in step.snapshots] == losses[: applied + 1]
    held = sum(snapshot.undo is not None for snapshot in step.snapshots)
    assert held == 0


def test_with_little_room_only_the_state_of_the_start_is_held(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.training.one_step.training_step.UNDO_BYTES", 0)
    step = at_sentence(trained)
    step.go_to(4)
    assert [snapshot.undo is not None for snapshot in step.snapshots] == [True, False, False, False, False]
    assert [snapshot.hidden is not None for snapshot in step.snapshots] == [True, False, False, True, True]
    assert step.snapshots[0].undo is not None
    weights = sum(weight.numel() for weight in step.model.parameters()) * 4
    state = sum(value.numel() * 4 for kept in step.optimizer.state.values() for value in kept.values())
    assert step.bytes_held() == 2 * weights + state + weights + state  # with gradients; then the start's


def test_work_that_is_given_up_halfway_leaves_nothing_behind(trained: Run) -> None:
    step = at_sentence(trained)
    step.go_to(0)
    before = everything(step)
    with given_up_at(4):
        step.go_to(3)
    assert step.applied == 0
    assert_same(everything(step), before)
    step.go_to(2)
    other = at_sentence(trained)
    other.go_to(2)
    assert_same(everything(step), everything(other))


def test_looking_ahead_changes_nothing_and_is_what_the_step_then_does(trained: Run) -> None:
    step = at_sentence(trained)
    step.go_to(0)
    before = everything(step)
    gradients = torch.cat([weight.grad.flatten() for weight in step.model.parameters() if weight.grad is not None])
    step.preview()
    assert_same(everything(step), before)
    moves = step.changes
    step.go_to(1)
    after = dict(step.model.named_parameters())
    steps = torch.cat([(after[name] - before[name]).flatten() for name in after])
    assert moves.changed == int(steps.count_nonzero())
    assert moves.against == int(((steps * gradients.sign()) < 0).sum())
    assert moves.at_least_half == int((steps.abs() >= 0.5 * step.snapshots[0].lr).sum())
    assert moves.squared**0.5 == pytest.approx(float(steps.double().norm()), rel=1e-5)
    found = sorted((abs(each.after - each.before) for each in moves.largest), reverse=True)
    assert found == pytest.approx(steps.abs().topk(len(found)).values.tolist(), rel=1e-6)
    for each in moves.largest:
        assert float(before[each.name][each.index]) == each.before
        assert float(after[each.name][each.index]) == each.after


def test_the_first_order_prediction_is_the_loss_along_a_step_that_is_short(trained: Run) -> None:
    step = at_sentence(trained)
    force_setattr(step.run.config.train, "lr", 1e-5)
    step.go_to(1)
    predicted = step.snapshots[0].predicted
    assert predicted is not None
    assert predicted < 0
    assert step.snapshots[1].loss - step.snapshots[0].loss == pytest.approx(predicted, rel=0.02)


def test_looking_ahead_goes_on_where_it_was_given_up(trained: Run) -> None:
    step, other = at_sentence(trained), at_sentence(trained)
    step.go_to(0)
    weights = len(list(step.parameters))
    for _ in range(3):
        with given_up_at(weights // 3):
            step.preview()
    assert step.found_changes is None
    checks: list[None] = []
    with checked_by(lambda: checks.append(None)):
        step.preview()
    assert len(checks) == weights - 3 * (weights // 3)
    other.go_to(0)
    other.preview()
    assert step.changes == other.changes


@pytest.mark.parametrize("shape", [(300,), (40, 7), (3, 50), (2, 2)])
def test_the_largest_indices_are_those_of_sorting_all(shape: tuple[int, ...]) -> None:
    values = torch.empty(shape).normal_(generator=torch.Generator().manual_seed(1))
    expected = values.abs().flatten().topk(min(16, values.numel())).values.tolist()
    assert [abs(float(values[place])) for place in largest_indices(values, 16)] == expected
