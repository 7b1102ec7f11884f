"""The MLP: its neurons before and after GELU, and the tokens that the strongest promote and suppress."""

import math

import numpy as np

from lab.core.number_format import significant
from lab.inspect.stages.stage_context import MLP_KEYS, Stage, StageContext
from lab.views.blocks import Block, Cell, Column, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import (
    Numbers,
    Series,
    decimals_for,
    dot_table,
    figures,
    norm,
    number,
    reproduces,
    rounded,
    series_table,
    strip,
)
from models.check import check

STRONGEST = 12
"""Neurons listed."""
SHOWN_NEURONS = 6
"""Neurons whose effect on the logits is computed."""
SHOWN_TOKENS = 3
"""Tokens listed for each, promoted and suppressed."""


def gelu(x: Numbers) -> Numbers:
    """x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))), GPT-2's form of GELU."""
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def strengths(context: StageContext) -> Numbers:
    """Norm of each neuron's output at the position, (4C,): |post| times the norm of its output vector."""
    matrix = context.weight(f"h.{context.layer}.mlp.c_proj.weight")  # (C, 4C)
    lengths: Numbers = context.traced.get_or_compute(
        ("output lengths", context.layer), 0, lambda: np.sqrt(np.square(matrix).sum(0, dtype=np.float64))
    )
    return np.abs(context.row(f"{context.block}mlp.post")) * lengths


def mlp_title(context: StageContext) -> str:
    off = context.off("mlp_out")
    return f"{context.layer_name} · MLP{f' {off}' if off else ''}"


@Stage(
    "neurons, GELU",
    "The MLP goes from {facts.width:,} numbers to {neurons:,} neurons, through GELU, and back.",
    MLP_KEYS,
    computes="mlp_out",
    code={"gpt.py: MLP.forward": ("post =", "out")},
)
def mlp(context: StageContext) -> View:
    """pre → GELU → post of the strongest neurons, one of them written out, and the MLP output."""
    block, at = context.block, context.position
    pre = context.row(f"{block}mlp.pre")
    post = gelu(pre)
    strength = strengths(context)
    order = np.argsort(-strength, kind="stable")[:STRONGEST]
    columns = [
        Series("pre", pre[order], lambda row: ref(f"{block}mlp.pre", at, int(order[row]))),
        Series("GELU", post[order], lambda row: ref(f"{block}mlp.post", at, int(order[row]))),
        Series("‖output‖", strength[order], lambda row: ref(f"{block}mlp.neuron_out.norm", at, int(order[row]))),
    ]
    labels = [str(neuron + 1) for neuron in order.tolist()]
    decimals = [_pre_decimals(pre[order]), decimals_for(post[order]), decimals_for(strength[order])]
    table = series_table(
        "neuron",
        labels,
        columns,
        decimals,
        title=f"the {len(order)} of {len(pre)} neurons with the largest output norm",
    )
    table.selected = 0
    out_name = context.before(f"{block}mlp_out", at)
    out = context.row(out_name)
    blocks: list[Block] = [
        strip(f"all {len(post)} neurons after GELU", post, ref(f"{block}mlp.post", at)),
        strip("MLP output", out, ref(out_name, at)),
        table,
        _written_out(context, int(order[0])),
    ]
    active = int((pre > 0).sum())
    sentence = (
        f"{active} of {len(pre)} neurons are active at {context.here} (input above 0); neuron {order[0] + 1} has the largest "
        f"output. The MLP output has norm {significant(norm(out))}."
    )
    return View("mlp", mlp_title(context), sentence, blocks, context.parity(f"{block}mlp.post", post, at))


def _pre_decimals(pre: Numbers) -> int:
    """Decimals of GELU's input with which its printed values give the printed outputs."""
    after = decimals_for(gelu(pre))
    places = range(after + 1, after + 4)
    return next((each for each in places if reproduces(gelu(rounded(pre, each)), gelu(pre), after)), places[-1])


def _written_out(context: StageContext, neuron: int) -> Table:
    """One neuron's input written out: x · weights + bias."""
    block, at = context.block, context.position
    weight, bias = f"h.{context.layer}.mlp.c_fc.weight", f"h.{context.layer}.mlp.c_fc.bias"
    return dot_table(
        f"neuron {neuron + 1} written out",
        Series("x", context.row(f"{block}ln2.out"), lambda d: ref(f"{block}ln2.out", at, d)),
        Series("weight", context.weight(weight)[neuron], lambda d: ref(weight, neuron, d)),
        "Σ = pre",
        ref(f"{block}mlp.pre", at, neuron),
        float(context.weight(bias)[neuron]),
        ref(bias, neuron),
    )


