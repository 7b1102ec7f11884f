"""Every family of names with its rule. An index is one of the rule's axes, 0-based in the reference and 1-based in words."""

import math
from dataclasses import replace

import torch

from lab.inspect.formulas.attention_formulas import ATTENTION
from lab.inspect.formulas.embedding_formulas import EMBEDDINGS
from lab.inspect.formulas.layer_norm_formulas import NORMS
from lab.inspect.formulas.logit_attribution_formulas import CONTRIBUTIONS
from lab.inspect.formulas.logits_formulas import OUTPUT
from lab.inspect.formulas.mlp_formulas import MLP
from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule
from lab.inspect.formulas.residual_stream_formulas import STREAM
from lab.views.number_refs import product
from models.trace import BEFORE

WEIGHT = "A weight, set by training; the prompt does not change it."
TIED = " Embedding and output head are tied: it is a weight of this token's logit, too."


def _weight(quantities: Quantities, location: NumberLocation) -> Answer:
    initial = None if quantities.initial is None else float(quantities.initial(location.name)[location.index])
    return Answer("", "", [], None, WEIGHT + (TIED if location.name == "wte.weight" else ""), initial)


def _elements(quantities: Quantities, location: NumberLocation) -> list[str]:
    """References of the vector's numbers."""
    vector = location.whole.removesuffix(".norm")
    if vector in quantities.weights:
        count = len(quantities.weights[vector])
    else:
        per_head = location.name.removesuffix(".norm").removesuffix(BEFORE) in (
            "attn.q",
            "attn.k",
            "attn.v",
            "attn.z",
            "attn.weighted_v",
        )
        count = quantities.config.head_width if per_head else quantities.config.width
    before = "".join(f"{n}," for n in location.index)
    return [f"{vector}[{before}{i}]" for i in range(count)]


def _norm(quantities: Quantities, location: NumberLocation) -> Answer:
    elements = _elements(quantities, location)
    values = torch.tensor([quantities.value(ref) for ref in elements], dtype=torch.float64)
    answer = quantities.sum("√(Σᵢ x[i]²)", values.square(), lambda i: (f"x[{i + 1}]²", product(elements[i], elements[i])))
    assert answer.recomputed is not None
    return replace(answer, numbers=f"√({answer.numbers})", recomputed=math.sqrt(answer.recomputed))


def _norm_value(quantities: Quantities, location: NumberLocation) -> float:
    return math.hypot(*(quantities.value(ref) for ref in _elements(quantities, location)))


RULES: dict[str, Rule] = {
    **EMBEDDINGS,
    **STREAM,
    **NORMS,
    **ATTENTION,
    **MLP,
    **OUTPUT,
    **CONTRIBUTIONS,
    "norm": Rule("norm", (), _norm, _norm_value),
    "weight.1": Rule("weight", ("dimension",), _weight),
    "weight.2": Rule("weight", ("row", "column"), _weight),
}
"""`norm` is the rule of every vector's norm, `weight.1` and `weight.2` that of the model's vectors and matrices."""
