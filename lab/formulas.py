"""The formula of every family of numbers in a GPT-2, each over operands that have a formula of their own.

One rule a family, none longer than the formula: `lab.quantities` finds the numbers and adds up the long sums.
"""

import math

import torch

from lab.explanation import Operand
from lab.quantities import Answer, Place, Quantities, Rule, bracketed, number
from models.gpt import EPSILON


def _weight(quantities: Quantities, place: Place) -> Answer:
    name = place.ref.partition("[")[0]
    initial = None if quantities.initial is None else float(quantities.initial(name)[place.index])
    note = "A weight: training set it, and nothing in this prompt changes it."
    return Answer("", "", [], None, note, initial)


def _softmax(quantities: Quantities, place: Place, prefix: str, scores: str, largest: int) -> Answer:
    """exp(score − max) / Σ; `prefix` names the steps in between, `largest` is where the maximum is."""
    *row, column = place.index
    rows = ",".join(map(str, row))
    score = quantities.operand("score", f"{scores}[{rows},{column}]")
    top = quantities.operand("largest score", f"{scores}[{rows},{largest}]")
    total = quantities.operand("Σ of exp(score − max)", f"{prefix}.sum[{rows}]")
    recomputed = math.exp(score.value - top.value) / total.value
    written = f"exp({number(score.value)} − {bracketed(top.value)}) / {number(total.value)}"
    note = MASKED if score.value == -math.inf else ""
    return Answer("exp(score − max) / Σ", written, [score, top, total], recomputed, note)


def _probability(quantities: Quantities, place: Place) -> Answer:
    return _softmax(quantities, place, "probability", "logits", int(quantities.trace["logits"][place.index[0]].argmax()))


def _pattern(quantities: Quantities, place: Place) -> Answer:
    scores = f"{place.block}attn.attn_scores"
    return _softmax(quantities, place, f"{place.block}attn", scores, int(quantities.trace[scores][place.index[:2]].argmax()))


def _exp(quantities: Quantities, place: Place, scores: str) -> Answer:
    *row, column = place.index
    largest = int(quantities.trace[scores][tuple(row)].argmax())
    rows = ",".join(map(str, row))
    score = quantities.operand("score", f"{scores}[{rows},{column}]")
    top = quantities.operand("largest score", f"{scores}[{rows},{largest}]")
    written = f"exp({number(score.value)} − {bracketed(top.value)})"
    return Answer("exp(score − max)", written, [score, top], math.exp(score.value - top.value))


def _probability_exp(quantities: Quantities, place: Place) -> Answer:
    return _exp(quantities, place, "logits")


def _pattern_exp(quantities: Quantities, place: Place) -> Answer:
    return _exp(quantities, place, f"{place.block}attn.attn_scores")


def _probability_sum(quantities: Quantities, place: Place) -> Answer:
    position = place.index[0]
    logits = quantities.trace["logits"][position].double()
    exps = (logits - logits.max()).exp()
    return quantities.sum(
        "Σ over the vocabulary of exp(logit − max)",
        exps,
        lambda v: (f"“{quantities.label(v)}”", f"probability.exp[{position},{v}]"),
    )


def _pattern_sum(quantities: Quantities, place: Place) -> Answer:
    head, query = place.index
    return quantities.sum(
        "Σ over the keys of exp(score − max)",
        quantities.exps(place)[: query + 1],
        lambda k: (_position(quantities, k), f"{place.block}attn.exp[{head},{query},{k}]"),
    )


def _position(quantities: Quantities, position: int) -> str:
    return f"{position + 1} “{quantities.label(quantities.trace.ids[position])}”"


def _logit(quantities: Quantities, place: Place) -> Answer:
    position, token = place.index
    return quantities.dot(
        "Σᵢ final norm[i] × token's embedding[i]",
        quantities.trace["ln_final.normalized"][position],
        lambda i: f"ln_final.normalized[{position},{i}]",
        quantities.weights["wte.weight"][token],
        lambda i: f"wte.weight[{token},{i}]",
        "dimension",
    )


