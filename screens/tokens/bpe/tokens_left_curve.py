"""The curve of the tokens that are left of a text against the size of the vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from screens.plot.figure import Figure, Series

if TYPE_CHECKING:
    from lab.tokenization.bpe.bpe_session import BpeState

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
