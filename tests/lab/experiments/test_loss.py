"""Losses against the model's own probabilities, and gradient descent against torch's own optimizer and where it diverges."""

import math

import pytest
import torch

from lab.experiments.experiment_registry import EXPERIMENTS
from lab.lessons.conditions import parse_experiment_guess
from lab.lessons.lesson import lessons
from models.gpt import GPT
from tests.lab.experiments.conftest import MakeTextRun, Measure, rows, windows, with_text


def test_the_mean_is_that_of_the_model_s_probabilities(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    result = measure("window_losses", tiny, inputs={"window": "3"})
    reads = [row[0].text.lstrip().split(" ", 1)[1] for row in rows(result)]
    assert [row[1].text for row in rows(result)][:-1] == reads[1:], "each target is what the next row reads"
    values = [row[3].value or 0.0 for row in rows(result)]
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


def test_the_losses_are_those_of_torch_s_gradient_descent(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run(context=6)
    result = measure("gradient_descent", tiny, inputs={"rate": "0.5"})
    assert result.measures["part"] == "training text"
    read = torch.from_numpy(windows(tiny, "training text", int(result.measures["tokens"]) // 6, 7))
    model = GPT(tiny.run.config.model, seed=tiny.run.config.train.seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    expected = []
    with torch.enable_grad():
        for _ in range(int(result.measures["steps"]) + 1):
            loss = model.loss(read[:, :-1], read[:, 1:])
            expected.append(float(loss.detach()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert (result.measures["loss_before"], result.measures["loss_after"], result.measures["last_loss"]) == pytest.approx(
        (expected[0], expected[1], expected[-1]), abs=1e-4
    )
    assert "One step, rate 0.5" in result.view.sentence
    assert [row[1].value for row in rows(result)] == pytest.approx([expected[int(row[0].text)] for row in rows(result)], abs=1e-4)


def test_the_last_row_is_the_step_at_which_it_diverges_and_the_longest_bar_is_full(
    text_run: MakeTextRun, measure: Measure
) -> None:
    *finite, last = rows(measure("gradient_descent", text_run(context=6), inputs={"rate": "100000"}))
    assert last[1].text == "NaN or infinite"
    bars = [row[1].bar for row in finite]
    assert None not in bars
    assert max(bar or 0.0 for bar in bars) == 1.0


def test_the_reason_that_the_lesson_gives_fits_a_long_step_that_ends_lower(text_run: MakeTextRun, measure: Measure) -> None:
    steps = next(lesson.steps for lesson in lessons() if lesson.name == "training")
    options = next(step.live.options for step in steps if step.live and step.live.options.get("experiment") == "gradient_descent")
    result = measure("gradient_descent", with_text(text_run(width=64), "a" * 400), inputs={"rate": options["rate"]})
    guess = parse_experiment_guess(options, EXPERIMENTS)
    assert [guess.choices[at] for at in guess.right(result)] == ["lower"]
    assert "may end lower" in guess.why
