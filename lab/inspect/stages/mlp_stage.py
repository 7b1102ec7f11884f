"""The MLP: its neurons before and after GELU, and what the strongest of them push the prediction towards."""

import math

import numpy as np

from lab.core.number_format import significant
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Block, Cell, Column, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import (
    Numbers,
    Series,
    Sum,
    decimals_for,
    figures,
    norm,
    number,
    reproduces,
    rounded,
    series_table,
    strip,
)

STRONGEST = 12
"""Neurons listed."""
PUSHING = 6
"""Neurons whose effect on the tokens is worked out."""
PUSHED = 3
"""Tokens listed for each, up and down."""


def gelu(x: Numbers) -> Numbers:
    """x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))), GPT-2's form of GELU."""
    result: Numbers = 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
    return result


def strengths(context: StageContext) -> Numbers:
    """Length of what each neuron adds at the position, (4C,): |post| times the length of its output vector."""
    matrix = context.weight(f"h.{context.layer}.mlp.c_proj.weight")  # (C, 4C)
    lengths: Numbers = context.traced.once(
        ("output lengths", context.layer), 0, lambda: np.sqrt(np.square(matrix).sum(0, dtype=np.float64))
    )
    return np.abs(context.row(f"{context.block}mlp.post")) * lengths


def mlp(context: StageContext) -> View:
    """pre → GELU → post of the strongest neurons, one of them written out, and the output."""
    block, at = context.block, context.position
    pre = context.row(f"{block}mlp.pre")
    post = gelu(pre)
    strength = strengths(context)
    order = np.argsort(-strength, kind="stable")[:STRONGEST]
    columns = [
        Series("pre", pre[order], lambda row: ref(f"{block}mlp.pre", at, int(order[row]))),
        Series("GELU", post[order], lambda row: ref(f"{block}mlp.post", at, int(order[row]))),
        Series("‖adds‖", strength[order], lambda row: ref(f"{block}mlp.neuron_out.norm", at, int(order[row]))),
    ]
    labels = [str(neuron + 1) for neuron in order.tolist()]
    decimals = [_pre_decimals(pre[order]), decimals_for(post[order]), decimals_for(strength[order])]
    table = series_table(
        "neuron",
        labels,
        columns,
        decimals,
        title=f"the {len(order)} of {len(pre)} that add the longest vector (‖adds‖), largest first",
    )
    table.selected = 0
    out_name = context.before(f"{block}mlp_out", at)
    out = context.row(out_name)
    blocks: list[Block] = [
        table,
        _written_out(context, int(order[0])),
        strip("all neurons after GELU", post, ref(f"{block}mlp.post", at)),
        strip("the MLP's output, added to the residual stream next", out, ref(out_name, at)),
    ]
    active = int((pre > 0).sum())
    sentence = (
        f"Of {len(pre)} neurons {active} are on at {context.here} (above 0, where GELU lets them through); neuron {order[0] + 1} "
        f"adds most. Together with the bias they add a vector of length {significant(norm(out))}."
    )
    return View("mlp", f"{context.place} · MLP", sentence, blocks, context.parity(f"{block}mlp.post", post, at))


def _pre_decimals(pre: Numbers) -> int:
    """Decimals of GELU's input with which the printed input gives the printed output."""
    after = decimals_for(gelu(pre))
    places = range(after + 1, after + 4)
    return next((each for each in places if reproduces(gelu(rounded(pre, each)), gelu(pre), after)), places[-1])


def _written_out(context: StageContext, neuron: int) -> Table:
    """How one neuron's input is made: x · weights + bias."""
    block, at = context.block, context.position
    weight, bias = f"h.{context.layer}.mlp.c_fc.weight", f"h.{context.layer}.mlp.c_fc.bias"
    return Sum(
        "dimension",
        lambda dimension: str(dimension + 1),
        Series("x", context.row(f"{block}ln2.out"), lambda d: ref(f"{block}ln2.out", at, d)),
        Series("weight", context.weight(weight)[neuron], lambda d: ref(weight, neuron, d)),
        "Σ = pre",
        ref(f"{block}mlp.pre", at, neuron),
        float(context.weight(bias)[neuron]),
        ref(bias, neuron),
    ).table(f"how neuron {neuron + 1} comes about")


