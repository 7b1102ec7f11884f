"""The context window in numbers, against a second GPT-2 and against multiplications that torch counts."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lab.core.errors import UserError
from lab.experiments.sizes import config_of
from models.config import ModelConfig
from models.gpt import GPT
from tests.lab.engine.conftest import Oracle
from tests.lab.experiments.conftest import MakeTextRun, Measure, rows, windows, with_text

OracleOf = Callable[..., Oracle]


def test_the_loss_at_each_position_is_that_of_a_second_gpt2(text_run: MakeTextRun, measure: Measure, oracle_of: OracleOf) -> None:
    tiny = text_run(context=6)
    result = measure("loss_by_position", tiny)
    found = []
    for row in windows(tiny, "validation text", 128, 7):
        p = oracle_of(tiny, row[:-1].tolist()).values["probability"]
        found.append([-math.log(p[at, row[1 + at]]) for at in range(6)])
    losses = np.array(found)
    assert (result.measures["windows"], result.measures["part"]) == (len(losses), "validation text")
    assert result.measures["first"] == pytest.approx(losses[:, 0].mean(), abs=1e-4)
    assert result.measures["last"] == pytest.approx(losses[:, 3:].mean(), abs=1e-4)
    falls = losses[:, 0] - losses[:, 3:].mean(1)
    assert result.measures["fall_error"] == pytest.approx(falls.std(ddof=1) / math.sqrt(len(falls)), rel=1e-3)
    assert [row[0].text for row in rows(result)] == ["1", "2", "3 to 4", "5 to 6"]


def test_a_token_before_the_window_changes_nothing_and_one_inside_does(
    text_run: MakeTextRun, measure: Measure, oracle_of: OracleOf
) -> None:
    tiny = with_text(text_run(context=4), "abbaabab" * 60)  # so few letters that some would be replaced by themselves
    found = measure("reach_of_window", tiny)
    assert found.measures["beyond"] == 0
    assert [row[0].text for row in rows(found)] == ["1", "2", "4", "5", "8"]
    pieces = windows(tiny, "validation text", 16, 8)
    ids = sorted(set(pieces.flatten().tolist()))
    for name, distance in (("nearest", 1), ("farthest", 4)):
        changes = []
        for piece, other in zip(pieces[:, -4:], np.roll(pieces[:, 4], 1), strict=True):
            changed = piece.copy()
            next_id = ids[(ids.index(other) + 1) % len(ids)]
            changed[-distance] = other if other != piece[-distance] else next_id
            before, after = (oracle_of(tiny, each.tolist()).values["probability"][-1] for each in (piece, changed))
            changes.append(np.abs(before - after).sum() / 2)
        assert found.measures[name] == pytest.approx(np.mean(changes), abs=1e-5)


def test_a_text_of_one_letter_has_no_other_token_to_put_in(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = with_text(text_run(context=4), "a" * 400)
    with pytest.raises(UserError, match="one token over and over"):
        measure("reach_of_window", tiny)
    found = measure("loss_by_position", tiny)
    falls = abs(float(found.measures["fall_in_errors"])) > 2
    assert falls == ("no clear difference" not in found.view.sentence)  # the guess of the lesson and the sentence agree


def counted(config: ModelConfig) -> int:
    """Multiplications of a forward pass of a whole context and one unembedding, as torch counts them on shapes alone."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = GPT(config, seed=None)
        model.unembed(model.hidden(torch.zeros((1, config.context), dtype=torch.long, device="meta"))[:, -1])
    return counter.get_total_flops() // 2


def test_the_multiplications_are_those_that_torch_counts(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    found = measure("forward_cost", tiny).measures
    assert found["total"] == counted(tiny.model.config)
    assert found["doubled"] == 4
    assert measure("forward_cost", tiny, inputs={"model": "GPT-2"}).measures["total"] == counted(config_of("GPT-2"))
