"""The terms of an attention score, by the parts of the model that wrote the query and the key."""

import math
from collections.abc import Sequence

import numpy as np

from lab.core.number_format import significant
from lab.inspect.score_parts import ScoreParts, score_parts
from lab.inspect.stages.attention_scores_stage import head_title
from lab.inspect.stages.stage_context import HEAD_KEYS, Stage, StageContext
from lab.views.blocks import Array, Cell, Column, Matrix, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import number

PAIRS = 6
"""Pairs listed."""


def _parts(context: StageContext, key: int, kept: Sequence[str] = ()) -> ScoreParts:
    from lab.inspect.logit_attribution import contributors

    layer, trace = context.layer, context.trace
    query, other = ((place, contributors(context.opened.model, trace, place, layer)) for place in (context.position, key))
    return score_parts(context.weight, trace, layer, context.head, query, other, kept)


@Stage(
    "why there",
    "The score is a sum: each part that wrote the query times each part that wrote the key.",
    HEAD_KEYS,
    of_head=True,
    code={"gpt.py: Attention.forward": ("qkv =", "q, k, v =")},
)
def why(context: StageContext) -> View:
    """The score of the position and the key that it attends to most, part by part."""
    layer, head, at = context.layer, context.head, context.position
    pattern = context.array(f"{context.block}attn.pattern")[head, at, : at + 1]
    key, *less = np.argsort(-pattern, kind="stable").tolist()
    parts: ScoreParts = context.traced.get_or_compute(("score parts", layer, head, key), at, lambda: _parts(context, key))
    table, name = parts.table, f"{context.block}attn.attn_scores.part"
    total, most = float(table.sum()), divmod(int(table.argmax()), len(table))
    order = np.argsort(-np.abs(table), axis=None, kind="stable")[:PAIRS]
    pairs = [divmod(int(each), len(parts.names)) for each in order]
    limit = float(np.abs(table).max()) or 1.0
    terms = {
        (q, k): number(table[q, k], 3, ref(name, head, at, key, q, k), bar=abs(float(table[q, k])) / limit) for q, k in pairs
    }
    rows = [[Cell(parts.names[q]), Cell(parts.names[k]), term] for (q, k), term in terms.items()]
    rest = total - sum(float(table[pair]) for pair in pairs)
    rows.append([Cell(f"{table.size - len(pairs)} others", style="dim"), Cell(""), Cell(significant(rest), rest, style="dim")])
    columns = [Column("of the query", "left"), Column("of the key", "left"), Column("term of the score")]
    there = "itself" if key == at else context.quoted(key)
    matrix = Matrix(
        f"{context.here} × {there}: rows wrote the query, columns the key",
        parts.names,
        parts.names,
        Array.of(table),
        "all add up to the score",
        ref(name, head, at, key, "0:", "0:"),
        most,
        "diverging",
    )
    raw = context.parity(f"{context.block}attn.scores_raw", np.array(total * math.sqrt(context.config.head_width)), head, at, key)
    adds = (
        f"of this, most is what “{parts.names[most[0]]}” wrote into the query × what “{parts.names[most[1]]}” wrote into the key"
    )
    sentence = f"{context.here} looks most at {there}, with a score of {significant(total)}; " + (
        f"{adds}: {significant(float(table[most]))}." if table[most] > 0 else "no term of it is above 0."
    )
    if less and pattern[less[0]] > 0:
        other = _parts(context, less[0], parts.names).table
        apart = (table - other) * (1 if total >= other.sum() else -1)  # an intervention may turn them round
        q, k = divmod(int(apart.argmax()), len(apart))
        sentence += (
            f" Next is {'itself' if less[0] == at else context.quoted(less[0])}, with {significant(float(other.sum()))}; "
            f"the largest difference is in “{parts.names[q]}” × “{parts.names[k]}”: {significant(float(table[q, k]))} against "
            f"{significant(float(other[q, k]))}."
        )
    listed = Table(columns, rows, total=[Cell("Σ = score"), Cell(""), Cell(significant(total), total)])
    return View("why", head_title(context, "why there"), sentence, [matrix, listed], raw)
