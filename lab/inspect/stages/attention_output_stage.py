"""Attention's output: the values that each head gathers, and what the heads add to the residual stream."""

import numpy as np

from lab.core.number_format import probability, significant
from lab.inspect.stages.attention_scores_stage import head_title, listed_keys, most_attended
from lab.inspect.stages.stage_context import HEAD_KEYS, Stage, StageContext
from lab.views.blocks import Block, Cell, Column, StackedStrips, Table, View
from lab.views.number_refs import product, ref
from lab.views.number_tables import (
    Numbers,
    Series,
    cosine,
    decimals_for,
    figures,
    norm,
    number,
    series_table,
    share,
    stacked,
    strip,
    term_decimals,
)

DIMENSIONS = 4
WRITTEN_OUT = 8
TERMS = 8
"""Keys whose pattern × v is drawn."""


@Stage(
    "values",
    "Head {head} puts out the sum of the tokens' values, weighted by its attention.",
    HEAD_KEYS,
    of_head=True,
    computes="attn.z",
    code={
        "gpt.py: Attention.forward": ("z = causal_attention",),
        "attention_kernels.py: causal_attention": ("return torch.bmm",),
    },
)
def values(context: StageContext) -> View:
    """pattern × v, key by key, whose sum is the head's output z."""
    block, head, at, width = context.block, context.head, context.position, context.config.head_width
    pattern = context.array(f"{block}attn.pattern")[head, at, : at + 1].astype(np.float64)
    v = context.heads(f"{block}attn.v")[head, : at + 1].astype(np.float64)
    weighted = pattern[:, None] * v  # (i + 1, D)
    z = weighted.sum(0)
    z_name = context.before(f"{block}attn.z", at, head)
    keys, rest = listed_keys(context)
    first = min(DIMENSIONS, width)
    rows_values = np.vstack([weighted[keys], weighted[rest].sum(0, keepdims=True)]) if rest else weighted[keys]
    decimals = decimals_for(rows_values[:, :first], z[:first], digits=3)
    places = max(term_decimals(rows_values[:, d], float(z[d]), decimals) for d in range(first))
    lengths = decimals_for([norm(row) for row in rows_values], norm(z))

    def dimensions(vector: Numbers, style: str, key: int | None) -> list[Cell]:
        named = ["" if key is None else _weighted(context, key, d) for d in range(first)]
        return [number(vector[d], places, named[d], style) for d in range(first)]

    rows = [
        [
            Cell(context.name(key)),
            share(float(pattern[key]), ref=ref(f"{block}attn.pattern", head, at, key)),
            number(norm(weighted[key]), lengths, ref(f"{block}attn.weighted_v.norm", head, at, key)),
            *dimensions(weighted[key], "", key),
        ]
        for key in keys
    ]
    if rest:
        label, vector = Cell(f"{len(rest)} other keys", style="dim"), rows_values[-1]
        both = share(float(pattern[rest].sum()), style="dim"), number(norm(vector), lengths, style="dim")
        rows.append([label, *both, *dimensions(vector, "dim", None)])
    total = [
        Cell("Σ = z"),
        Cell("100%", value=1.0),
        number(norm(z), lengths, ref(f"{z_name}.norm", at, head)),
        *(number(z[d], decimals, ref(z_name, at, head, d)) for d in range(first)),
    ]
    columns = [Column("key", align="left"), Column("pattern"), Column("‖p × v‖")]
    columns += [Column(f"p × v [{d + 1}]", optional=int(d > 0)) for d in range(first)]
    key = most_attended(context)
    title = f"pattern × v at {context.here}: norm and first {first} of {width} dimensions"
    blocks: list[Block] = [
        Table(columns, rows, title=title, total=total, selected=keys.index(key)),
        strip(f"v of {context.quoted(key)}, the most attended", v[key], ref(f"{block}attn.v", key, head)),
        _written_out(context, key, float(pattern[key]), v[key]),
    ]
    norms = [norm(row) for row in weighted]
    blocks.insert(0, _sum_of_values(context, weighted, norms, (z, ref(z_name, at, head))))
    most = int(np.argmax(norms))
    sentence = (
        f"z is the sum of all values, each times its weight in the pattern (norm {significant(norm(z))}). Its largest term, "
        f"pattern × value, is that of {context.quoted(most)} (norm {significant(norms[most])})."
    )
    return View("values", head_title(context, "values"), sentence, blocks, context.parity(z_name, z, at, head))


def _sum_of_values(context: StageContext, weighted: Numbers, norms: list[float], z: tuple[Numbers, str]) -> StackedStrips:
    """The largest terms pattern × v in order of their keys, all others together, and their sum."""
    largest = sorted(np.argsort(-np.asarray(norms), kind="stable")[:TERMS].tolist())
    rest = weighted.sum(0) - weighted[largest].sum(0)
    left = len(norms) - len(largest)
    terms = [(f"+ {context.name(key)}", weighted[key], "") for key in largest]
    others = [(f"+ {left} other{'s' * (left > 1)}", rest, "")] if left else []
    return stacked("z = Σ pattern × v", [*terms, *others, ("= z", *z)], "a line per key")


def _weighted(context: StageContext, key: int, dimension: int) -> str:
    """Reference of one dimension of pattern × v."""
    pattern = ref(f"{context.block}attn.pattern", context.head, context.position, key)
    return product(pattern, ref(f"{context.block}attn.v", key, context.head, dimension))


