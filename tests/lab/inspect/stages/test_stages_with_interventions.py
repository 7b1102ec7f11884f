"""Every stage under every kind of intervention, against the oracle with the same changes made by hand."""

import functools
import math
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest

from lab.engine.method_registry import ExplainParams, ViewParams
from lab.engine.prompt_methods import resolve_edits
from lab.inspect.interventions import Intervention, Interventions, Source, describe_interventions
from lab.inspect.stages.stage_registry import IN_LAYERS, STAGES
from lab.views.blocks import Gallery, MatrixPanels, Paragraph, StackedStrips, Strip, Table, View
from lab.views.number_explanation import Explanation
from tests.lab.engine.conftest import PROMPT, InProcessEngine, shared_engine, shared_tiny
from tests.lab.inspect.read_views import blocks, tables
from tests.lab.inspect.test_explain_stages import LAB_ONLY, refs_of

tiny, engine = shared_tiny, shared_engine

AT = 6
"""The position that is looked at; what is changed at another one only does not change what is shown of it."""
OTHER = "The small cat sat. The dog"
TOLERANCE = 1e-4
SUBJECT = {
    "embed": "resid_pre",
    "scores": "attn.pattern",
    "values": "attn.z",
    "attn_out": "attn_out",
    "resid_mid": "resid_mid",
    "mlp": "mlp_out",
    "neurons": "mlp_out",
    "resid_post": "resid_post",
}


def kinds() -> list[Any]:
    """Every change of every part in one of the layers or the other, two at a time, and several at once."""

    def change(part: Any, how: Any, layer: int = 0, **more: Any) -> Intervention:
        return Intervention(part=part, how=how, layer=layer, **more)

    def patch(part: str, layer: int = 0, position: int = AT) -> Intervention:
        return change(part, "patch", layer, position=position, source=Source(text=OTHER, position=4, token="x"))

    found = [
        (change("attn.z", "off"), change("mlp_out", "mean", 1)),
        (change("attn.z", "mean"), change("mlp_out", "scale", 1, factor=-0.5)),
        (change("attn.z", "scale", factor=-0.5), change("attn_out", "off", 1)),
        (change("attn_out", "mean"), change("mlp_out", "off", 1)),
        (change("attn_out", "scale", factor=-0.5), change("tokens", "hide", position=1)),
        (change("attn.z", "attend", head=1, position=2), change("attn.z", "attend", position=9)),
        (patch("resid_pre"), patch("attn.z", 1)),
        (patch("resid_mid"), patch("attn_out", 1)),
        (patch("resid_post"), patch("mlp_out", 1)),
        (patch("resid_pre", 1),),
        (patch("mlp_out", position=3), change("tokens", "hide", position=9)),
        (
            change("attn_out", "mean"),
            change("mlp_out", "scale", factor=2.0),
            patch("resid_mid", position=3),
            change("attn.z", "off", 1, head=1),
            change("tokens", "hide", position=2),
            change("mlp_out", "mean", 1),
        ),
    ]
    return [pytest.param(made, id=describe_interventions(made).replace(" ", "_")) for made in found]


def looked_at() -> list[tuple[str, int, int]]:
    return [
        (stage, layer, head)
        for stage in STAGES
        for layer in (range(2) if stage in IN_LAYERS else (0,))
        for head in (range(2) if "head" in STAGES[stage].keys else (0,))
    ]


def oracles(tiny: Any, engine: InProcessEngine, made: Interventions, oracle_of: Any) -> Any:
    """The oracle with the same edits."""
    params = ViewParams(run="tiny", text=PROMPT, stage="mlp", interventions=made)
    return oracle_of(
        tiny, tiny.tokenizer.encode(PROMPT), resolve_edits(engine.models, engine.models.model("tiny", "best"), params)
    )