@Stage(
    "strongest neurons",
    "These neurons are the strongest at this token, with the tokens that they promote and suppress.",
    MLP_KEYS,
    computes="mlp_out",
    code={"gpt.py: MLP.forward": ("post =",)},
)
def neurons(context: StageContext) -> View:
    """The strongest neurons and the tokens that they promote and suppress, the final norm's scale frozen."""
    block, at = context.block, context.position
    post = context.row(f"{block}mlp.post")
    strength = strengths(context)
    order = np.argsort(-strength, kind="stable")[:SHOWN_NEURONS]
    matrix = context.weight(f"h.{context.layer}.mlp.c_proj.weight")  # (C, 4C)
    effects = context.unembed(through_final_norm(context, post[order, None] * matrix[:, order].T))  # (neurons, V)
    ends = []
    for each in effects:
        ends.append(_ends(each))
        check()
    decimals = decimals_for(*(each[up + down] for each, (up, down) in zip(effects, ends, strict=True)), digits=3)
    rows = [
        row
        for neuron, each, (up, down) in zip(order.tolist(), effects, ends, strict=True)
        for row in _rows(context, neuron, float(strength[neuron]), each, up, down, decimals)
    ]
    columns = [Column("neuron", "left"), Column("GELU", optional=1), Column("‖output‖", optional=1)]
    columns += [column for effect in ("promotes", "suppresses") for column in (Column(effect, "left"), Column("logit"))]
    title = f"the {len(order)} neurons with the largest output norm; logit: effect on the final logits, final norm's scale frozen"
    top = ends[0][0][0]
    sentence = (
        f"Each neuron adds a fixed vector times its activation. Neuron {order[0] + 1} promotes “{context.tokenizer.label(top)}” "
        f"most: {significant(float(effects[0][top]), sign=True)} logits."
    )
    rebuilt = matrix @ post.astype(np.float32) + context.weight(f"h.{context.layer}.mlp.c_proj.bias")
    parity = context.parity(context.before(f"{block}mlp_out", at), rebuilt, at)
    return View("neurons", f"{mlp_title(context)} · strongest neurons", sentence, [Table(columns, rows, title=title)], parity)


def through_final_norm(context: StageContext, vectors: Numbers) -> Numbers:
    """Vectors (n, C) of the residual stream through the final norm, its scale at the position frozen."""
    gain = context.weight("ln_f.weight").astype(np.float64)
    scale = float(context.array("ln_final.scale")[context.position, 0])
    passed: Numbers = (vectors - vectors.mean(-1, keepdims=True)) / scale * gain
    return passed


def _ends(effects: Numbers) -> tuple[list[int], list[int]]:
    """The SHOWN_TOKENS tokens with the highest and the lowest values."""
    # Only both ends are needed: sorting all of GPT-2's vocabulary for each neuron would be slow.
    count = min(SHOWN_TOKENS, len(effects))
    parts = np.argpartition(effects, (count - 1, len(effects) - count))
    up, down = parts[len(effects) - count :], parts[:count]
    return up[np.argsort(-effects[up], kind="stable")].tolist(), down[np.argsort(effects[down], kind="stable")].tolist()


def _rows(
    context: StageContext, neuron: int, strength: float, effects: Numbers, up: list[int], down: list[int], decimals: int
) -> list[list[Cell]]:
    """One row per pair of promoted and suppressed tokens, the first with the neuron's number."""
    block, at = context.block, context.position
    rows = []
    for n, ids in enumerate(zip(up, down, strict=True)):
        head = [Cell(""), Cell(""), Cell("")]
        if n == 0:
            activation = float(context.array(f"{block}mlp.post")[at, neuron])
            head = [
                Cell(str(neuron + 1)),
                figures(activation, 4, ref(f"{block}mlp.post", at, neuron)),
                figures(strength, 4, ref(f"{block}mlp.neuron_out.norm", at, neuron)),
            ]
        cells = []
        for id_ in ids:
            name = ref(f"{block}mlp.logit_effect", at, neuron, id_)
            cells += [Cell(context.tokenizer.label(id_)), number(effects[id_], decimals, name)]
        rows.append([*head, *cells])
    return rows