def _normalized(quantities: Quantities, place: Place) -> Answer:
    position, i = place.index
    norm = f"{place.block}{place.name.partition('.')[0]}"
    weights = "ln_f" if place.layer is None else f"h.{place.layer}.ln_{norm[-1]}"
    x, mean, scale, gain, bias = operands = [
        quantities.operand("x, the residual stream", f"{quantities.norm_source(place)}[{position},{i}]"),
        quantities.operand("mean of x", f"{norm}.mean[{position}]"),
        quantities.operand("scale, √(variance + ε)", f"{norm}.scale[{position}]"),
        quantities.operand("gain", f"{weights}.weight[{i}]"),
        quantities.operand("bias", f"{weights}.bias[{i}]"),
    ]
    written = (
        f"({number(x.value)} − {bracketed(mean.value)}) / {number(scale.value)} × {bracketed(gain.value)}"
        f" + {bracketed(bias.value)}"
    )
    recomputed = (x.value - mean.value) / scale.value * gain.value + bias.value
    return Answer("(x − mean) / scale × gain + bias", written, operands, recomputed)


def _scale(quantities: Quantities, place: Place) -> Answer:
    norm = f"{place.block}{place.name.partition('.')[0]}"
    variance = quantities.operand("variance of x", f"{norm}.variance[{place.index[0]}]")
    written = f"√({number(variance.value)} + {EPSILON:g})"
    return Answer("√(variance + ε)", written, [variance], math.sqrt(variance.value + EPSILON))


def _mean(quantities: Quantities, place: Place) -> Answer:
    x, source = quantities.norm_input(place), quantities.norm_source(place)
    return quantities.sum(
        f"Σᵢ x[i] / {len(x)}", x, lambda i: (f"x[{i + 1}] / {len(x)}", f"{source}[{place.index[0]},{i}]"), over=len(x)
    )


def _variance(quantities: Quantities, place: Place) -> Answer:
    x, source = quantities.norm_input(place), quantities.norm_source(place)
    return quantities.sum(
        f"Σᵢ (x[i] − mean)² / {len(x)}",
        (x - x.mean()).square(),
        lambda i: (f"(x[{i + 1}] − mean)² / {len(x)}", f"{source}[{place.index[0]},{i}]"),
        over=len(x),
    )


def _stream(quantities: Quantities, place: Place) -> Answer:
    """The residual stream as the sum of all that was written into it before."""
    assert place.layer is not None
    position, i = place.index
    at = f"[{position},{i}]"
    operands = [quantities.operand("token embedding", f"embed{at}"), quantities.operand("position embedding", f"pos_embed{at}")]
    for layer in range(place.layer + 1):
        if layer < place.layer or place.name != "resid_pre":
            operands += _attention_parts(quantities, layer, position, i, f"layer {layer + 1} ")
        if layer < place.layer or place.name == "resid_post":
            operands.append(quantities.operand(f"layer {layer + 1} mlp", f"blocks.{layer}.mlp_out{at}"))
    values = torch.tensor([each.value for each in operands], dtype=torch.float64)
    answer = quantities.sum(
        "embeddings + every head + every bias + every MLP so far", values, lambda n: (operands[n].label, operands[n].ref)
    )
    if any(
        edit.name.rpartition(".")[2] in ("resid_pre", "resid_mid", "resid_post", "attn_out") for edit in quantities.trace.edits
    ):
        return Answer(answer.formula, answer.numbers, answer.operands, answer.recomputed, EDITED_BEFORE)
    return answer


def _attention_parts(quantities: Quantities, layer: int, position: int, i: int, prefix: str = "") -> list[Operand]:
    return [
        *(
            quantities.operand(f"{prefix}head {head + 1}", f"blocks.{layer}.attn.head_out[{head},{position},{i}]")
            for head in range(quantities.trace.config.heads)
        ),
        quantities.operand(f"{prefix}attention bias", f"h.{layer}.attn.c_proj.bias[{i}]"),
    ]


def _attn_out(quantities: Quantities, place: Place) -> Answer:
    assert place.layer is not None
    parts = _attention_parts(quantities, place.layer, place.index[0], place.index[1])
    values = torch.tensor([each.value for each in parts], dtype=torch.float64)
    return quantities.sum("every head + bias", values, lambda n: (parts[n].label, parts[n].ref))


