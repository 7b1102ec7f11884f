"""Interventions through the engine: against models whose weights were edited by hand, and against the oracle's own numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from lab.core.errors import UserError
from lab.experiments.steering import direction
from lab.inspect.interventions import Intervention, Source
from lab.inspect.stages.stage_registry import STAGES
from lab.views.blocks import MatrixPanels, Paragraph, StackedStrips, Table
from models.gpt import GPT
from tests.lab.engine.conftest import PROMPT, InProcessEngine

HEAD = Intervention(part="attn.z", how="off", layer=1, head=1)
OTHER = "The small cat sat. The dog"


def by_hand(tiny: Any) -> GPT:
    """The run's model, to edit the weights of."""
    model = GPT(tiny.model.config, None)
    model.load_state_dict(tiny.model.state_dict())
    return model


def logits_of(model: GPT, ids: list[int], position: int = -1) -> np.ndarray:
    row: np.ndarray = model(torch.tensor([ids]))[0, position].double().numpy()
    return row


def softmax(row: np.ndarray) -> np.ndarray:
    exps: np.ndarray = np.exp(row - row.max())
    return exps / exps.sum()


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return float((p * np.log2(p / q)).sum())


def parts() -> list[Any]:
    def head(model: GPT) -> None:
        model.get_parameter("h.1.attn.c_proj.weight")[:, 4:8] = 0.0  # the second head's columns of four

    def half(model: GPT) -> None:
        model.get_parameter("h.0.attn.c_proj.weight")[:, :4] *= 0.5

    def attention(model: GPT) -> None:
        model.get_parameter("h.0.attn.c_proj.weight")[:] = 0.0
        model.get_parameter("h.0.attn.c_proj.bias")[:] = 0.0

    def mlp(model: GPT) -> None:
        model.get_parameter("h.1.mlp.c_proj.weight")[:] = 0.0
        model.get_parameter("h.1.mlp.c_proj.bias")[:] = 0.0

    def both(model: GPT) -> None:
        head(model)
        mlp(model)

    mlp_off = Intervention(part="mlp_out", how="off", layer=1)
    return [
        pytest.param((HEAD,), head, id="head"),
        pytest.param((Intervention(part="attn.z", how="scale", factor=0.5),), half, id="half a head"),
        pytest.param((Intervention(part="attn_out", how="off"),), attention, id="attention"),
        pytest.param((mlp_off,), mlp, id="mlp"),
        pytest.param((HEAD, mlp_off), both, id="two at once"),
    ]


@pytest.mark.parametrize(("made", "edit"), parts())
@pytest.mark.parametrize("position", [None, 4])
def test_the_effect_is_that_of_editing_the_weights(
    made: Any, edit: Any, position: int | None, tiny: Any, engine: InProcessEngine
) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    changed = by_hand(tiny)
    edit(changed)
    at = len(ids) - 1 if position is None else position
    before, after = logits_of(tiny.model, ids, at), logits_of(changed, ids, at)
    found = engine.effect(interventions=made, position=position)
    assert found.position == at
    p, q = softmax(before), softmax(after)
    assert found.kl == pytest.approx(kl(p, q), rel=1e-3, abs=1e-7)
    for change in found.changes:
        assert (change.before, change.after) == pytest.approx((p[change.id], q[change.id]), rel=1e-3)
        assert change.rank_before == 1 + int((before > before[change.id]).sum())
        assert change.rank_after == 1 + int((after > after[change.id]).sum())
    assert found.first_after.id == int(after.argmax())
    lens = engine.lens(interventions=made, position=position)
    assert [guess.id for guess in lens.top] == np.argsort(-after)[: len(lens.top)].tolist()


def test_without_interventions_nothing_changes(tiny: Any, engine: InProcessEngine) -> None:
    found = engine.effect()
    assert found.kl == 0.0
    assert all(change.before == change.after for change in found.changes)


