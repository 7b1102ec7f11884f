"""The residual stream: LayerNorm before attention, before the MLP and at the end, and the two residual adds of a layer."""

import math

import numpy as np

from lab.core.number_format import significant
from lab.inspect.stages.stage_context import Stage, StageContext
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import (
    DIMENSIONS,
    Numbers,
    Series,
    cosine,
    decimals_for,
    dimensions_title,
    figures,
    norm,
    reproduces,
    rounded,
    series_table,
    stacked,
    to_figures,
    vectors_table,
)

FIGURES = 7
"""Significant figures of mean, variance and scale, which every dimension is computed from."""


@Stage(
    "LayerNorm 1",
    "LayerNorm normalizes a copy of the stream for the attention of layer {layer}.",
    reads="resid_pre",
    code={"gpt.py: Block.forward": ("x = x + self.attn(self.ln_1",)},
)
def ln1(context: StageContext) -> View:
    return _layer_norm(context, "ln1", context.block + "ln1", context.block + "resid_pre", f"h.{context.layer}.ln_1", "attention")


@Stage(
    "LayerNorm 2",
    "LayerNorm normalizes a copy of the stream for the MLP of layer {layer}.",
    code={"gpt.py: Block.forward": ("x = x + self.mlp(self.ln_2",)},
)
def ln2(context: StageContext) -> View:
    return _layer_norm(context, "ln2", context.block + "ln2", context.block + "resid_mid", f"h.{context.layer}.ln_2", "the MLP")


@Stage(
    "final norm",
    "The last LayerNorm normalizes the stream for the comparison with every token's embedding.",
    layer_key=False,
    code={"gpt.py: GPT.hidden": ("normed",)},
)
def ln_final(context: StageContext) -> View:
    last = f"blocks.{context.config.layers - 1}.resid_post"
    return _layer_norm(context, "ln_final", "ln_final", last, "ln_f", "the output head")


def _layer_norm(context: StageContext, stage: str, name: str, stream: str, weight: str, reader: str) -> View:
    """(x − mean) / sqrt(variance + eps) · gain + bias (Ba et al. 2016), in float64 from the residual stream `stream`."""
    from models.gpt import EPSILON

    at, width = context.position, context.config.width
    x = context.row(stream)
    gain, bias = (context.weight(f"{weight}.{part}").astype(np.float64) for part in ("weight", "bias"))
    mean = float(x.mean())
    variance = float(np.square(x - mean).mean())
    scale = float(np.sqrt(variance + EPSILON))
    normalized = (x - mean) / scale
    result = normalized * gain + bias
    steps = Table(
        [Column(f"over {width} dimensions", align="left"), Column("value")],
        [
            [Cell("mean"), figures(mean, FIGURES, ref(f"{name}.mean", at))],
            [Cell("variance: mean of (x − mean)²"), figures(variance, FIGURES, ref(f"{name}.variance", at))],
            [Cell(f"variance + {EPSILON:.5f}"), figures(variance + EPSILON, FIGURES)],
            [Cell("√ = scale"), figures(scale, FIGURES, ref(f"{name}.scale", at))],
        ],
    )
    first = min(DIMENSIONS, width)
    columns = [
        Series("x", x[:first], lambda row: ref(stream, at, row)),
        Series("x − mean", x[:first] - mean, lambda row: ref(f"{name}.centred", at, row)),
        Series("÷ scale", normalized[:first], lambda row: ref(f"{name}.normalized", at, row)),
        Series("gain", gain[:first], lambda row: ref(f"{weight}.weight", row)),
        Series("bias", bias[:first], lambda row: ref(f"{weight}.bias", row)),
        Series("· gain + bias", result[:first], lambda row: ref(f"{name}.out", at, row)),
    ]
    labels = [str(dimension + 1) for dimension in range(first)]
    decimals = _decimals([each.values for each in columns], mean, scale)
    table = series_table("dimension", labels, columns, decimals, title=dimensions_title(first, width))
    vectors = [
        ("stream", x, ref(stream, at)),
        ("normalized", normalized, ref(f"{name}.normalized", at)),
        ("· gain + bias", result, ref(f"{name}.out", at)),
    ]
    strips = stacked(f"residual stream → input of {reader}", vectors, f"{width} dimensions")
    parts = [(part, values, f"{weight}.{file}") for part, values, file in (("gain", gain, "weight"), ("bias", bias, "bias"))]
    weights = stacked("learned", parts, "the same at every position")
    sentence = (
        f"At {context.here} LayerNorm subtracts the mean ({significant(mean)}) and divides by the scale ({significant(scale)}): "
        f"norm {significant(norm(x))} → {significant(norm(normalized))}. Then come a learned gain and bias per dimension."
    )
    title = "final norm" if stage == "ln_final" else f"{context.layer_name} · LayerNorm {1 if stage == 'ln1' else 2}"
    return View(stage, title, sentence, [strips, steps, weights, table], context.parity(f"{name}.out", result, at))


