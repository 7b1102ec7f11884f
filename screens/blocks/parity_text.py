"""The parity of a view: the largest difference between what is displayed and the model's own tensor."""

from lab.core.number_format import significant, whole
from lab.views.blocks import Parity

TOLERANCE = 1e-4
"""Largest error still called a match, as a fraction of the largest number compared or of 1: four digits. fp32 keeps about six."""

OF_VOCABULARY = " · vocabulary"
"""End of the name of a comparison with the tokenizer's vocabulary, which needs no model."""


def parity_badge(parity: Parity, *, short: bool = False) -> str:
    """`✓ matches the model (max error 1.2e−7)`, or `✓ max error 1.2e−7`; of tokens, `✓ matches the vocabulary`"""
    matches = parity.max_delta <= TOLERANCE * max(1.0, parity.largest)
    error = f"max error {significant(parity.max_delta, 2)}"
    if short:
        return f"{'✓' if matches else '✗'} {error}"
    if parity.name.endswith(OF_VOCABULARY) and parity.max_delta == 0:
        return "✓ matches the vocabulary"  # bytes are the same or not: there is no rounding
    source = "vocabulary" if parity.name.endswith(OF_VOCABULARY) else "model"
    return f"{'✓ matches' if matches else '✗ differs from'} the {source} ({error})"


def parity_sentence(parity: Parity) -> str:
    """`✓ matches the model (max error 1.2e−7): 32 numbers of blocks.0.attn.z (zero-indexed), fast path.`"""
    name, _, against = parity.name.partition(" · ")
    numbers = "1 number" if parity.count == 1 else f"{whole(parity.count)} numbers"
    index = " (zero-indexed)" if any(each.isdecimal() for each in name) else ""
    return f"{parity_badge(parity)}: {numbers} of {name}{index}{f', {against}' if against else ''}."