@pytest.mark.parametrize(("part", "head"), [("resid_mid", 0), ("attn.z", 1)])
def test_a_patch_carries_the_other_prompts_vector(
    part: Any, head: int, tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    ids, others = tiny.tokenizer.encode(PROMPT), tiny.tokenizer.encode(OTHER)[-16:]
    patch = Intervention(
        part=part, how="patch", layer=1, head=head, position=len(ids) - 1, source=Source(text=OTHER, position=len(others) - 1)
    )
    name = f"blocks.1.{part}"
    arrays = engine.trace(name, text=PROMPT, interventions=(patch,))
    value = oracle_of(tiny, others).values[name]
    expected = value[-1, head] if value.ndim == 3 else value[-1]
    own = arrays[name]
    assert (own[-1, head] if own.ndim == 3 else own[-1]) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    top = engine.lens(interventions=(patch,)).top
    if part == "resid_mid":  # nothing of the first prompt is left at this position
        assert [guess.id for guess in top] == [guess.id for guess in engine.lens(text=OTHER).top]


STEERED = Intervention(part="resid_post", how="steer", layer=0, factor=-0.7, toward="The cat | The dog")
WITHOUT = Intervention(part="resid_post", how="without", layer=0, toward="token cat")


def imported(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run as one without a text: lengths are then those of the prompt's stream."""
    monkeypatch.setattr(type(tiny.run.config), "has_text", property(lambda _: False))


@pytest.mark.parametrize("made", [STEERED, WITHOUT], ids=lambda made: made.how)
def test_a_direction_does_what_a_plain_hook_of_the_model_does(
    made: Intervention, tiny: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(tiny, monkeypatch)
    streams = []

    def stream_of(text: str) -> torch.Tensor:
        handle = tiny.model.blocks[0].register_forward_hook(lambda _, __, value: streams.append(value[0]))
        tiny.model(torch.tensor([tiny.tokenizer.encode(text)]))
        handle.remove()
        return streams[-1]

    cat, dog = (stream_of(text)[-1] for text in ("The cat", "The dog"))
    (id_,) = tiny.tokenizer.encode(" cat")
    word = tiny.model.wte.weight[id_]
    added = -0.7 * stream_of(PROMPT)[1:].norm(dim=-1).mean() * (cat - dog) / (cat - dog).norm()
    unit = word / word.norm()

    def change(_: Any, __: Any, value: torch.Tensor) -> torch.Tensor:
        return value + added if made is STEERED else value - (value @ unit)[..., None] * unit

    handle = tiny.model.blocks[0].register_forward_hook(change)
    try:
        expected = tiny.model(torch.tensor([tiny.tokenizer.encode(PROMPT)]))[0]
    finally:
        handle.remove()
    found = engine.trace("logits", text=PROMPT, interventions=(made,))["logits"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - engine.trace("logits", text=PROMPT)["logits"]).max() > 1e-2


@pytest.mark.parametrize("made", [STEERED, WITHOUT], ids=lambda made: made.how)
def test_numbers_under_a_direction_are_explained_and_attributed(
    made: Intervention, tiny: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(tiny, monkeypatch)
    found = engine.explain(ref="blocks.0.resid_post[3,2]", stage="resid_post", interventions=(made,))
    assert found.recomputed == pytest.approx(found.value, abs=1e-5)
    view = engine.attribution(interventions=(made,), stage="logits")
    assert view.parity is not None
    assert view.parity.max_delta < 1e-4


def test_another_strength_fits_no_direction_anew(tiny: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    imported(tiny, monkeypatch)
    asked = []
    monkeypatch.setattr("lab.experiments.steering.direction", lambda context: asked.append(1) or direction(context))
    for factor in (0.5, 0.0, -1.0):
        effect = engine.effect(interventions=(replace(STEERED, factor=factor),))
        assert (effect.kl == 0) == (factor == 0)
    assert len(asked) == 1


def test_every_stage_can_be_looked_at_with_interventions_on(
    tiny: Any, engine: InProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(tiny, monkeypatch)
    made = (
        HEAD,
        Intervention(part="tokens", how="hide", position=1, token="he"),
        Intervention(part="attn.z", how="attend", layer=0, head=1, position=0, token="T"),
        Intervention(part="attn_out", how="mean", layer=0),
        Intervention(part="mlp_out", how="scale", layer=0, factor=-2.0),
        STEERED,
        replace(WITHOUT, layer=1),
    )
    for stage in STAGES:
        for layer in range(2):
            for head in range(2):
                view = engine.view(stage=stage, layer=layer, head=head, interventions=made)
                assert view.parity is None or view.parity.max_delta < 1e-4, (stage, layer, head, view.parity)


def test_an_intervention_that_overflows_is_not_taken_for_diverged_training(tiny: Any, engine: InProcessEngine) -> None:
    huge = tuple(Intervention(part="mlp_out", how="scale", layer=layer, factor=1e38) for layer in range(2))
    with pytest.raises(UserError, match="With these interventions the logits are NaN or inf"):
        engine.lens(interventions=huge)


def test_compare_shows_both_distributions_and_both_attention_rows(tiny: Any, engine: InProcessEngine, oracle_of: Any) -> None:
    view = engine.compare(second_text=OTHER, layer=1, head=1, position=None)
    first, second = (oracle_of(tiny, tiny.tokenizer.encode(text)[-16:]) for text in (PROMPT, OTHER))
    following, lenses, attention = (block for block in view.blocks if isinstance(block, Table))
    p, q = (oracle.values["probability"][-1] for oracle in (first, second))
    assert following.rows[0][1].value == pytest.approx(p.max(), rel=1e-4)
    assert max(row[2].value or 0 for row in following.rows[:-1]) == pytest.approx(q.max(), rel=1e-4)
    assert sum(row[1].value or 0 for row in following.rows) == pytest.approx(1)
    assert f"{kl(p, q):.2f}" in view.sentence
    for row, name in zip(
        lenses.rows,
        ["blocks.0.resid_pre", *(f"blocks.{n}.{s}" for n in (0, 1) for s in ("resid_mid", "resid_post"))],
        strict=True,
    ):
        assert row[2].value == pytest.approx(first.lens(name)[-1].max(), rel=1e-4)
        assert row[4].value == pytest.approx(second.lens(name)[-1].max(), rel=1e-4)
        a, b = first.values[name][-1], second.values[name][-1]
        assert row[6].value == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)), abs=1e-4)
        assert row[7].value == pytest.approx(np.sqrt(((a - b) ** 2).sum()), rel=1e-4)
    mine = first.values["blocks.1.attn.pattern"][1, -1]
    shown = [row[1].value for row in attention.rows if row[1].value is not None]
    assert shown == pytest.approx(mine.tolist(), rel=1e-3, abs=1e-6)
    earlier = engine.compare(second_text=OTHER, position=len(first.ids) - 3).blocks[0]
    assert isinstance(earlier, Table)
    q = second.values["probability"][-3]
    assert max(row[2].value or 0 for row in earlier.rows[:-1]) == pytest.approx(q.max(), rel=1e-4), "aligned from the end"


def test_compare_draws_patterns_and_streams_with_their_difference(tiny: Any, engine: InProcessEngine, oracle_of: Any) -> None:
    other = PROMPT.replace("fast.", "fast,")  # as many tokens
    ids = [tiny.tokenizer.encode(text)[-16:] for text in (PROMPT, other)]
    first, second = (oracle_of(tiny, each) for each in ids)
    view = engine.compare(second_text=other, layer=1, head=1, position=None)
    streams = next(block for block in view.blocks if isinstance(block, StackedStrips))
    one, two = (oracle.values["blocks.1.resid_post"][-1] for oracle in (first, second))
    np.testing.assert_allclose(streams.values.numpy(), [one, two, two - one], rtol=1e-4, atol=1e-5)
    panels = next(block for block in view.blocks if isinstance(block, MatrixPanels))
    mine, other_pattern = (oracle.values["blocks.1.attn.pattern"][1] for oracle in (first, second))
    for each, expected in zip(panels.matrices, (mine, other_pattern, other_pattern - mine), strict=True):
        np.testing.assert_allclose(np.nan_to_num(each.values.numpy()), expected, rtol=1e-4, atol=1e-5)
    view = engine.compare(second_text=PROMPT[:9], layer=0, head=0, position=None)
    assert not any(isinstance(block, MatrixPanels) for block in view.blocks), "of other lengths there is no difference"
    (said,) = (block.text for block in view.blocks if isinstance(block, Paragraph))
    assert said.startswith("Prompt 1 has ")


@pytest.mark.parametrize(
    ("intervention", "words"),
    [
        (Intervention(part="attn.z", how="off", layer=4, head=1), "tiny has no head 5.2: it has 2 layers of 2 heads."),
        (Intervention(part="tokens", how="hide", position=99), "position 99 cannot be hidden"),
        (Intervention(part="mlp_out", how="patch", position=0), "no such token to take mlp 1 from"),
        (Intervention(part="mlp_out", how="patch", position=0, source=Source(text="a", position=5)), "no such token"),
        (replace(STEERED, toward="happy"), r"Type two prompts with one \| between"),
        (replace(STEERED, toward="happy | sad | glad"), r"Type two prompts with one \| between"),
        (replace(STEERED, toward="feature 3"), "tiny has no features"),
        (replace(STEERED, part="mlp_out"), "A direction is one of the stream after a layer, not of mlp 1."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(intervention: Intervention, words: str, tiny: Any, engine: InProcessEngine) -> None:
    with pytest.raises(UserError, match=words):
        engine.lens(interventions=(intervention,))


def test_a_prompts_report_is_of_its_interventions_and_says_so(tiny: Any, engine: InProcessEngine) -> None:
    hidden = Intervention(part="tokens", how="hide", position=1, token="he")
    plain = engine.prompt_report()
    found = engine.prompt_report(interventions=(hidden,))
    assert plain.interventions == ""
    assert found.interventions == hidden.description
    arrays = engine.trace("blocks.1.attn.pattern", text=PROMPT, interventions=(hidden,))
    np.testing.assert_array_equal(found.patterns[1].numpy(), arrays["blocks.1.attn.pattern"])
    assert found.top[-1][0].probability != plain.top[-1][0].probability
