"""The score of a query and a key, taken apart: what wrote the one times what wrote the other.

With the norms' scales held at their values, query and key are sums over the parts that wrote into the residual stream before the
layer, and the score, their product, is a sum over pairs of parts (Elhage et al. 2021, "A Mathematical Framework for Transformer
Circuits", "QK circuit").
"""

import math
from typing import NamedTuple

import numpy as np

from lab.inspect.logit_attribution import Contributor, contributors
from lab.views.number_tables import Numbers
from models.gpt import GPT
from models.trace import Trace

MOST_PARTS = 16
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


def score_parts(model: GPT, trace: Trace, layer: int, head: int, query: int, key: int) -> ScoreParts:
    """The parts of the score of two positions in a head, in the order of the computation, biases last."""
    found = [_through_norm(model, trace, layer, head, position, side) for position, side in ((query, 0), (key, 1))]
    names, (q, k) = found[0][0], (vectors for _, vectors in found)
    size = np.abs(q @ k.T)
    rank = np.argsort(-np.maximum(size.max(0), size.max(1)), kind="stable")
    if len(names) <= MOST_PARTS:
        return ScoreParts(names, q, k)
    kept, rest = sorted(rank[: MOST_PARTS - 1].tolist()), rank[MOST_PARTS - 1 :]
    q, k = (np.concatenate([each[kept], each[rest].sum(0, keepdims=True)]) for each in (q, k))
    return ScoreParts([*(names[index] for index in kept), f"{len(rest)} {OTHERS}"], q, k)


def _through_norm(model: GPT, trace: Trace, layer: int, head: int, position: int, side: int) -> tuple[list[str], Numbers]:
    """What each part gives to the query (side 0) or the key (side 1) of a head, (P, D); the biases are one part."""
    block, size = model.blocks[layer], model.config.head_width
    rows = slice(side * model.config.width + head * size, side * model.config.width + (head + 1) * size)
    weight, bias, gain, shift = (
        each.detach().double().numpy()
        for each in (block.attn.c_attn.weight[rows], block.attn.c_attn.bias[rows], block.ln_1.weight, block.ln_1.bias)
    )
    written = contributors(model, trace, position, layer)
    vectors = np.stack([part.vector.numpy() for part in written])
    scale = float(trace[f"blocks.{layer}.ln1.scale"][position, 0])
    given = (vectors - vectors.mean(-1, keepdims=True)) * gain / scale @ weight.T  # (P, D)
    is_bias = np.array([part.label.endswith("bias") for part in written])
    biases = given[is_bias].sum(0) + weight @ shift + bias
    names = [_short(part) for part in written if not part.label.endswith("bias")]
    return [*names, BIASES], np.concatenate([given[~is_bias], biases[None]])


def _short(part: Contributor) -> str:
    """`token`, `head 2.1`, `mlp 2`."""
    words = part.label.split()
    if words[0] != "layer":
        return SHORT.get(part.label, part.label)
    return f"{words[2]} {words[1]}" + (f".{words[3]}" if words[2] == "head" else "")
