"""Plots of Tokens: Zipf's picture, count against rank by count, and the tokens left of a text as BPE merges."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from screens.plot.figure import Figure, Series

if TYPE_CHECKING:
    from lab.tokenization.bpe.bpe_session import BpeState
    from lab.tokenization.vocabulary_facts import VocabularyFacts


UNITS = ((1_000_000, ", millions"), (1_000, ", thousands"), (1, ""))
"""Units of the tokens, and their names in the legend."""
BYTES = 256


def tokens_left(state: BpeState, text: int) -> Figure:
    """A point per merge, from the bytes of the text on. `text` tells one text from another."""
    unit, words = next(((unit, words) for unit, words in UNITS if state.text_bytes >= 10 * unit), UNITS[-1])
    sizes = [float(BYTES + number) for number in range(len(state.merges) + 1)]
    left = [state.text_bytes / unit, *(merge.tokens_left / unit for merge in state.merges)]
    series = Series(f"tokens of the text{words}", f"tokens{words}", "line", "train", sizes, left)
    shown = (series,) if state.merges else ()
    return Figure(shown, (text, len(state.merges)), "vocabulary", empty="The curve begins with the first merge.")


def zipf_figure(facts: VocabularyFacts, chosen: int | None) -> Figure:
    """The figure of a vocabulary whose tokens have been counted."""
    from lab.core.number_format import MINUS, fixed, whole
    from lab.tokenization.token_facts import quoted_label
    from lab.tokenization.token_frequencies import zipf_curve

    frequencies = facts.frequencies
    assert frequencies is not None
    curve = zipf_curve(frequencies.counts)
    xs = np.log10(curve.ranks)
    series = [Series(f"count in {frequencies.corpus}", "count", "line", "train", xs, curve.counts)]
    if curve.slope is not None:
        first, last = curve.fitted
        name = f"slope {fixed(curve.slope, 2)} from rank {first} to {whole(last)}; Zipf's law: {MINUS}1"
        ends = [math.log10(first), math.log10(last)]
        series.append(Series(name, f"slope {fixed(curve.slope, 2)}", "line", "validation", ends, curve.at_fitted, dashes=(2, 2)))
    if chosen is not None and frequencies.counts[chosen]:
        rank, count = frequencies.rank(chosen), int(frequencies.counts[chosen])
        label = quoted_label(facts.index.tokenizer, chosen)
        series.append(Series(f"{label} rank {whole(rank)}", label, "marks", "run3", [math.log10(rank)], [float(count)], "◆"))
    version = ("zipf", id(facts), chosen)
    return Figure(tuple(series), version, x_label="log₁₀ rank", log_y=True, auto_log_y=True, empty="No token occurs.")