def _head_share(quantities: Quantities, place: Place) -> Answer:
    head, position, i = place.index
    first = head * quantities.trace.config.head_width
    name = f"h.{place.layer}.attn.c_proj.weight"
    return quantities.dot(
        "Σ_d z[d] × W_O[d]",
        quantities.trace[f"{place.block}attn.z"][head, position],
        lambda d: f"{place.block}attn.z[{head},{position},{d}]",
        quantities.weights[name][i, first : first + quantities.trace.config.head_width],
        lambda d: f"{name}[{i},{first + d}]",
        "dimension",
    )


def _z(quantities: Quantities, place: Place) -> Answer:
    head, query, d = place.index
    pattern = quantities.trace[f"{place.block}attn.pattern"][head, query, : query + 1].double()
    v = quantities.trace[f"{place.block}attn.v"][head, : query + 1, d].double()

    def operand(k: int) -> tuple[str, str]:
        return (
            f"from {_position(quantities, k)}",
            f"{place.block}attn.pattern[{head},{query},{k}] × {place.block}attn.v[{head},{k},{d}]",
        )

    return quantities.sum("Σₖ pattern[k] × v[k]", pattern * v, operand)


def _score(quantities: Quantities, place: Place) -> Answer:
    head, query, key = place.index
    raw = quantities.operand("q·k", f"{place.block}attn.scores_raw[{head},{query},{key}]")
    width = quantities.trace.config.head_width
    if key > query:
        return Answer("−∞ where the key comes after the query", "−∞", [raw], -math.inf, MASKED)
    written = f"{number(raw.value)} / √{width} = {number(raw.value)} / {number(math.sqrt(width))}"
    return Answer(f"q·k / √d, d = {width}", written, [raw], raw.value / math.sqrt(width))


def _score_raw(quantities: Quantities, place: Place) -> Answer:
    head, query, key = place.index
    return quantities.dot(
        "Σ_d q[d] × k[d]",
        quantities.trace[f"{place.block}attn.q"][head, query],
        lambda d: f"{place.block}attn.q[{head},{query},{d}]",
        quantities.trace[f"{place.block}attn.k"][head, key],
        lambda d: f"{place.block}attn.k[{head},{key},{d}]",
        "dimension",
    )


def _projection(quantities: Quantities, place: Place) -> Answer:
    head, position, d = place.index
    width, head_width = quantities.trace.config.width, quantities.trace.config.head_width
    letter = place.name[-1]
    row = "qkv".index(letter) * width + head * head_width + d
    return _linear(quantities, place, position, f"h.{place.layer}.attn.c_attn", row, "ln1.normalized", f"W_{letter.upper()}")


def _linear(quantities: Quantities, place: Place, position: int, layer: str, row: int, source: str, symbol: str) -> Answer:
    return quantities.dot(
        f"Σᵢ {source}[i] × {symbol}[i] + bias",
        quantities.trace[f"{place.block}{source}"][position],
        lambda i: f"{place.block}{source}[{position},{i}]",
        quantities.weights[f"{layer}.weight"][row],
        lambda i: f"{layer}.weight[{row},{i}]",
        "neuron" if source == "mlp.post" else "dimension",
        [quantities.operand("bias", f"{layer}.bias[{row}]")],
    )


def _mlp_pre(quantities: Quantities, place: Place) -> Answer:
    position, neuron = place.index
    return _linear(quantities, place, position, f"h.{place.layer}.mlp.c_fc", neuron, "ln2.normalized", "W_in")


def _mlp_out(quantities: Quantities, place: Place) -> Answer:
    position, i = place.index
    return _linear(quantities, place, position, f"h.{place.layer}.mlp.c_proj", i, "mlp.post", "W_out")


def _mlp_post(quantities: Quantities, place: Place) -> Answer:
    position, neuron = place.index
    x = quantities.operand("x, before GELU", f"{place.block}mlp.pre[{position},{neuron}]")
    inner = math.sqrt(2 / math.pi) * (x.value + 0.044715 * x.value**3)
    text = bracketed(x.value)
    return Answer(
        "x/2 × (1 + tanh(√(2/π) × (x + 0.044715 x³)))",
        f"{text}/2 × (1 + tanh(0.7979 × ({text} + 0.044715 × {text}³)))",
        [x],
        0.5 * x.value * (1 + math.tanh(inner)),
    )


