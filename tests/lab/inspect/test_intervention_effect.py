"""Before and after, from logits that are known."""

import math

import numpy as np
import pytest
import torch

from lab.inspect.intervention_effect import effect, effect_view, in_short, kl_bits, sentence
from lab.inspect.interventions import Intervention
from lab.views.blocks import Table
from tests.lab.inspect.read_views import printed

OFF = (Intervention(part="attn.z", how="off", layer=1, head=0),)


def softmax(row: np.ndarray) -> np.ndarray:
    shares: np.ndarray = torch.from_numpy(row).softmax(-1).numpy()
    return shares


LABELS = [f"t{i}" for i in range(40)]


def rows(seed: int, size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=size) * 3, generator.normal(size=size) * 3


@pytest.mark.parametrize("seed", range(4))
def test_kl_is_torchs_in_bits(seed: int) -> None:
    before, after = rows(seed)
    p, q = (torch.from_numpy(row).log_softmax(-1) for row in (before, after))
    expected = float(torch.nn.functional.kl_div(q, p, log_target=True, reduction="sum")) / math.log(2)
    assert kl_bits(before, after) == pytest.approx(expected, rel=1e-12)
    assert kl_bits(before + 100, after - 1000) == pytest.approx(expected, rel=1e-9)
    assert kl_bits(before, before) == 0.0


def test_a_token_ruled_out_costs_what_it_had() -> None:
    # half the mass goes from two tokens alike to one: log2(1 / 0.5) for the half that stays, a great deal for the rest
    assert kl_bits(np.array([0.0, 0.0]), np.array([0.0, -1e4])) == pytest.approx(0.5 * -1 + 0.5 * (1e4 / math.log(2) - 1))


def test_ranks_and_probabilities_are_those_of_sorting_everything() -> None:
    before, after = rows(7)
    found = effect(before, after, LABELS.__getitem__, "head 2.1 off", "“ran”", 3)
    p, q = softmax(before), softmax(after)
    for change in found.changes:
        assert (change.before, change.after) == pytest.approx((p[change.id], q[change.id]), rel=1e-12)
        assert change.rank_before == 1 + int((p > p[change.id]).sum())
        assert change.rank_after == 1 + int((q > q[change.id]).sum())
    ids = {change.id for change in found.changes}
    assert ids == {*np.argsort(-p)[:10].tolist(), *np.argsort(-q)[:10].tolist()}
    assert [change.before for change in found.changes] == sorted((change.before for change in found.changes), reverse=True)
    assert found.others_before == pytest.approx(sum(p[i] for i in range(40) if i not in ids))
    assert found.others_after + sum(change.after for change in found.changes) == pytest.approx(1)


def logits(*probabilities: float) -> np.ndarray:
    return np.log(np.array(probabilities))


@pytest.mark.parametrize(
    ("after", "words", "short"),
    [
        (
            (0.12, 0.8, 0.08),
            "Head 2.1 off: after “ran” the model predicts “t1” (80.0%, before 30.0%) instead of “t0” (61.3% before, now 12.0%).",
            "“t0” 61.3% → 12.0%, now “t1” 80.0%",
        ),
        (
            (0.5, 0.4, 0.1),
            "Head 2.1 off: after “ran” the model still predicts “t0”, but gives it 50.0% instead of 61.3%.",
            "“t0” 61.3% → 50.0%",
        ),
        (
            (0.613, 0.3, 0.087),
            "Head 2.1 off: after “ran” the model still predicts “t0”, 61.3% as before. KL(before ‖ after) = 0 bits",
            "“t0” 61.3% → 61.3%",
        ),
    ],
)
def test_the_sentence_says_what_the_numbers_say(after: tuple[float, ...], words: str, short: str) -> None:
    found = effect(logits(0.613, 0.3, 0.087), logits(*after), LABELS.__getitem__, "head 2.1 off", "“ran”", 3)
    assert sentence(found).startswith(words)
    assert in_short(found) == short


def test_the_view_adds_up_and_marks_who_leads_now() -> None:
    before, after = rows(3)
    found = effect(before, after, LABELS.__getitem__, "head 2.1 off", "“ran”", 3)
    view = effect_view(found, OFF)
    (table,) = [block for block in view.blocks if isinstance(block, Table)]
    assert table.selected is not None
    assert table.rows[table.selected][0].text == f"t{int(after.argmax())}"
    for column in (1, 2):
        assert sum(row[column].value or 0.0 for row in table.rows) == pytest.approx(1.0)
    assert sum(row[3].value or 0.0 for row in table.rows) == pytest.approx(0.0, abs=1e-12)
    assert "Head 2.1 off" in view.sentence


def test_every_row_of_the_table_reproduces_its_change() -> None:
    for seed in range(20):
        before, after = rows(seed)
        near = before + (after - before) / 10 ** (seed % 4)
        view = effect_view(effect(before, near, LABELS.__getitem__, "head 2.1 off", "“ran”", 3), OFF)
        (table,) = [block for block in view.blocks if isinstance(block, Table)]
        for row in table.rows:
            (was, _), (now, _), (change, unit) = (printed(cell) for cell in row[1:4])
            true = 100 * ((row[2].value or 0.0) - (row[1].value or 0.0))
            assert change == pytest.approx(true, abs=unit * 0.5001)
            if abs(true) > 0.001:  # else both look alike, and the change stands by itself
                assert 100 * (now - was) == pytest.approx(change, abs=unit * 1.0001), row