def _decimals(columns: list[Numbers], mean: float, scale: float) -> list[int]:
    """Decimals of x, x − mean, ÷ scale, gain, bias and result: the fewest with which each column reproduces the next."""
    x, centred, normalized, gain, bias, result = columns
    last = decimals_for(result, digits=3)
    printed_mean, printed_scale = to_figures(np.array([mean, scale]), FIGURES)
    for digits in range(4, 9):
        a = decimals_for(x, centred, digits=digits)
        b, c = decimals_for(normalized, digits=digits - 1), decimals_for(gain, digits=digits - 1)
        d = max(last, decimals_for(bias, digits=digits - 1))
        if (
            reproduces(rounded(x, a) - printed_mean, centred, a)
            and reproduces(rounded(centred, a) / printed_scale, normalized, b)
            and reproduces(rounded(normalized, b) * rounded(gain, c) + rounded(bias, d), result, last)
        ):
            break
    return [a, a, b, c, d, last]


@Stage(
    "residual add",
    "Layer {layer}'s attention adds a vector of norm {added}; if the model stopped here, it would predict {prediction}.",
    computes="resid_mid",
    code={"gpt.py: Block.forward": ("x = x + self.attn",)},
)
def resid_mid(context: StageContext) -> View:
    return _add(context, "resid_mid", "attention", "resid_pre", "attn_out")


@Stage(
    "residual add",
    "Layer {layer}'s MLP adds a vector of norm {added}; if the model stopped here, it would predict {prediction}.",
    computes="resid_post",
    code={"gpt.py: Block.forward": ("x = x + self.mlp",)},
)
def resid_post(context: StageContext) -> View:
    return _add(context, "resid_post", "the MLP", "resid_mid", "mlp_out")


def _add(context: StageContext, stage: str, adder: str, before_name: str, added_name: str) -> View:
    """before + added = after, and the angle between before and after."""
    at, width = context.position, context.config.width
    before, added = context.row(context.block + before_name), context.row(context.block + added_name)
    after = before + added
    sum_name = context.before(context.block + stage, at).removeprefix(context.block)
    parts = (("before", before_name, before), (f"+ {adder}", added_name, added), ("= after", sum_name, after))
    table = vectors_table([(title, vector, context.block + name) for title, name, vector in parts], at)
    turned = math.degrees(math.acos(max(-1.0, min(1.0, cosine(before, after)))))
    norms = Table(
        [Column("norm", align="left"), Column("value")],
        [
            *([Cell(title), figures(norm(vector), 4, ref(f"{context.block}{name}.norm", at))] for title, name, vector in parts),
            [Cell("cosine of before and after"), figures(cosine(before, after), 4, ref(f"{context.block}{sum_name}.cosine", at))],
        ],
    )
    labels = ("before", f"+ {adder.removeprefix('the ')}", "= after")
    vectors = [(label, part[2], ref(context.block + part[1], at)) for label, part in zip(labels, parts, strict=True)]
    strips = stacked(f"before + {adder.removeprefix('the ')} = after", vectors, f"{width} dimensions")
    sentence = (
        f"The output of {adder} at {context.here} (norm {significant(norm(added))}) is added to the residual stream: norm "
        f"{significant(norm(before))} → {significant(norm(after))}, direction turned by {turned:.0f}°."
    )
    title = f"{context.layer_name} · residual add after {adder}"
    return View(stage, title, sentence, [strips, norms, table], context.parity(context.block + sum_name, np.asarray(after), at))
