"""The validation text beside the training text: difference of their token frequencies, and the share that is copied."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lab.reports.count_entropy import MOST_TOKENS, entropy_of_counts

PASSAGE_BYTES = 200
"""Length of a passage. At 1.5 bits per byte so many bytes are one of 2^300 possible: found twice, they were copied."""
PASSAGES = 50
"""Looked for in the training part, spread evenly over the validation part."""


@dataclass(frozen=True)
class ValidationText:
    """The validation part, the end of a text, beside the training part before it."""

    tokens: int
    unigram: float
    """H(token) of the validation part itself."""
    cross_entropy: float
    """Mean −ln p of its tokens by the training part's frequencies, each counted once more so that none is zero."""
    divergence: float
    """KL divergence of the two, cross_entropy − unigram, less the expected divergence of two samples of one source."""
    copied: float | None
    """Share of its passages of about `PASSAGE_BYTES` found verbatim in the training part; None if it is shorter than one."""


def validation_text(
    ids: np.ndarray[Any, Any], end: np.ndarray[Any, Any], vocab_size: int, bytes_each: float
) -> ValidationText | None:
    """Compare the two parts; `bytes_each` is the mean length of a token. None without a validation part."""
    ids, end = ids[-MOST_TOKENS:], end[:MOST_TOKENS]
    if not len(end):
        return None
    size = max(vocab_size, int(ids.max()) + 1, int(end.max()) + 1)
    counts, own = (np.bincount(part, minlength=size) for part in (ids, end))
    cross = -float((own * np.log((counts + 1) / (len(ids) + size))).sum() / len(end))
    unigram = entropy_of_counts(own)
    # Of n draws from k outcomes the expected KL divergence from their source is about (k − 1) / 2n (Miller 1955).
    expected = (np.count_nonzero(own) - 1) / (2 * len(end)) + (np.count_nonzero(counts) - 1) / (2 * len(ids))
    return ValidationText(len(end), unigram, cross, float(cross - unigram - expected), copied_share(ids, end, bytes_each))


def copied_share(ids: np.ndarray[Any, Any], end: np.ndarray[Any, Any], bytes_each: float) -> float | None:
    """Share of passages of `end` that also occur in `ids`."""
    length = max(8, round(PASSAGE_BYTES / max(bytes_each, 1e-9)))
    if len(end) < length:
        return None
    starts = np.unique(np.linspace(0, len(end) - length, PASSAGES).astype(int))
    text, each = np.ascontiguousarray(ids).tobytes(), ids.itemsize
    return sum(_occurs(end[start : start + length].tobytes(), text, each) for start in starts) / len(starts)


def _occurs(passage: bytes, text: bytes, each: int) -> bool:
    """Check that the passage is in the text at a whole token."""
    at = text.find(passage)
    while at >= 0 and at % each:
        at = text.find(passage, at + 1)
    return at >= 0