def neurons(context: StageContext) -> View:
    """The strongest neurons, and the tokens whose logits they push up and down, the final norm's scale held fast."""
    block, at = context.block, context.position
    post = context.row(f"{block}mlp.post")
    strength = strengths(context)
    order = np.argsort(-strength, kind="stable")[:PUSHING]
    matrix = context.weight(f"h.{context.layer}.mlp.c_proj.weight")  # (C, 4C)
    pushes = context.unembed(through_final_norm(context, post[order, None] * matrix[:, order].T))  # (neurons, V)
    ends = [_ends(each) for each in pushes]
    decimals = decimals_for(*(each[up + down] for each, (up, down) in zip(pushes, ends, strict=True)), digits=3)
    rows = [
        row
        for neuron, each, (up, down) in zip(order.tolist(), pushes, ends, strict=True)
        for row in _rows(context, neuron, float(strength[neuron]), each, up, down, decimals)
    ]
    columns = [
        Column("neuron", align="left"),
        Column("GELU", optional=True),
        Column("‖adds‖", optional=True),
        Column("pushes up", align="left"),
        Column("by"),
        Column("pushes down", align="left"),
        Column("by"),
    ]
    title = (
        f"the {len(order)} that add the longest vector (‖adds‖, largest first); "
        "by: change of the final logits, with the final norm's scale as it is here"
    )
    top = ends[0][0][0]
    sentence = (
        f"Each neuron adds a fixed vector, as strongly as it is on. Seen through final norm and output head, neuron "
        f"{order[0] + 1} pushes “{context.tokenizer.label(top)}” up most, by {significant(float(pushes[0][top]))}."
    )
    rebuilt = matrix @ post.astype(np.float32) + context.weight(f"h.{context.layer}.mlp.c_proj.bias")
    parity = context.parity(context.before(f"{block}mlp_out", at), rebuilt, at)
    return View("neurons", f"{context.place} · MLP · strongest neurons", sentence, [Table(columns, rows, title=title)], parity)


def through_final_norm(context: StageContext, vectors: Numbers) -> Numbers:
    """What vectors (n, C) added to the residual stream become in the final norm's output, its scale at the position held fast."""
    gain = context.weight("ln_f.weight").astype(np.float64)
    scale = float(context.array("ln_final.scale")[context.position, 0])
    passed: Numbers = (vectors - vectors.mean(-1, keepdims=True)) / scale * gain
    return passed


def _ends(pushes: Numbers) -> tuple[list[int], list[int]]:
    """The PUSHED tokens that are pushed up most, and down most."""
    # Only the ends of the order are wanted: a whole sort of GPT-2's vocabulary for each neuron would be felt.
    count = min(PUSHED, len(pushes))
    parts = np.argpartition(pushes, (count - 1, len(pushes) - count))
    up, down = parts[len(pushes) - count :], parts[:count]
    return up[np.argsort(-pushes[up], kind="stable")].tolist(), down[np.argsort(pushes[down], kind="stable")].tolist()


def _rows(
    context: StageContext, neuron: int, strength: float, pushes: Numbers, up: list[int], down: list[int], decimals: int
) -> list[list[Cell]]:
    """One row for each pair of tokens pushed up and down, the first with the neuron's name."""
    block, at = context.block, context.position
    rows = []
    for place, ids in enumerate(zip(up, down, strict=True)):
        head = [Cell(""), Cell(""), Cell("")]
        if place == 0:
            activation = float(context.array(f"{block}mlp.post")[at, neuron])
            head = [
                Cell(str(neuron + 1)),
                figures(activation, 4, ref(f"{block}mlp.post", at, neuron)),
                figures(strength, 4, ref(f"{block}mlp.neuron_out.norm", at, neuron)),
            ]
        cells = []
        for id_ in ids:
            name = ref(f"{block}mlp.pushes", at, neuron, id_)
            cells += [Cell(context.tokenizer.label(id_)), number(pushes[id_], decimals, name)]
        rows.append([*head, *cells])
    return rows
