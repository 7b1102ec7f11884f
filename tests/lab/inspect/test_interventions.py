"""Interventions in words, as edits, and several of them together."""

import pytest

from lab.inspect.interventions import (
    Intervention,
    Source,
    describe_interventions,
    edits_of,
    set_intervention,
    still_valid,
    toggle_intervention,
)
from models.trace_edits import Edit

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
        (
            Intervention(part="attn_out", how="off", layer=0),
            "attention 1 off",
            [Edit("blocks.0.attn_out", "scale")],
        ),
    ],
)
def test_each_has_words_and_edits(intervention: Intervention, words: str, edits: list[Edit]) -> None:
    assert intervention.description == words
    assert list(edits_of((intervention,), 3, lambda _: (1.0, 2.0))) == edits


def test_the_same_again_takes_it_back_and_another_takes_its_place() -> None:
    assert toggle_intervention((), HEAD) == (HEAD,)
    assert toggle_intervention((MLP, HEAD), HEAD) == (MLP,)
    assert toggle_intervention((HEAD, MLP), HALF) == (MLP, HALF)
    assert set_intervention((HEAD, MLP), HEAD) == (MLP, HEAD)


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


def test_several_in_one_breath() -> None:
    assert describe_interventions([HEAD]) == "head 2.1 off"
    assert describe_interventions([HEAD, MLP, HIDDEN]) == "head 2.1 off, mlp 3 mean-ablated and token 3 “ran” hidden"
