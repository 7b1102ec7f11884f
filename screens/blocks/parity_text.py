"""The parity of a view: the largest difference between what is displayed and the model's own tensor."""

from lab.core.number_format import significant, whole
from lab.views.blocks import Parity

TOLERANCE = 1e-2
"""Largest difference still called a match: GPT-2's residual stream reaches 3,000, where fp32 resolves 2e-4."""


def parity_badge(parity: Parity) -> str:
    """`✓ matches the model (max error 1.2e−7)`"""
    words = "✓ matches the model" if parity.max_delta <= TOLERANCE else "✗ differs from the model"
    return f"{words} (max error {significant(parity.max_delta, 2)})"


def parity_sentence(parity: Parity) -> str:
    """`✓ matches the model (max error 1.2e−7): 32 numbers of blocks.0.attn.z (zero-indexed), fast path.`"""
    name, _, against = parity.name.partition(" · ")
    numbers = "1 number" if parity.count == 1 else f"{whole(parity.count)} numbers"
    index = " (zero-indexed)" if any(each.isdecimal() for each in name) else ""
    return f"{parity_badge(parity)}: {numbers} of {name}{index}{f', {against}' if against else ''}."
