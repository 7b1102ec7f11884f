"""The terms of an attention score, by the parts of the model that wrote the query and the key.

With the norms' scales held at their values, query and key are sums over the parts that wrote into the residual stream before the
layer, and the score, their product, is a sum over pairs of parts (Elhage et al. 2021, "A Mathematical Framework for Transformer
Circuits", "QK circuit").
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lab.core.number_format import significant
from lab.inspect.stages.attention_scores_stage import head_title
from lab.inspect.stages.stage_context import HEAD_KEYS, Stage, StageContext
from lab.views.blocks import Array, Cell, Column, Matrix, Table, View
from lab.views.number_refs import ref
from lab.views.number_tables import Numbers, number

if TYPE_CHECKING:
    from lab.inspect.logit_attribution import Contributor
    from models.trace import Trace

MOST_PARTS = 18
"""Parts in the table: the largest, the rest of a large model's as one."""
BIASES, OTHERS = "biases", "other parts"
SHORT = {"token embedding": "token", "position embedding": "position"}


class ScoreParts(NamedTuple):
    """Parts of a query, (P, D), and of a key, (P, D), float64; of each part its name."""

    names: list[str]
    q: Numbers
    k: Numbers

    @property
    def table(self) -> Numbers:
        """The terms of the score, (P, P): part of the query × part of the key / √D."""
        found: Numbers = self.q @ self.k.T / math.sqrt(self.q.shape[1])
        return found


Weights = Callable[[str], Numbers]
Written = tuple[int, "Sequence[Contributor]"]
"""A position, and what was written into the residual stream there before the layer."""


def score_parts(
    weight: Weights, trace: "Trace", layer: int, head: int, query: Written, key: Written, kept: Sequence[str] = ()
) -> ScoreParts:
    """The parts of the score of two positions in a head, in the order of the computation, biases last. `weight` gives the
    model's weight of a name. Of a large model the parts `kept` apart are the largest, or those of these names."""
    q, k = (_through_norm(weight, trace, layer, head, part, written) for part, written in (("q", query), ("k", key)))
    names = [*(_short(part) for part in query[1] if not _is_bias(part)), BIASES]
    if len(names) <= MOST_PARTS:
        return ScoreParts(names, q, k)
    size = np.abs(q @ k.T)
    rank = np.argsort(-np.maximum(size.max(0), size.max(1)), kind="stable")
    own = sorted(names.index(name) for name in kept if name in names) or sorted(rank[: MOST_PARTS - 1].tolist())
    rest = [index for index in range(len(names)) if index not in own]
    q, k = (np.concatenate([each[own], each[rest].sum(0, keepdims=True)]) for each in (q, k))
    return ScoreParts([*(names[index] for index in own), f"{len(rest)} {OTHERS}"], q, k)


def _through_norm(weight: Weights, trace: "Trace", layer: int, head: int, part: str, written: Written) -> Numbers:
    """The parts of the query or the key of a head at a position, (P, D); all biases together are the last one."""
    position, contributors = written
    size = trace.config.head_width
    first = "qk".index(part) * trace.config.width + head * size
    rows, block = slice(first, first + size), f"h.{layer}."
    matrix, bias = (weight(f"{block}attn.c_attn.{name}")[rows].astype(np.float64) for name in ("weight", "bias"))
    gain, shift = (weight(f"{block}ln_1.{name}").astype(np.float64) for name in ("weight", "bias"))
    vectors = np.stack([each.vector.numpy() for each in contributors])
    scale = float(trace[f"blocks.{layer}.ln1.scale"][position, 0])
    given = (vectors - vectors.mean(-1, keepdims=True)) * gain / scale @ matrix.T  # (P, D)
    biases = np.array([_is_bias(each) for each in contributors])
    return np.concatenate([given[~biases], [given[biases].sum(0) + matrix @ shift + bias]])


def _is_bias(part: "Contributor") -> bool:
    return part.label.endswith("bias")


def _short(part: "Contributor") -> str:
    """`token`, `head 2.1`, `mlp 2`."""
    words = part.label.split()
    if words[0] != "layer":
        return SHORT.get(part.label, part.label)
    return f"{words[2]} {words[1]}" + (f".{words[3]}" if words[2] == "head" else "")


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