def explainer(engine: InProcessEngine, made: Interventions) -> Callable[[str], Explanation]:
    """Explains a number, once, whose parts must agree with it."""

    @functools.cache
    def explain(ref: str) -> Explanation:
        asked = ExplainParams(run="tiny", text=PROMPT, position=AT, interventions=made, stage="", ref=ref)
        found: Explanation = engine.explain(asked)
        assert found.delta <= TOLERANCE * max(1.0, abs(found.value)), found
        return found

    return explain


def close(shown: Any, expected: Any) -> None:
    np.testing.assert_allclose(shown, expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("made", kinds())
def test_what_is_shown_before_and_after_is_the_oracles(
    made: Interventions, tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    oracle = oracles(tiny, engine, made, oracle_of)
    rng = np.random.default_rng(0)
    explain = explainer(engine, made)

    for stage, layer, head in looked_at():
        asked = {"run": "tiny", "text": PROMPT, "position": AT, "interventions": made, "stage": stage}
        view = engine.view(**asked, layer=layer, head=head)
        place = (stage, layer, head)
        assert view.parity is not None, place
        assert view.parity.count > 0
        assert view.parity.max_delta < TOLERANCE, (place, view.parity)
        named = [each for each in refs_of(view, rng) if not each[0].startswith("sample.") and not math.isnan(each[1])]
        judged = [each for each in named if not any(part in each[0] for part in LAB_ONLY)]
        close([value for _, value in judged], [float(oracle.value(ref).reshape(())) for ref, _ in judged])
        for block in view.blocks:
            if isinstance(block, Strip) and block.ref:
                close(block.values.numpy(), oracle.value(block.ref)[: len(block.values.numpy())])
            if isinstance(block, StackedStrips):
                for vector, name in zip(block.values.numpy(), block.refs, strict=True):
                    if name:
                        close(vector, oracle.value(name)[: len(vector)])
        labels_hold(view, oracle, layer, head)
        for ref, value in islice(named, int(rng.integers(4)), None, max(8, len(named) // 2)):
            explained = explain(ref)
            assert explained.value == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE)
            for operand in explained.operands[:2]:
                if operand.ref:
                    assert explain(operand.ref).value == pytest.approx(operand.value, rel=1e-5, abs=1e-6)


def labels_hold(view: View, oracle: Any, layer: int, head: int) -> None:
    """A view says that it is changed here where what goes on is not what it works out, shows both, and nowhere else."""
    subject = SUBJECT.get(view.stage)
    if subject is None:
        return
    name = f"blocks.{0 if view.stage == 'embed' else layer}.{subject}"
    at: tuple[int, ...] = {"attn.pattern": (head, AT), "attn.z": (AT, head)}.get(subject, (AT,))
    after = oracle.values[name][at]
    before = oracle.values.get(f"{name}.before", oracle.values[name])[at]
    notes = [block.text for block in view.blocks if isinstance(block, Paragraph) and block.text.startswith("Intervention here")]
    compared = [block for block in view.blocks if isinstance(block, StackedStrips) and block.labels[0] == "before"]
    compared = [block for block in compared if block.title.startswith("intervention on ")]
    assert len(notes) == int(not np.array_equal(before, after)), (view.stage, layer, head)
    if notes:
        assert len(compared) == 1
        shown = compared[0].values.numpy()
        assert compared[0].labels == ["before", "after", "after − before"]
        close(shown, [each[: shown.shape[1]] for each in (before, after, after - before)])
    else:
        assert not compared


def test_a_hidden_token_and_a_stream_changed_on_the_way_in_are_said(tiny: Any, engine: InProcessEngine) -> None:
    def notes(made: Intervention, stage: str, position: int = AT, layer: int = 1) -> list[str]:
        asked = ViewParams(run="tiny", text=PROMPT, stage=stage, layer=layer, position=position, interventions=(made,))
        return [block.text for block in engine.view(asked).blocks if isinstance(block, Paragraph)]

    hidden = Intervention(part="tokens", how="hide", position=1, token="he")
    said = "Intervention on the input: token 2 “he” hidden. Shown are the values with it."
    assert notes(hidden, "scores") == notes(hidden, "matrix") == [said]
    assert notes(hidden, "scores", position=1) == notes(hidden, "values") == []
    patched = Intervention(part="resid_pre", how="patch", layer=1, position=AT, source=Source(text=OTHER, position=2))
    assert notes(patched, "ln1")[0].startswith("Intervention on the input: stream into layer 2")
    assert notes(patched, "ln1", position=5) == notes(patched, "ln1", layer=0) == []


def test_a_forced_pattern_is_drawn_beside_the_one_before_it(tiny: Any, engine: InProcessEngine, oracle_of: Any) -> None:
    made = (Intervention(part="attn.z", how="attend", layer=0, head=1, position=2),)
    oracle = oracles(tiny, engine, made, oracle_of)
    view = engine.view(stage="matrix", head=1, interventions=made)
    panels = blocks(view, MatrixPanels)
    forward, compared = (block.matrices for block in panels)
    assert [each.title for each in compared] == ["before", "after the intervention", "after − before"]
    before, after = oracle.values["blocks.0.attn.pattern.before"][1], oracle.values["blocks.0.attn.pattern"][1]
    close(np.nan_to_num(forward[panels[0].largest].values.numpy()), before)
    for each, expected in zip(compared, (before, after, after - before), strict=True):
        close(np.nan_to_num(each.values.numpy()), expected)
    assert [each.limit for each in compared[:2]] == [1.0, 1.0], "shades compare"


def replayed(oracle: Any, without: str) -> Any:
    """The last residual stream with everything as it was computed, but one part's writing missing everywhere."""
    v, w, config = oracle.values, oracle.weights, oracle.config
    oracle = type("Replay", (), {"changed": type(oracle).changed, "edits": oracle.edits, "ids": oracle.ids, "values": {}})()

    def part(label: str, value: Any) -> Any:
        return 0.0 * value if label == without else value

    x = part("token embedding", v["embed"]) + part("position embedding", v["pos_embed"])
    for layer in range(config.layers):
        block, weights, place = f"blocks.{layer}.", f"h.{layer}.", f"layer {layer + 1}"
        x = oracle.changed(f"{block}resid_pre", x)
        written = [part(f"{place} head {head + 1}", each) for head, each in enumerate(v[f"{block}attn.head_out"])]
        out = sum(written) + part(f"{place} attention bias", w[f"{weights}attn.c_proj.bias"])
        x = oracle.changed(f"{block}resid_mid", x + oracle.changed(f"{block}attn_out", out))
        out = part(f"{place} mlp", v[f"{block}mlp_out.unbiased"]) + part(f"{place} mlp bias", w[f"{weights}mlp.c_proj.bias"])
        x = oracle.changed(f"{block}resid_post", x + oracle.changed(f"{block}mlp_out", out))
    return x


@pytest.mark.parametrize("made", kinds())
def test_a_share_is_what_the_logit_loses_without_the_part(
    made: Interventions, tiny: Any, engine: InProcessEngine, oracle_of: Any
) -> None:
    oracle = oracles(tiny, engine, made, oracle_of)
    explain = explainer(engine, made)
    token = 7
    asked = {"run": "tiny", "text": PROMPT, "stage": "", "position": AT, "interventions": made}
    table = engine.attribution(**asked, candidate=token, by_size=False).blocks[0]
    assert isinstance(table, Table)
    *contributions, leftover = table.rows
    assert leftover[0].text == "leftover (rounding)"
    assert abs(leftover[1].value or 0) < TOLERANCE
    seen = oracle.weights["ln_f.weight"] * oracle.weights["wte.weight"][token] / oracle.values["ln_final.scale"][AT]
    whole = replayed(oracle, "")[AT]
    close(whole, oracle.values["blocks.1.resid_post"][AT])
    for row in contributions:
        if row[0].text == "final norm's bias":
            expected = float(oracle.weights["ln_f.bias"] @ oracle.weights["wte.weight"][token])
        elif "(patched)" in row[0].text:
            continue
        else:
            lost = whole - replayed(oracle, row[0].text.partition(" ✗")[0])[AT]
            expected = float((lost - lost.mean()) @ seen)
        close(row[1].value, expected)
        explained = explain(row[1].ref)
        close(explained.recomputed, expected)
        for operand in [each.ref for each in explained.operands if each.ref][:2]:
            below = explain(operand)
            assert below.delta <= TOLERANCE, below
            for deeper in [each.ref for each in below.operands if each.ref][:2]:
                assert explain(deeper).delta <= TOLERANCE
    off = [each for each in made if each.how == "off"]
    for each in off:
        names = [f"layer {each.layer + 1} head {each.head + 1}"] if each.part == "attn.z" else [f"layer {each.layer + 1} mlp"]
        if each.part == "attn_out":
            names = [f"layer {each.layer + 1} {name}" for name in ("head 1", "head 2", "attention bias")]
        assert [row[1].value for row in contributions if row[0].text.partition(" ✗")[0] in names] == [0.0] * len(names)


@pytest.mark.parametrize(("how", "word"), [("off", "✗ off"), ("mean", "✗ mean-ablated")])
def test_a_head_that_is_switched_off_says_so_wherever_it_stands(how: Any, word: str, tiny: Any, engine: InProcessEngine) -> None:
    made = (Intervention(part="attn.z", how=how, layer=1, head=1),)
    asked: dict[str, Any] = {"run": "tiny", "text": PROMPT, "position": AT, "interventions": made, "layer": 1}
    for stage in ("qkv", "scores", "matrix", "values"):
        assert f"head 2 {word}" in engine.view(**asked, stage=stage, head=1).title
        assert "✗" not in engine.view(**asked, stage=stage, head=0).title
    for stage, name in (("heads", "head 2"), ("attn_out", "head 2"), ("thumbnails", "2.2")):
        view = engine.view(**asked, stage=stage, head=1)
        struck = [row[0].text for row in tables(view)[0].rows if row[0].style == "struck"]
        assert struck == [f"{name} {word}"], stage
    gallery = blocks(view, Gallery)[0]
    assert [each.label for each in gallery.thumbnails if each.is_off] == ["2.2"]
    assert gallery.thumbnails[3].caption == word.removeprefix("✗ ")
    shares = engine.attribution(position=AT, interventions=made)
    assert [row[0].text for row in tables(shares)[0].rows if row[0].style == "struck"] == [f"layer 2 head 2 {word}"]
    assert (
        "MLP ✗ off"
        in engine.view(**{**asked, "interventions": (Intervention(part="mlp_out", how="off", layer=1),)}, stage="mlp").title
    )


def test_the_outputs_of_the_heads_stand_before_and_after_in_one_table(tiny: Any, engine: InProcessEngine) -> None:
    asked: dict[str, Any] = {"run": "tiny", "text": PROMPT, "position": AT, "layer": 1, "stage": "attn_out"}
    whole = tables(engine.view(**asked))[0]
    off = tables(engine.view(**asked, interventions=(Intervention(part="attn.z", how="off", layer=1, head=1),)))[0]
    assert [column.title for column in off.columns] == ["part", "‖z‖", "‖output‖ before", "→ after", "share"]
    before = [row[2].value for row in off.rows]
    close(before, [row[2].value for row in whole.rows])
    assert off.rows[1][3].value == 0
    close([row[3].value for at, row in enumerate(off.rows) if at != 1], [each for at, each in enumerate(before) if at != 1])
    assert whole.total is not None
    assert off.total is not None
    close(off.total[2].value, whole.total[2].value)
