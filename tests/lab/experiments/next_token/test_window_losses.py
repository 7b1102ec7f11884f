"""Targets and losses of windows, against the model's probabilities and ln V."""

import math

import torch

from tests.lab.experiments.conftest import MakeTextRun, Measure


def test_the_mean_is_that_of_the_model_s_probabilities(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    result = measure("window_losses", tiny, inputs={"window": "3"})
    table = result.view.blocks[0]
    targets = [row[1].text for row in table.rows]  # type: ignore[union-attr]
    reads = [row[0].text.split(" ", 1)[1] if row[0].text[0] != " " else row[0].text[3:] for row in table.rows]  # type: ignore[union-attr]
    assert targets[:-1] == reads[1:], "each target is what the next row reads"
    values = [row[3].value for row in table.rows]  # type: ignore[union-attr]
    assert math.isclose(sum(values) / len(values), float(result.measures["mean"]), rel_tol=1e-9)
    assert result.measures["uniform"] == math.log(tiny.model.config.vocab_size)
    assert len(values) == result.measures["targets"] == 16


def test_a_model_of_equal_logits_is_surprised_by_ln_v(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    with torch.no_grad():
        tiny.model.ln_f.weight.zero_()
        tiny.model.ln_f.bias.zero_()
    found = measure("window_losses", tiny).measures
    assert math.isclose(float(found["mean"]), float(found["uniform"]), rel_tol=1e-6)
