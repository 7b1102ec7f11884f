"""The two residual adds of a layer: attention's output, then the MLP's."""

import math

import numpy as np

from lab.core.number_format import significant
from lab.inspect.stages.stage_context import Stage, StageContext
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import Series, cosine, decimals_for, dimensions_title, figures, norm, series_table, stacked

DIMENSIONS = 64
"""Most dimensions in the table of numbers."""


@Stage(
    "residual add",
    "Layer {layer}'s attention adds a vector of norm {added}; if the model stopped here, it would predict {prediction}.",
    computes="resid_mid",
)
def resid_mid(context: StageContext) -> View:
    return _add(context, "resid_mid", "attention", "resid_pre", "attn_out")


@Stage(
    "residual add",
    "Layer {layer}'s MLP adds a vector of norm {added}; if the model stopped here, it would predict {prediction}.",
    computes="resid_post",
)
def resid_post(context: StageContext) -> View:
    return _add(context, "resid_post", "the MLP", "resid_mid", "mlp_out")


def _add(context: StageContext, stage: str, adder: str, before_name: str, added_name: str) -> View:
    """before + added = after, and the angle between before and after."""
    at, width = context.position, context.config.width
    before, added = context.row(context.block + before_name), context.row(context.block + added_name)
    after = before + added
    first = min(DIMENSIONS, width)
    sum_name = context.before(context.block + stage, at).removeprefix(context.block)
    parts = (("before", before_name, before), (f"+ {adder}", added_name, added), ("= after", sum_name, after))
    table = series_table(
        "dimension",
        [str(dimension + 1) for dimension in range(first)],
        [
            Series(title, vector[:first], lambda row, name=name: ref(context.block + name, at, row))  # type: ignore[misc]
            for title, name, vector in parts
        ],
        [decimals_for(*(vector[:first] for _, _, vector in parts))] * 3,
        title=dimensions_title(first, width),
    )
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
