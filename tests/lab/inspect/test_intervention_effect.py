"""Interventions in words and as edits, and their effect on logits that are known."""

import math

import numpy as np
import pytest
import torch

from lab.inspect.intervention_effect import effect, effect_view, in_short, kl_bits, sentence
from lab.inspect.interventions import (
    Intervention,
    Source,
    describe_interventions,
    edits_of,
    set_intervention,
    still_valid,
    toggle_intervention,
)
from lab.views.blocks import Table
from models.trace_edits import Edit
from tests.lab.inspect.read_views import printed

HEAD = Intervention(part="attn.z", how="off", layer=1, head=0)
HALF = Intervention(part="attn.z", how="scale", layer=1, head=0, factor=0.5)
LOOK = Intervention(part="attn.z", how="attend", layer=0, head=3, position=1, token="dog")
MLP = Intervention(part="mlp_out", how="mean", layer=2)
HIDDEN = Intervention(part="tokens", how="hide", position=2, token="ran")
PATCH = Intervention(
    part="resid_mid", how="patch", layer=1, position=3, token="fast", source=Source(text="a cat", position=1, token="cat")
)


@pytest.mark.parametrize(
    ("intervention", "words", "edits"),
    [
        (HEAD, "head 2.1 off", [Edit("blocks.1.attn.z", "scale", head=0)]),
        (HALF, "head 2.1 × 0.5", [Edit("blocks.1.attn.z", "scale", head=0, scale=0.5)]),
        (LOOK, "head 1.4 attends only to 2 “dog”", [Edit("blocks.0.attn.pattern", "attend", head=3, key=1)]),
        (MLP, "mlp 3 mean-ablated", [Edit("blocks.2.mlp_out", "mean")]),
        (HIDDEN, "token 3 “ran” hidden", [Edit(f"blocks.{n}.attn.attn_scores", "hide", key=2) for n in range(3)]),
        (
            PATCH,
            "stream after attention 2 at 4 “fast” from prompt 2, 2 “cat”",
            [Edit("blocks.1.resid_mid", "patch", position=3, value=(1.0, 2.0))],
        ),
        (Intervention(part="attn_out", how="off", layer=0), "attention 1 off", [Edit("blocks.0.attn_out", "scale")]),
    ],
)
def test_each_has_words_and_edits(intervention: Intervention, words: str, edits: list[Edit]) -> None:
    assert intervention.description == describe_interventions([intervention]) == words
    assert list(edits_of((intervention,), 3, lambda _: (1.0, 2.0))) == edits


def test_the_same_again_takes_it_back_and_another_takes_its_place() -> None:
    assert toggle_intervention((), HEAD) == (HEAD,)
    assert toggle_intervention((MLP, HEAD), HEAD) == (MLP,)
    assert toggle_intervention((HEAD, MLP), HALF) == (MLP, HALF)
    assert set_intervention((HEAD, MLP), HEAD) == (MLP, HEAD)
    assert describe_interventions([HEAD, MLP, HIDDEN]) == "head 2.1 off, mlp 3 mean-ablated and token 3 “ran” hidden"


def test_patches_of_two_places_stay_side_by_side_until_all_places_are_changed() -> None:
    patches = tuple(
        Intervention(part="mlp_out", how="patch", layer=2, position=place, source=Source(text="a", position=0))
        for place in (1, 2)
    )
    assert toggle_intervention(patches[:1], patches[1]) == patches
    assert toggle_intervention((*patches, HEAD), MLP) == (HEAD, MLP)
    assert toggle_intervention((MLP,), patches[0]) == (MLP, patches[0])
    edits = edits_of((patches[0], MLP), 3, lambda _: (0.0,))
    assert [edit.action for edit in edits] == ["mean", "patch"]  # or the patch would be averaged away


def test_places_do_not_outlive_their_tokens() -> None:
    assert still_valid((HEAD, LOOK, HIDDEN, PATCH), 0) == (HEAD,)
    assert still_valid((HEAD, LOOK, HIDDEN, PATCH), 3) == (HEAD, LOOK, HIDDEN)


OFF = (HEAD,)


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
    # Half the mass goes from two tokens alike to one: log2(1 / 0.5) for the half that stays, a great deal for the rest.
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


def test_the_view_adds_up_marks_who_leads_now_and_every_row_reproduces_its_change() -> None:
    for seed in range(20):
        before, after = rows(seed)
        near = before + (after - before) / 10 ** (seed % 4)
        view = effect_view(effect(before, near, LABELS.__getitem__, "head 2.1 off", "“ran”", 3), OFF)
        assert "Head 2.1 off" in view.sentence
        (table,) = [block for block in view.blocks if isinstance(block, Table)]
        assert table.selected is not None
        assert table.rows[table.selected][0].text == f"t{int(near.argmax())}"
        for column, total in ((1, 1.0), (2, 1.0), (3, 0.0)):
            assert sum(row[column].value or 0.0 for row in table.rows) == pytest.approx(total, abs=1e-9)
        for row in table.rows:
            (was, _), (now, _), (change, unit) = (printed(cell) for cell in row[1:4])
            true = 100 * ((row[2].value or 0.0) - (row[1].value or 0.0))
            assert change == pytest.approx(true, abs=unit * 0.5001)
            if abs(true) > 0.001:  # else both look alike, and the change stands by itself
                assert 100 * (now - was) == pytest.approx(change, abs=unit * 1.0001), row
