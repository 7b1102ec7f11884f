"""The effect of each head on a prediction, measured: the head is switched off, and the rest of the pass is computed anew.

In the comments L is the layers, H the heads, T the tokens up to the position, C the width.
"""

from typing import NamedTuple

import numpy as np
import torch

from lab.core.number_format import probability
from lab.inspect.every_patch_view import last_vectors
from lab.inspect.intervention_effect import kl_bits
from lab.inspect.interventions import name_of
from lab.inspect.stages.stage_context import StageContext
from lab.views.number_tables import Numbers
from lab.views.softmax_table import softmax
from models.parameter_count import parameter_count

MOST_WORK = 2e11
"""Floating-point operations from which on the heads are not measured; GPT-2's of a sentence take some seconds on two cores."""
LITTLE = 0.01
"""Bits below which a head's effect is called small."""


class HeadEffects(NamedTuple):
    """The effect of each head, (L, H): the KL divergence in bits, and the probability left to the token predicted with all heads.
    `layer` and `head`, 0-based, are those of the largest divergence."""

    kl: Numbers
    left: Numbers
    layer: int
    head: int

    @property
    def matters(self) -> bool:
        return bool(self.kl[self.layer, self.head] >= LITTLE)


@torch.no_grad()
def head_effects(context: StageContext) -> HeadEffects | None:
    """The effect of each head at the position; None where an intervention is on, or the work is too much."""
    model, config, length = context.opened.model, context.config, context.position + 1
    work = config.layers * config.heads * length * parameter_count(config)
    if context.trace.edits or work > MOST_WORK:
        return None
    kept: HeadEffects | None = context.traced.get("head effects", context.position)
    if kept is None:
        kl, left = np.zeros((2, config.layers, config.heads))
        for layer in range(config.layers):
            plain = context.trace[f"blocks.{layer}.resid_mid"][:length]  # (T, C)
            without = (plain - out for out in context.trace.head_out(layer, range(length)).to(plain.dtype))
            ends = last_vectors(model, without, length, layer, is_middle=True)  # (H, C)
            logits = context.unembed(ends.numpy())
            kl[layer] = [kl_bits(context.logits, row) for row in logits]
            left[layer] = [softmax(row.astype(np.float64))[context.answer] for row in logits]
        layer, head = divmod(int(kl.argmax()), config.heads)
        kept = HeadEffects(kl, left, layer, head)
        context.traced.put("head effects", context.position, kept)
    return kept


def worth_a_look(context: StageContext, effects: HeadEffects | None) -> str:
    """The sentence that names the head with the largest effect, and a space; "" where none was measured."""
    if effects is None:
        return ""
    at = effects.layer, effects.head
    before, after = (probability(float(p)) for p in (softmax(context.logits)[context.answer], effects.left[at]))
    lead = "Worth a look" if effects.matters else "No head alone matters much here; the most"
    change = f"“{context.tokenizer.label(context.answer)}” {before} → {after}"
    return f"{lead}: {name_of('attn.z', *at)}. Switched off, it changes the prediction more than any other: {change}. "
