"""Weight changes of a step that is yet to be taken."""

import pytest
import torch
from msgspec.structs import force_setattr

from lab.one_step.weight_changes import largest_indices
from lab.runs.run_folder import Run
from models.unembed import finish
from tests.lab.one_step.taken_steps import assert_same, at_sentence, everything


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


@pytest.mark.parametrize("shape", [(300,), (40, 7), (3, 50), (2, 2)])
def test_the_largest_indices_are_those_of_sorting_all(shape: tuple[int, ...]) -> None:
    values = torch.empty(shape).normal_(generator=torch.Generator().manual_seed(1))
    expected = values.abs().flatten().topk(min(16, values.numel())).values.tolist()
    assert [abs(float(values[place])) for place in largest_indices(values, 16)] == expected
