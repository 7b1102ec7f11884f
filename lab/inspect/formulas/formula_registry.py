"""Every family of names with its rule. An index is one of the rule's axes, 0-based in the reference and 1-based in words."""

import math

import torch

from lab.inspect.formulas.attention_formulas import ATTENTION
from lab.inspect.formulas.embedding_formulas import EMBEDDINGS
from lab.inspect.formulas.layer_norm_formulas import NORMS
from lab.inspect.formulas.logit_attribution_formulas import CONTRIBUTIONS
from lab.inspect.formulas.logits_formulas import OUTPUT
from lab.inspect.formulas.mlp_formulas import MLP
from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, norm
from lab.inspect.formulas.residual_stream_formulas import STREAM
from lab.views.number_refs import product
from models.trace import BEFORE

WEIGHT = "A weight, set by training; the prompt does not change it."
TIED = " Embedding and output head are tied: it is a weight of this token's logit, too."


def _weight(numbers: Quantities, at: NumberLocation) -> Answer:
    initial = None if numbers.initial is None else float(numbers.initial(at.name)[at.index])
    return Answer("", "", [], None, WEIGHT + (TIED if at.name == "wte.weight" else ""), initial)


def _elements(numbers: Quantities, at: NumberLocation) -> list[str]:
    """References of the vector's numbers."""
    vector = at.whole.removesuffix(".norm")
    if vector in numbers.weights:
        count = len(numbers.weights[vector])
    else:
        per_head = at.name.removesuffix(".norm").removesuffix(BEFORE) in (
            "attn.q",
            "attn.k",
            "attn.v",
            "attn.z",
            "attn.weighted_v",
        )
        count = numbers.config.head_width if per_head else numbers.config.width
    before = "".join(f"{n}," for n in at.index)
    return [f"{vector}[{before}{i}]" for i in range(count)]


def _norm(numbers: Quantities, at: NumberLocation) -> Answer:
    elements = _elements(numbers, at)
    values = torch.tensor([numbers.value(ref) for ref in elements], dtype=torch.float64)
    return norm(numbers.sum("√(Σᵢ x[i]²)", values.square(), lambda i: (f"x[{i + 1}]²", product(elements[i], elements[i]))))


def _norm_value(numbers: Quantities, at: NumberLocation) -> float:
    return math.hypot(*(numbers.value(ref) for ref in _elements(numbers, at)))


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
