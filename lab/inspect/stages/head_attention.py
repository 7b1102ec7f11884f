"""Attention of one head between the chosen token and all others, for the tokens above a view."""

import numpy as np

from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Array, HeadAttention
from lab.views.number_tables import Numbers

PATTERNS_CACHED = 200_000
"""Numbers of a layer's patterns up to which they are kept, so that another position computes nothing: GPT-2's of 128 tokens."""


def head_attention(context: StageContext) -> HeadAttention:
    """Attention that the token at the position pays to each token and receives from each, in the head of the context."""
    at, head = context.position, context.head
    heads, tokens = context.config.heads, len(context.ids)
    if heads * tokens**2 <= PATTERNS_CACHED:
        patterns: Numbers = context.traced.get_or_compute(("patterns", context.layer), 0, lambda: _patterns(context).copy())
        paid, received = patterns[head, at].copy(), patterns[head, :, at].copy()
    else:
        paid, received = (each[head].copy() for each in _row_and_column(context))
    paid[at + 1 :] = np.nan
    received[:at] = np.nan
    return HeadAttention(context.layer, head, at, Array.of(paid), Array.of(received))


def attention_rows(context: StageContext) -> Numbers:
    """Attention that the token at the position pays in each head of the layer, (H, T)."""
    heads, tokens = context.config.heads, len(context.ids)
    if heads * tokens**2 > PATTERNS_CACHED:
        return _row_and_column(context)[0]
    patterns: Numbers = context.traced.get_or_compute(("patterns", context.layer), 0, lambda: _patterns(context).copy())
    return patterns[:, context.position]


def _patterns(context: StageContext) -> Numbers:
    """(H, T, T), without the rest of the layer, which stages outside it do not need."""
    patterns: Numbers = context.trace.pattern_and_values(context.layer)[0].numpy()
    return patterns


def _row_and_column(context: StageContext) -> tuple[Numbers, Numbers]:
    """Of each head the row and the column of the position, (H, T) each; cached, so that another head computes nothing."""

    def make() -> tuple[Numbers, Numbers]:
        patterns = _patterns(context)
        return patterns[:, context.position].copy(), patterns[:, :, context.position].copy()

    return context.traced.get_or_compute(("attention", context.layer), context.position, make)