def _embed(quantities: Quantities, place: Place) -> Answer:
    position, i = place.index
    token = quantities.trace.ids[position]
    return _looked_up(quantities, f"row {token} of the token embedding", f"wte.weight[{token},{i}]")


def _pos_embed(quantities: Quantities, place: Place) -> Answer:
    position, i = place.index
    return _looked_up(quantities, f"row {position} of the position embedding", f"wpe.weight[{position},{i}]")


def _looked_up(quantities: Quantities, formula: str, ref: str) -> Answer:
    weight = quantities.operand("weight", ref)
    return Answer(formula, number(weight.value), [weight], weight.value)


MASKED = "Masked: a position may not look at one that comes after it, so its share is exactly 0."
EDITED_BEFORE = "An intervention changed the stream on the way, so the parts need not add up to it."

_NORM = {
    "normalized": ("after the norm", ("position", "dimension"), _normalized),
    "scale": ("scale of the norm", ("position",), _scale),
    "variance": ("variance of the residual stream", ("position",), _variance),
    "mean": ("mean of the residual stream", ("position",), _mean),
}

RULES: dict[str, Rule] = {
    "probability": Rule("probability of the next token", ("position", "token"), _probability),
    "probability.exp": Rule("exp(logit − max)", ("position", "token"), _probability_exp),
    "probability.sum": Rule("sum over the vocabulary", ("position",), _probability_sum),
    "logits": Rule("logit", ("position", "token"), _logit),
    "embed": Rule("token embedding", ("position", "dimension"), _embed),
    "pos_embed": Rule("position embedding", ("position", "dimension"), _pos_embed),
    **{f"ln_final.{name}": Rule(title, axes, rule) for name, (title, axes, rule) in _NORM.items()},
    **{f"blocks.N.ln{n}.{name}": Rule(title, axes, rule) for n in (1, 2) for name, (title, axes, rule) in _NORM.items()},
    "blocks.N.resid_pre": Rule("residual stream before the layer", ("position", "dimension"), _stream),
    "blocks.N.resid_mid": Rule("residual stream after attention", ("position", "dimension"), _stream),
    "blocks.N.resid_post": Rule("residual stream after the layer", ("position", "dimension"), _stream),
    "blocks.N.attn_out": Rule("attention's output", ("position", "dimension"), _attn_out),
    "blocks.N.attn.head_out": Rule("a head's share in the output", ("head", "position", "dimension"), _head_share),
    "blocks.N.attn.z": Rule("weighted values", ("head", "position", "dimension"), _z),
    "blocks.N.attn.pattern": Rule("attention pattern", ("head", "from", "to"), _pattern),
    "blocks.N.attn.exp": Rule("exp(score − max)", ("head", "from", "to"), _pattern_exp),
    "blocks.N.attn.sum": Rule("sum over the keys", ("head", "from"), _pattern_sum),
    "blocks.N.attn.attn_scores": Rule("attention score", ("head", "from", "to"), _score),
    "blocks.N.attn.scores_raw": Rule("query · key", ("head", "from", "to"), _score_raw),
    "blocks.N.attn.q": Rule("query", ("head", "position", "dimension"), _projection),
    "blocks.N.attn.k": Rule("key", ("head", "position", "dimension"), _projection),
    "blocks.N.attn.v": Rule("value", ("head", "position", "dimension"), _projection),
    "blocks.N.mlp.pre": Rule("neuron before GELU", ("position", "neuron"), _mlp_pre),
    "blocks.N.mlp.post": Rule("neuron after GELU", ("position", "neuron"), _mlp_post),
    "blocks.N.mlp_out": Rule("MLP's output", ("position", "dimension"), _mlp_out),
}
"""Every family of names with its rule. An index is one of the rule's axes, 0-based in the reference and 1-based in the title."""


WEIGHT = Rule("weight", (), _weight)
