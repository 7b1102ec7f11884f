"""Undo of training steps, bit for bit, and steps that are given up halfway."""

import pytest

from lab.runs.run_folder import Run
from models.unembed import finish
from tests.lab.one_step.taken_steps import assert_same, at_sentence, everything


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