def _written_out(context: StageContext, key: int, p: float, v: Numbers) -> Table:
    """pattern × v of one key, dimension by dimension."""
    block, head, at = context.block, context.head, context.position
    first = min(WRITTEN_OUT, len(v))
    columns = [
        Series("pattern", np.full(first, p), lambda row: ref(f"{block}attn.pattern", head, at, key)),
        Series("v", v[:first], lambda row: ref(f"{block}attn.v", key, head, row)),
        Series("pattern × v", p * v[:first], lambda row: _weighted(context, key, row)),
    ]
    labels = [str(d + 1) for d in range(first)]
    # Two more figures in the factors than in the product, so that they reproduce it.
    decimals = [decimals_for(p, digits=5), decimals_for(v[:first], digits=5), decimals_for(p * v[:first], digits=3)]
    return series_table("dimension", labels, columns, decimals, title=f"{context.quoted(key)} written out")


@Stage(
    "output projection",
    "The outputs of {heads} are joined and projected to {facts.width:,} numbers.",
    HEAD_KEYS,
    computes="attn_out",
    code={"gpt.py: Attention.forward": ("z = z.transpose", "out")},
)
def attn_out(context: StageContext) -> View:
    """Each head's output through its rows of W_O; with the bias they sum to the attention output."""
    block, at = context.block, context.position
    outputs = context.trace.head_out(context.layer, [at])[:, 0].numpy()  # (H, C)
    name = context.before(f"{block}attn_out", at)
    bias_name = f"h.{context.layer}.attn.c_proj.bias"
    bias = context.weight(bias_name).astype(np.float64)
    out = outputs.sum(0) + bias
    size = norm(out)
    # A vector's share of a sum is its projection onto it: the shares add up to 1, and one that works against it is negative.
    shares = [float(each @ out) / size**2 if size else 0.0 for each in (*outputs, bias)]
    z = context.array(f"{block}attn.z")[at]
    decimals = decimals_for([norm(each) for each in outputs], size)
    before = _outputs_before(context)
    rows = [
        [
            context.part_cell(f"head {head + 1}", context.off("attn.z", head)),
            number(norm(z[head]), decimals_for([norm(each) for each in z]), ref(f"{block}attn.z.norm", at, head)),
            *([] if before is None else [number(norm(before[head]), decimals)]),
            number(norm(outputs[head]), decimals, ref(f"{block}attn.head_out.norm", head, at)),
            _share(shares[head], ref(f"{block}attn.head_out.share", head, at)),
        ]
        for head in range(context.config.heads)
    ]
    same = [] if before is None else [number(norm(bias), decimals)]
    rows.append([Cell("bias"), Cell(""), *same, number(norm(bias), decimals, f"{bias_name}.norm"), _share(shares[-1], "")])
    total = [
        Cell("Σ = attention output"),
        Cell(""),
        *([] if before is None else [number(norm(before.sum(0) + bias), decimals)]),
        number(size, decimals, ref(f"{name}.norm", at)),
        Cell("100%", 1.0),
    ]
    norms = ["‖output‖"] if before is None else ["‖output‖ before", "→ after"]
    columns = [Column("part", align="left"), Column("‖z‖"), *(Column(each) for each in norms), Column("share")]
    stream = context.row(f"{block}resid_pre")
    blocks: list[Block] = [
        Table(columns, rows, title=f"output of each head at {context.here}", total=total, selected=context.head),
        _beside_stream(context, out, stream),
    ]
    terms = [
        (f"+ head {head + 1}", outputs[head], ref(f"{block}attn.head_out", head, at)) for head in range(context.config.heads)
    ]
    summed = [*terms, ("+ bias", bias, bias_name), ("= output", out, ref(name, at))]
    blocks.insert(0, stacked("attention output = Σ heads + bias", summed, f"{len(out)} dimensions"))
    strongest = int(np.argmax(shares[:-1]))
    sentence = (
        f"Head {strongest + 1} makes up {probability(shares[strongest])} of the attention output at {context.here} (norm "
        f"{significant(size)}), which is added to a residual stream of norm {significant(norm(stream))}."
    )
    parity = context.parity(name, out, at)
    off = context.off("attn_out")
    title = f"{context.layer_name} · attention{f' {off}' if off else ''} · output projection"
    return View("attn_out", title, sentence, blocks, parity)


def _outputs_before(context: StageContext) -> Numbers | None:
    """Each head's output (H, C) before interventions on heads of this layer; None where there are none."""
    name, at, heads = f"{context.block}attn.z", context.position, context.config.heads
    if not any(context.changed(name, at, head) for head in range(heads)):
        return None
    z = np.stack([context.array(context.before(name, at, head))[at, head] for head in range(heads)]).astype(np.float64)
    output = context.weight(f"h.{context.layer}.attn.c_proj.weight").astype(np.float64)  # (C, H*D)
    found: Numbers = np.einsum("hd,chd->hc", z, output.reshape(len(output), heads, -1))
    return found


def _share(share: float, name: str) -> Cell:
    return Cell(probability(share), share, name, bar=max(0.0, min(1.0, share)))


def _beside_stream(context: StageContext, out: Numbers, stream: Numbers) -> Table:
    after, at, name = stream + out, context.position, context.before(f"{context.block}attn_out", context.position)
    # Where an intervention changes the attention output, the stream with the original one has no reference.
    reached = "" if context.changed(f"{context.block}attn_out", at) else context.before(f"{context.block}resid_mid", at)
    return Table(
        [Column("in the residual stream", align="left"), Column("value")],
        [
            [Cell("norm before"), figures(norm(stream), 4, ref(f"{context.block}resid_pre.norm", at))],
            [Cell("norm of the attention output"), figures(norm(out), 4, ref(f"{name}.norm", at))],
            [Cell("cosine of the two"), figures(cosine(stream, out), 4)],
            [Cell("norm after"), figures(norm(after), 4, reached and ref(f"{reached}.norm", at))],
        ],
    )
