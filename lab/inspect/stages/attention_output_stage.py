"""Attention's output: the values that each head gathers, and what the heads add to the residual stream."""

import numpy as np

from lab.core.number_format import probability, significant
from lab.inspect.stages.attention_stage import head_title, listed_keys, most_attended
from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Block, Cell, Column, Table, View
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
    strip,
    term_decimals,
)

DIMENSIONS = 4
WRITTEN_OUT = 8


def values(look: StageContext) -> View:
    """pattern × v, key by key, whose sum is the head's output z."""
    block, head, at, width = look.block, look.head, look.position, look.config.head_width
    pattern = look.array(f"{block}attn.pattern")[head, at, : at + 1].astype(np.float64)
    v = look.heads(f"{block}attn.v")[head, : at + 1].astype(np.float64)
    weighted = pattern[:, None] * v  # (i + 1, D)
    z = weighted.sum(0)
    z_name = look.before(f"{block}attn.z", at, head)
    keys, rest = listed_keys(look)
    first = min(DIMENSIONS, width)
    rows_values = np.vstack([weighted[keys], weighted[rest].sum(0, keepdims=True)]) if rest else weighted[keys]
    decimals = decimals_for(rows_values[:, :first], z[:first], digits=3)
    places = max(term_decimals(rows_values[:, d], float(z[d]), decimals) for d in range(first))
    lengths = decimals_for([norm(row) for row in rows_values], norm(z))

    def dimensions(vector: Numbers, style: str, key: int | None) -> list[Cell]:
        named = ["" if key is None else _weighted(look, key, d) for d in range(first)]
        return [number(vector[d], places, named[d], style) for d in range(first)]

    rows = []
    for key in keys:
        p = float(pattern[key])
        rows.append(
            [
                Cell(look.name(key)),
                Cell(probability(p), p, ref(f"{block}attn.pattern", head, at, key), p),
                number(norm(weighted[key]), lengths, ref(f"{block}attn.weighted_v.norm", head, at, key)),
                *dimensions(weighted[key], "", key),
            ]
        )
    if rest:
        p, vector = float(pattern[rest].sum()), rows_values[-1]
        label, share = Cell(f"{len(rest)} other keys", style="dim"), Cell(probability(p), p, bar=p, style="dim")
        rows.append([label, share, number(norm(vector), lengths, style="dim"), *dimensions(vector, "dim", None)])
    total = [
        Cell("Σ = z"),
        Cell("100%", value=1.0),
        number(norm(z), lengths, ref(f"{z_name}.norm", at, head)),
        *(number(z[d], decimals, ref(z_name, at, head, d)) for d in range(first)),
    ]
    columns = [Column("key", align="left"), Column("pattern"), Column("‖p × v‖")]
    columns += [Column(f"p × v [{d + 1}]", optional=d > 0) for d in range(first)]
    key = most_attended(look)
    title = f"pattern × v of {look.here}: its length and first {first} of {width} numbers"
    blocks: list[Block] = [
        Table(columns, rows, title=title, total=total, selected=keys.index(key)),
        _written_out(look, key, float(pattern[key]), v[key]),
        strip(f"v of {look.quoted(key)}, the most attended", v[key], ref(f"{block}attn.v", key, head)),
        strip("z: what the head takes along, all values added up", z, ref(z_name, at, head)),
    ]
    lengths_of = [norm(row) for row in weighted]
    most = int(np.argmax(lengths_of))
    sentence = (
        f"The head takes from each token as much of its value as it pays attention to it: most comes from {look.quoted(most)} "
        f"(length {significant(lengths_of[most])}), and the sum z has length {significant(norm(z))}."
    )
    return View("values", head_title(look, "values"), sentence, blocks, look.parity(z_name, z, at, head))


def _weighted(look: StageContext, key: int, dimension: int) -> str:
    """Name of one dimension of pattern × v."""
    pattern = ref(f"{look.block}attn.pattern", look.head, look.position, key)
    return product(pattern, ref(f"{look.block}attn.v", key, look.head, dimension))


