"""Every number explained to its leaves: recomputed from the operands, it is what the model has."""

import math

import numpy as np
import pytest
import torch

from lab.inspect.explain_number import Explainer
from lab.inspect.formulas.quantities import TERMS, UnknownNumberError
from lab.views.number_explanation import explanation_view
from lab.views.number_refs import element
from models.config import ModelConfig
from models.gpt import GPT
from models.trace import Trace
from models.trace_edits import Edit

CONFIG = ModelConfig(layers=2, heads=3, width=24, context=8, vocab_size=40)
IDS = [3, 17, 0, 39, 3]


def perturbed(seed: int) -> GPT:
    """A random model whose biases and gains are random too, so that a forgotten one shows."""
    model = GPT(CONFIG, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += torch.randn(weight.shape, generator=generator) * 0.2
    return model


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    model = perturbed(5)
    start = GPT(CONFIG, seed=5).state_dict()
    return Explainer(model, Trace(model, IDS), lambda token: f"t{token}", start.__getitem__)


def test_every_name_of_the_trace_and_of_the_weights_can_be_explained(explainer: Explainer) -> None:
    for name in explainer.trace.names():
        value = explainer.trace[name]
        index = [size - 1 for size in value.shape]
        if name.endswith(("pattern", "attn_scores", "scores_raw")):
            index[-1] = 0
        explanation = explainer.explain(f"{name}[{','.join(map(str, index))}]")
        assert explanation.value == pytest.approx(float(value[tuple(index)]), abs=1e-6)
        assert explanation.delta <= 2e-5 * max(1.0, abs(explanation.value))
    for name, before in GPT(CONFIG, seed=5).state_dict().items():
        weight = explainer.explain(f"{name}[{','.join('0' * before.dim())}]")
        assert weight.recomputed is None
        assert weight.initial == float(before.flatten()[0])


def test_a_dot_product_is_drawn_whole_its_largest_terms_are_listed_and_the_others_make_it_exact(explainer: Explainer) -> None:
    explanation = explainer.explain("logits[4,7]")
    x = explainer.trace["ln_final.out"][4].double().numpy()
    weight = explainer.weights["wte.weight"][7].double().numpy()
    products = x * weight
    shown = sorted(np.abs(products))[::-1][:TERMS]
    assert [abs(operand.value) for operand in explanation.operands[:-1]] == pytest.approx(shown)
    assert explanation.operands[-1].label == f"{24 - TERMS} others"
    assert math.fsum(operand.value for operand in explanation.operands) == pytest.approx(products.sum())
    assert explanation.numbers.endswith(f"({explanation.operands[-1].label})")
    assert explanation.strips is not None
    np.testing.assert_allclose(explanation.strips.values.numpy(), [x, weight, x * weight], rtol=1e-6)
    assert explanation.strips.refs == ["ln_final.out[4,:]", "wte.weight[7,:]", "ln_final.out[4,:] × wte.weight[7,:]"]
    for name, vector in zip(explanation.strips.refs, explanation.strips.values.numpy(), strict=True):
        expected = pytest.approx(float(vector[5]), rel=1e-5)
        assert explainer.explain(element(name, 5)).value == expected
        assert explainer.value(element(name, 5)) == expected
    assert explanation.strips in explanation_view(explanation, [explanation.ref]).blocks
    assert "others" not in explainer.explain("blocks.0.resid_pre[1,2]").numbers


def test_the_factors_of_a_dot_product_give_its_terms_and_a_written_formula_the_number(explainer: Explainer) -> None:
    for operand in explainer.explain("blocks.1.attn.scores_raw[0,3,1]").operands[:TERMS]:
        a, b = (float(text.strip(" ()").replace("−", "-")) for text in operand.factors.split("×"))
        assert a * b == pytest.approx(operand.value, rel=2e-3)
    explanation = explainer.explain("blocks.0.attn.pattern[1,3,2]")
    written = explanation.numbers.replace("−", "-").replace("exp", "math.exp")
    assert eval(written, {"math": math}) == pytest.approx(explanation.value, abs=2e-3)


def test_a_title_counts_from_one_and_names_the_tokens_and_a_masked_place_says_so(explainer: Explainer) -> None:
    title = explainer.explain("blocks.1.attn.pattern[0,3,1]").title
    assert title == "attention pattern, layer 2, head 1, from 4 “t39”, to 2 “t17”"
    explanation = explainer.explain("blocks.0.attn.pattern[0,1,3]")
    assert (explanation.value, explanation.recomputed, explanation.delta) == (0.0, 0.0, 0.0)
    assert "Masked" in explanation.note
    assert "Masked" in explainer.explain("blocks.0.attn.attn_scores[0,1,3]").note


def test_an_intervention_is_named_where_it_was_made() -> None:
    model = perturbed(1)
    trace = Trace(model, IDS, [Edit("blocks.0.attn.z", "scale", head=1)])
    explainer = Explainer(model, trace, str)
    assert "intervention" in explainer.explain("blocks.0.attn.z[2,1,0]").note
    assert explainer.explain("blocks.0.attn_out[2,4]").delta < 1e-5
    assert explainer.explain("blocks.1.resid_post[2,4]").delta < 1e-5


def test_the_shares_of_all_parts_add_up_to_the_logit_and_each_is_explained_as_are_its_operands(explainer: Explainer) -> None:
    parts = 2 + CONFIG.layers * (CONFIG.heads + 3) + 1
    shares = [explainer.explain(f"logits.contribution[4,{part},7]") for part in range(parts)]
    assert math.fsum(share.value for share in shares) == pytest.approx(explainer.value("logits[4,7]"), abs=1e-5)
    over = [explainer.explain(ref) for ref in ("logits.over[4,7,0]", "logits.contribution.over[4,9,7,39]")]
    for share in [*shares, *over]:
        below = [explainer.explain(operand.ref) for operand in share.operands if operand.ref]
        assert below
        assert all(each.delta <= 2e-5 * max(1.0, abs(each.value)) for each in (share, *below))
        assert [each.value for each in below] == pytest.approx([each.value for each in share.operands if each.ref])
    assert "layer 2 mlp bias" in shares[13].title
    with pytest.raises(UnknownNumberError, match="no part"):
        explainer.value(f"logits.contribution[4,{parts},7]")
    with pytest.raises(UnknownNumberError, match="has no value"):
        explainer.explain(f"logits.contribution.term[4,{parts - 1},7,0]")


def test_a_weight_as_an_operand_has_a_short_label(explainer: Explainer) -> None:
    found = explainer.explain("blocks.0.ln1.out[1,2] × h.0.attn.c_attn.weight[29,2]")
    assert [each.label for each in found.operands][1] == "W_K: stream 3 → key 6"
    found = explainer.explain("blocks.0.attn.z[2,1,3] × h.0.attn.c_proj.weight[5,11]")
    assert [each.label for each in found.operands][1] == "W_O: z 4 → stream 6"
    assert max(len(each.label) for each in found.operands) <= 41
