"""Attention of one head between the chosen token and all others, for the tokens above a view."""

import numpy as np

from lab.inspect.stages.stage_context import StageContext
from lab.views.blocks import Array, HeadAttention


def head_attention(context: StageContext) -> HeadAttention:
    """Attention that the token at the position pays to each token and receives from each, in the head of the context."""
    # Without the rest of the layer, which stages outside it do not need.
    pattern = context.trace.pattern_and_values(context.layer)[0][context.head].numpy()  # (T, T)
    at = context.position
    paid, received = pattern[at].copy(), pattern[:, at].copy()
    paid[at + 1 :] = np.nan
    received[:at] = np.nan
    return HeadAttention(context.layer, context.head, at, Array.of(paid), Array.of(received))
