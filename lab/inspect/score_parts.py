"""Parts of an attention score: what wrote the query times what wrote the key.

With the norms' scales held at their values, query and key are sums over the parts that wrote into the residual stream before the
layer, and the score, their product, is a sum over pairs of parts (Elhage et al. 2021, "A Mathematical Framework for Transformer
Circuits", "QK circuit").
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lab.views.number_tables import Numbers

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
