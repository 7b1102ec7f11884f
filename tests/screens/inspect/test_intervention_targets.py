"""Targets of the intervention keys, from the step and from the number under the cursor."""

from dataclasses import replace

import pytest
from msgspec import structs

from lab.inspect.interventions import Intervention
from lab.inspect.stages.stage_registry import IN_LAYERS
from lab.views.blocks import LensPath, Token
from screens.inspect.intervention_keys import Target, from_second, key_under, target
from screens.inspect.selection import Prompt, Selection, alone, beside, same_tokens, with_prompt, within
from tests.screens.inspect.conftest import FakeEngine

LABELS = ["The", " big", " dog", " ran"]
PATH = LensPath([Token(i, label) for i, label in enumerate(LABELS)], [], 3, 0, [])
SELECTED = Selection("tale", stage="scores", layer=1, head=2)


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        ("", "head 2.3"),
        ("blocks.0.attn.pattern[3,2,1]", "head 1.4"),
        ("blocks.1.attn.head_out.norm[0,3]", "head 2.1"),
        ("blocks.1.attn_out[3,5]", "attention 2"),
        ("blocks.0.mlp.post[3,17]", "mlp 1"),
        ("blocks.0.mlp_out[3,17]", "mlp 1"),
        ("embed[1,5]", "token 2 “ big”"),
        ("logits[3,50]", "head 2.3"),
    ],
)
def test_the_number_under_the_cursor_comes_before_the_step(ref: str, name: str) -> None:
    found = target(SELECTED, PATH, ref)
    assert found is not None
    assert found.name == name


def test_every_step_of_a_layer_has_something_to_switch_off_and_the_last_ones_have_not() -> None:
    for stage in IN_LAYERS:
        assert target(replace(SELECTED, stage=stage), PATH) is not None
        assert target(replace(SELECTED, stage=stage), PATH, patch=True) is not None
    for stage, name in (("embed", "token 4 “ ran”"), ("matrix", "head 2.3"), ("attn_out", "attention 2"), ("mlp", "mlp 2")):
        found = target(replace(SELECTED, stage=stage), PATH)
        assert found is not None
        assert found.name == name
    for stage in ("ln_final", "logits", "sample"):
        assert target(replace(SELECTED, stage=stage), PATH) is None


@pytest.mark.parametrize(
    ("stage", "part"), [("embed", "resid_pre"), ("ln1", "resid_pre"), ("ln2", "resid_mid"), ("mlp", "mlp_out")]
)
def test_what_is_taken_over(stage: str, part: str) -> None:
    found = target(replace(SELECTED, stage=stage), PATH, patch=True)
    assert found is not None
    assert (found.part, found.layer) == (part, 0 if stage == "embed" else 1)


def test_the_key_is_the_one_under_the_cursor_or_the_chosen_token() -> None:
    assert key_under(SELECTED, PATH, "blocks.1.attn.pattern[2,3,1]") == 1
    assert key_under(SELECTED, PATH, "blocks.1.attn.weighted_v.norm[2,3,0]") == 0
    assert key_under(SELECTED, PATH, "blocks.1.attn.entropy[2,3]") == 3
    assert key_under(SELECTED, PATH, "blocks.1.attn.q[2,3,1]") == 3, "a dimension is no key"
    assert key_under(replace(SELECTED, position=2), PATH) == 2


@pytest.mark.parametrize(
    "ref",
    ["attn.q[2,3,1]", "attn.z.norm[2,3]", "attn.z.before[2,3,1]", "attn.pattern[3,2,1]", "attn.head_out[3,2,7]"],
)
def test_the_head_is_the_second_index_of_q_k_v_and_z_and_the_first_of_the_rest(ref: str) -> None:
    found = target(SELECTED, PATH, f"blocks.1.{ref}")
    assert found is not None
    assert (found.part, found.head) == ("attn.z", 3)


def test_positions_are_aligned_from_the_end() -> None:
    for length, expected in ((6, [2, 3, 4, 5]), (2, [None, None, 0, 1])):
        tokens = tuple(Token(0, str(index)) for index in range(length))
        targets = [Target("attn.z", 0, 0, position, "") for position in range(4)]
        patches = [from_second(each, PATH, Prompt("other"), tokens) for each in targets]
        assert [each and each.source and each.source.position for each in patches] == expected
    second = LensPath([Token(0, "x")] * 6, [], 5, 0, [])
    selection = replace(SELECTED, second=Prompt("other"), position=1)
    lone = alone(selection, Prompt("other"))
    assert (beside(selection, PATH, lone, second).position, beside(selection, PATH, lone, second).prompt) == (3, Prompt("other"))
    assert beside(replace(selection, position=None), PATH, lone, second).position is None


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (Prompt("ab"), Prompt("ab", (1, 2, 3), appended=1), 2),
        (Prompt("ab", (1, 2, 3), appended=1), Prompt("ab"), 2),
        (Prompt("ab", (1, 2, 3), appended=1), Prompt("ab", (1, 2, 3, 4), appended=2), 3),
        (Prompt("ab", (1, 2, 3), appended=1), Prompt("ab", (1, 9), appended=1), 1),
        (Prompt("ab"), Prompt("abc"), 0),
        (Prompt("ab"), Prompt("ab", (2, 3), earlier=1, appended=1), 0),
        (Prompt("", (1, 2), earlier=3), Prompt("", (1, 2), earlier=4), 0),
    ],
)
def test_how_many_tokens_are_surely_the_same(old: Prompt, new: Prompt, same: int) -> None:
    assert same_tokens(old, new) == same
    hidden = tuple(Intervention(part="tokens", how="hide", position=place) for place in range(4))
    assert len(with_prompt(replace(SELECTED, prompt=old, interventions=hidden), new).interventions) == same


def test_another_model_keeps_what_it_has() -> None:
    heads = tuple(Intervention(part="attn.z", how="off", layer=layer, head=3 - layer) for layer in range(3))
    facts = structs.replace(FakeEngine().open("a", "best"), layers=2, heads=3)
    assert within(replace(SELECTED, interventions=heads), facts).interventions == heads[1:2]
