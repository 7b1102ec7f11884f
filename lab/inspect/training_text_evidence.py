"""Where it learned that: what the training text itself says at the place where the model makes a prediction.

Everything is found by looking through the run's own tokens, narrowing the places where the last token occurs by the token
before it, and so on: no index to build, to keep or to go stale. Nothing here needs torch.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from models.unembed import Slices, finish

Ids = np.ndarray[Any, np.dtype[Any]]

CONTEXTS = (3, 2, 1)
"""How many of the last tokens are looked up in the text."""
FOLLOWERS = 8
"""How many of the tokens that follow are listed."""
SLICE = 1 << 22
"""Tokens looked through at one time: some milliseconds."""


class Following(msgspec.Struct):
    """What comes after the last `length` tokens of the prompt, wherever the training text has them."""

    length: int
    occurrences: int
    followers: list[tuple[int, int]]
    """(token id, how often), the most frequent first."""
    candidate: int
    """How often the token asked about followed."""


class Verbatim(msgspec.Struct):
    """The longest end of the prompt that the training text has word for word."""

    length: int
    places: int
    """How often the text has it."""
    first: int
    """Index of the token at which it first begins; what came next is at `first + length`."""
    followers: list[tuple[int, int]]
    candidate: int
    """How often the token asked about followed."""


class Evidence(msgspec.Struct):
    """The text's own word on a prediction. `searched` is how many training tokens were looked through."""

    searched: int
    following: list[Following]
    verbatim: Verbatim | None
    """None where not even the last token occurs in the training text with something after it."""


def find_evidence(tokens: Ids, split: int, prompt: Sequence[int], candidate: int) -> Evidence:
    """What the training part [0, split) of `tokens` says about `candidate` coming after `prompt` (token ids, not empty)."""
    return finish(search(tokens, split, prompt, candidate))


def search(tokens: Ids, split: int, prompt: Sequence[int], candidate: int) -> Slices[Evidence]:
    """The same in slices, for a text that takes long to look through."""
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
