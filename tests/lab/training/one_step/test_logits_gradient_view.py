"""The gradient at the logits, p − one-hot, held to autograd and to Inspect's probabilities."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from lab.runs.run_folder import Run
from lab.views.blocks import Table
from models.tokenizers.tokenizer import Tokenizer
from models.trace import Trace
from tests.lab.training.one_step.taken_steps import SENTENCE, StepAsker, at_sentence, loss_in_doubles


def test_a_step_in_bf16_is_shown_from_a_forward_pass_in_fp32_and_agrees_with_inspect(in_bf16: Run) -> None:
    ask = StepAsker(in_bf16)
    for applied in (0, 1):
        step = at_sentence(in_bf16)
        step.go_to(applied)
        own = Trace(step.model, step.batch.ids[0].tolist())["logits"].double().softmax(-1)  # (T, V)
        after = ask(text=SENTENCE, position=3, applied=applied, stage="logits_gradient")
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
    said = str(ask(text=SENTENCE).view.blocks)
    assert "bf16 on the CPU" in said
    loss = loss_in_doubles(at_sentence(in_bf16))
    assert f"shown is fp32: {loss:.4f}" in said


def test_what_one_prediction_pulls_is_told_from_what_the_whole_batch_did(trained: Run) -> None:
    ask = StepAsker(trained)
    said = ask(text=SENTENCE, stage="logits_gradient", position=3).view.sentence
    assert "this prediction pulls the logit of “␣” up" in said
    assert "only one of the 14 predictions of the step" in said
    assert "raises" not in said
    after = ask(text=SENTENCE, stage="logits_gradient", position=3, applied=1)
    step = at_sentence(trained)
    step.go_to(0)
    target = int(step.batch.targets[0, 2])
    ids = torch.from_numpy(step.batch.ids)
    before = float(step.model.eval()(ids)[0, 2, target])
    step.go_to(1)
    now = float(step.model.eval()(ids)[0, 2, target])
    done = "raised" if now > before else "lowered"
    expected = f"Step 1, of all predictions together, {done} the logit of “␣” by "
    assert expected in after.view.sentence
    assert f"from {before:.3f} to {now:.3f}.".replace("-", "−") in after.view.sentence


def test_p_minus_one_hot_is_the_gradient_at_the_logits(trained: Run) -> None:
    ask = StepAsker(trained)
    answer = ask(text=SENTENCE, stage="logits_gradient", position=3)
    step = at_sentence(trained)
    step.go_to(0)
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
