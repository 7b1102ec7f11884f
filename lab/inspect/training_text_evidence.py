"""Evidence in the training text: counts of next tokens after the prompt's end, and its longest verbatim match.

A scan of the run's tokens finds the occurrences of the last token, which the tokens before it narrow down, without an index.
Nothing here needs torch.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from models.unembed import Slices

Ids = np.ndarray[Any, np.dtype[Any]]

CONTEXTS = (3, 2, 1)
"""Lengths of the contexts that are counted, in tokens."""
FOLLOWERS = 8
"""Next tokens listed."""
SLICE = 1 << 22
"""Tokens scanned at one time: some milliseconds."""


class Following(msgspec.Struct):
    """Next tokens after the last `length` tokens of the prompt, in all of the training text."""

    length: int
    occurrences: int
    followers: list[tuple[int, int]]
    """(token id, how often), the most frequent first."""
    candidate: int
    """Count of the candidate."""


class Verbatim(msgspec.Struct):
    """The longest end of the prompt that the training text has verbatim."""

    length: int
    occurrences: int
    """Its occurrences."""
    first: int
    """Index of the token at which it first begins; the next token is at `first + length`."""
    followers: list[tuple[int, int]]
    candidate: int
    """Count of the candidate."""


class Evidence(msgspec.Struct):
    """Counts and match for one prediction. `searched` is the number of training tokens."""

    searched: int
    following: list[Following]
    verbatim: Verbatim | None
    """None where not even the last token occurs in the training text with something after it."""


def search(tokens: Ids, split: int, prompt: Sequence[int], candidate: int) -> Slices[Evidence]:
    """Evidence in the training part [0, split) of `tokens` for `candidate` after `prompt` (token ids, not empty), in slices."""
    train = tokens[:split]
    # ends holds, for each occurrence of the last `length` tokens of the prompt, the index of the token that follows it
    found: list[Ids] = [np.empty(0, np.int64)]
    for start in range(0, len(train) - 1, SLICE):
        found.append(np.flatnonzero(train[start : min(start + SLICE, len(train) - 1)] == prompt[-1]) + start + 1)
        yield
    ends = np.concatenate(found)
    following: list[Following] = []
    verbatim: Verbatim | None = None
    for length in range(1, len(prompt) + 1):
        if length > 1:
            ends = ends[ends >= length]
            ends = ends[train[ends - length] == prompt[-length]]
        if not len(ends):
            break
        followers = _count(train[ends])
        count = dict(followers).get(candidate, 0)
        if length in CONTEXTS:
            following.append(Following(length, len(ends), followers[:FOLLOWERS], count))
        verbatim = Verbatim(length, len(ends), int(ends[0]) - length, followers[:FOLLOWERS], count)
        yield
    return Evidence(len(train), following[::-1], verbatim)


def _count(ids: Ids) -> list[tuple[int, int]]:
    values, counts = np.unique(ids, return_counts=True)
    order = np.lexsort((values, -counts))
    return [(int(values[i]), int(counts[i])) for i in order]
