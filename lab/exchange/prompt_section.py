"""A prompt's section of a report: its text and tables for the template, and its numbers for the script.

A probability is written as two characters, exact to the tenth of a percent that a reader sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.core.number_format import probability, whole
from lab.core.visible_text import visible
from lab.inspect.prompt_report import PromptReport
from lab.views.blocks import Prediction


@dataclass(frozen=True)
class ShownToken:
    label: str
    id: int
    number: int
    """Position from 1."""
    probability: str


def prompt_section(prompt: PromptReport, levels: int) -> dict[str, Any]:
    """The section as text; the lens cells have a level from 0 to `levels` − 1."""
    tokens = [
        ShownToken(visible(token.label), token.id, index + 1, "" if token.probability is None else probability(token.probability))
        for index, token in enumerate(prompt.tokens)
    ][prompt.first :]
    rows = [
        (_stream(row.name), [_lens_cell(_stream(row.name), tokens[at], cell, levels) for at, cell in enumerate(row.cells)])
        for row in prompt.lens
    ]
    notes = []
    if prompt.dropped:
        notes.append(f"The model does not see the first {whole(prompt.dropped)} tokens: they do not fit its context.")
    if prompt.first:
        notes.append(f"Shown are the last {whole(len(tokens))} tokens; attention to those before is left out.")
    return {
        "model": f"{whole(len(prompt.tokens))} tokens through the {prompt.checkpoint} weights of {visible(prompt.run)}, "
        f"step {whole(prompt.step)}.",
        "interventions": prompt.interventions,
        "notes": notes,
        "tokens": tokens,
        "first": prompt.first,
        "last_number": len(prompt.tokens),
        "heads": prompt.patterns[0].shape[0],
        "top": _bars(prompt.top[-1]),
        "lens": rows[::-1],  # the last layer first, as the model is read upwards
    }


def prompt_data(prompt: PromptReport) -> dict[str, Any]:
    """The numbers that the script draws: patterns of all heads as probability codes, next tokens at every position."""
    patterns = [layer.numpy() for layer in prompt.patterns]
    return {
        "first": prompt.first,
        "tokens": [visible(token.label) for token in prompt.tokens[prompt.first :]],
        "layers": len(patterns),
        "heads": len(patterns[0]),
        "patterns": "".join(encode(lower_triangle(head)) for layer in patterns for head in layer),
        "top": [_bars(row) for row in prompt.top],
    }


def _bars(predictions: Sequence[Prediction]) -> list[tuple[str, str, float]]:
    """Label, probability and percent of each next token."""
    return [(visible(each.label), probability(each.probability), round(100 * each.probability, 2)) for each in predictions]


def _lens_cell(stream: str, token: ShownToken, cell: Sequence[Prediction], levels: int) -> tuple[str, int, str]:
    """Label, level and title."""
    listed = ", ".join(f"“{visible(each.label)}” {probability(each.probability)}" for each in cell)
    level = round(cell[0].probability * (levels - 1))
    return visible(cell[0].label), level, f"{stream}, after “{token.label}” (position {token.number}): {listed}"


def _stream(name: str) -> str:
    """`blocks.0.resid_post` as `layer 1`."""
    _, layer, part = name.split(".")
    return "embedding" if part == "resid_pre" else f"layer {int(layer) + 1}"


DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
"""The digits of base 64, which need no escaping in HTML or JSON."""

CODES = 1003
"""0 is 0%, 1 is <0.1%, then one for each tenth of a percent, then >99.9% and 100%: as `lab.core.number_format` writes them."""


def codes(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """The code of each probability, from 0 to `CODES` − 1."""
    p = probabilities.astype(np.float64)
    tenths = np.rint(p * 1000).astype(np.int64)
    found = np.clip(tenths + 1, 1, 1001)
    found = np.where((p < 1) & (tenths >= 1000), 1001, found)
    return np.where(p <= 0, 0, np.where(p >= 1, CODES - 1, found))


def encode(probabilities: NDArray[np.floating]) -> str:
    """Two characters for each probability, the more significant one first."""
    digits = np.array(list(DIGITS))
    found = codes(probabilities.ravel())
    pairs = np.stack([digits[found // 64], digits[found % 64]], axis=1)
    return "".join(pairs.ravel().tolist())


def lower_triangle(pattern: NDArray[np.floating]) -> NDArray[np.floating]:
    """The rows of a causal (n, n) pattern up to the diagonal, one after the other: n(n + 1) / 2 numbers."""
    rows, columns = np.tril_indices(len(pattern))
    return pattern[rows, columns]