def _written_out(look: StageContext, key: int, p: float, v: Numbers) -> Table:
    """pattern × v of one key, number by number."""
    block, head, at = look.block, look.head, look.position
    first = min(WRITTEN_OUT, len(v))
    columns = [
        Series("pattern", np.full(first, p), lambda row: ref(f"{block}attn.pattern", head, at, key)),
        Series("v", v[:first], lambda row: ref(f"{block}attn.v", key, head, row)),
        Series("pattern × v", p * v[:first], lambda row: _weighted(look, key, row)),
    ]
    labels = [str(d + 1) for d in range(first)]
    # Two more figures in the factors than in the product, so that they reproduce it.
    decimals = [decimals_for(p, digits=5), decimals_for(v[:first], digits=5), decimals_for(p * v[:first], digits=3)]
    return series_table("dimension", labels, columns, decimals, title=f"{look.quoted(key)} written out")


def attn_out(look: StageContext) -> View:
    """Each head's output through its part of the output matrix; with the bias they add up to what attention says."""
    block, at = look.block, look.position
    outputs = head_outputs(look)
    name = look.before(f"{block}attn_out", at)
    bias_name = f"h.{look.layer}.attn.c_proj.bias"
    bias = look.weight(bias_name).astype(np.float64)
    out = outputs.sum(0) + bias
    size = norm(out)
    # A vector's share of a sum is its projection onto it: the shares add up to 1, and one that works against it is negative.
    shares = [float(each @ out) / size**2 if size else 0.0 for each in (*outputs, bias)]
    z = look.array(f"{block}attn.z")[at]
    decimals = decimals_for([norm(each) for each in outputs], size)
    rows = [
        [
            Cell(f"head {head + 1}"),
            number(norm(z[head]), decimals_for([norm(each) for each in z]), ref(f"{block}attn.z.norm", at, head)),
            number(norm(outputs[head]), decimals, ref(f"{block}attn.head_out.norm", head, at)),
            _share(shares[head], ref(f"{block}attn.head_out.share", head, at)),
        ]
        for head in range(look.config.heads)
    ]
    rows.append([Cell("bias"), Cell(""), number(norm(bias), decimals, f"{bias_name}.norm"), _share(shares[-1], "")])
    total = [
        Cell("Σ = attention's output"),
        Cell(""),
        number(size, decimals, ref(f"{name}.norm", at)),
        Cell("100%", 1.0),
    ]
    columns = [Column("part", align="left"), Column("‖z‖"), Column("‖output‖"), Column("share")]
    stream = look.row(f"{block}resid_pre")
    blocks: list[Block] = [
        Table(columns, rows, title=f"what each head adds at {look.here}", total=total, selected=look.head),
        _beside_stream(look, out, stream),
        strip(f"output of head {look.head + 1}", outputs[look.head], ref(f"{block}attn.head_out", look.head, at)),
        strip("attention's output: all heads and the bias", out, ref(name, at)),
    ]
    strongest = int(np.argmax(shares[:-1]))
    sentence = (
        f"Head {strongest + 1} makes {probability(shares[strongest])} of what attention says at {look.here}; all heads and the "
        f"bias together are a vector of length {significant(size)}, added to a stream of length {significant(norm(stream))}."
    )
    parity = look.parity(name, out, at)
    return View("attn_out", f"{look.place} · attention · output projection", sentence, blocks, parity)


def head_outputs(look: StageContext) -> Numbers:
    """What each head adds to the residual stream at the position, (H, C): its z through its part of the output matrix."""
    width = look.config.head_width
    matrix = look.weight(f"h.{look.layer}.attn.c_proj.weight").astype(np.float64)  # (C, H·D)
    z = look.row(f"{look.block}attn.z")  # (H, D)
    return np.stack([matrix[:, h * width : (h + 1) * width] @ z[h] for h in range(look.config.heads)])


def _share(share: float, name: str) -> Cell:
    return Cell(probability(share), share, name, bar=max(0.0, min(1.0, share)))


def _beside_stream(look: StageContext, out: Numbers, stream: Numbers) -> Table:
    after, at, name = stream + out, look.position, look.before(f"{look.block}attn_out", look.position)
    # Where attention's output is changed, what is reached with what it was has no name.
    reached = "" if look.changed(f"{look.block}attn_out", at) else look.before(f"{look.block}resid_mid", at)
    return Table(
        [Column("in the residual stream", align="left"), Column("value")],
        [
            [Cell("length of the stream before"), figures(norm(stream), 4, ref(f"{look.block}resid_pre.norm", at))],
            [Cell("length of what is added"), figures(norm(out), 4, ref(f"{name}.norm", at))],
            [Cell("cosine between the two"), figures(cosine(stream, out), 4)],
            [Cell("length after adding"), figures(norm(after), 4, reached and ref(f"{reached}.norm", at))],
        ],
    )
