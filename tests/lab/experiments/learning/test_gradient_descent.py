"""Gradient descent from random weights, against torch's own optimizer, and where it diverges."""

import numpy as np
import pytest
import torch

from lab.experiments.experiment_registry import EXPERIMENTS
from lab.experiments.experiment_result import ExperimentResult
from lab.lessons.conditions import parse_experiment_guess
from lab.lessons.lesson import lessons
from lab.views.blocks import Cell, Table
from models.gpt import GPT
from tests.lab.experiments.conftest import MakeTextRun, Measure, with_text


def losses(result: ExperimentResult) -> list[list[Cell]]:
    found = result.view.blocks[0]
    assert isinstance(found, Table)
    return found.rows


def test_the_losses_are_those_of_torch_s_gradient_descent(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run(context=6)
    result = measure("gradient_descent", tiny, inputs={"rate": "0.5"})
    count, split = int(result.measures["tokens"]), tiny.run.config.data.split
    ids = np.fromfile(tiny.run.path / "tokens.bin", "<u2").astype(int)[:split]
    model = GPT(tiny.run.config.model, seed=tiny.run.config.train.seed)
    assert result.measures["part"] == "training text"
    starts = np.unique(np.linspace(0, len(ids) - 7, count // 6).astype(int))
    rows = torch.from_numpy(np.stack([ids[start : start + 7] for start in starts.tolist()]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    expected = []
    with torch.enable_grad():
        for _ in range(int(result.measures["steps"]) + 1):
            loss = model.loss(rows[:, :-1], rows[:, 1:])
            expected.append(float(loss.detach()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert (result.measures["loss_before"], result.measures["loss_after"], result.measures["last_loss"]) == pytest.approx(
        (expected[0], expected[1], expected[-1]), abs=1e-4
    )
    assert "One step, rate 0.5" in result.view.sentence
    steps = [int(row[0].text) for row in losses(result)]
    assert [row[1].value for row in losses(result)] == pytest.approx([expected[step] for step in steps], abs=1e-4)


def test_the_last_row_is_the_step_at_which_it_diverges_and_the_longest_bar_is_full(
    text_run: MakeTextRun, measure: Measure
) -> None:
    result = measure("gradient_descent", text_run(context=6), inputs={"rate": "100000"})
    *finite, last = losses(result)
    assert last[1].text == "NaN or infinite"
    assert all(row[1].bar is not None for row in finite)
    assert max(row[1].bar or 0.0 for row in finite) == 1.0


def test_the_reason_that_the_lesson_gives_fits_a_long_step_that_ends_lower(text_run: MakeTextRun, measure: Measure) -> None:
    steps = [step for lesson in lessons() if lesson.name == "training" for step in lesson.steps if step.live]
    options = next(step.live.options for step in steps if step.live and step.live.options.get("experiment") == "gradient_descent")
    result = measure("gradient_descent", with_text(text_run(width=64), "a" * 400), inputs={"rate": options["rate"]})
    guess = parse_experiment_guess(options, EXPERIMENTS)
    assert [guess.choices[at] for at in guess.right(result)] == ["lower"]
    assert "may end lower" in guess.why
