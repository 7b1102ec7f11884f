"""One token from all sides: the merge that made it, its bytes, its merge tree, its count in the corpus, its relatives."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.core.number_format import significant, whole
from lab.tokenization.token_frequencies import TokenFrequencies
from lab.tokenization.token_statistics import hex_of, origin, quoted_label
from models.tokenizers.tokenizer_kinds import FIXED_VOCABULARY_SIZES

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Node, Tokenizer

LEAST_LETTERS = 3
"""Letters from which on a token's relatives may be longer or shorter than it: nearly everything begins with `a`."""
LAST = "\U0010ffff"
"""Sorts after every letter."""


@dataclass(frozen=True)
class TokenFamily:
    """The relatives of a token, itself among them: the shortest first, of two as long the one learned first."""

    start: str
    """The token's own letters, small and without the spaces before them."""
    ids: tuple[int, ...]


class TokenFamilies:
    """All tokens by their letters. Made once per tokenizer: 50 ms for GPT-2's, and then a family is found at once."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        special = set(tokenizer.special.values())
        self._letters = [_letters(tokenizer.token_bytes(id)) if id not in special else "" for id in range(tokenizer.vocab_size)]
        self._sorted = sorted((letters, id) for id, letters in enumerate(self._letters) if letters)

    def of(self, id: int) -> TokenFamily | None:
        """The tokens that begin with this one's letters, or are a beginning of them, whatever their capitals and spaces before.

        None for a token that does not begin with a letter, whose bytes are no text, or that is special.
        """
        start = self._letters[id]
        if not start:
            return None
        if len(start) < LEAST_LETTERS:
            return TokenFamily(start, tuple(self._between(start, start)))
        ids = [id for end in range(LEAST_LETTERS, len(start)) for id in self._between(start[:end], start[:end])]
        ids += sorted(self._between(start, start + LAST), key=lambda each: (len(self._letters[each]), each))
        return TokenFamily(start, tuple(ids))

    def _between(self, first: str, last: str) -> list[int]:
        """Ids of the tokens whose letters sort from `first` to `last`."""
        start = bisect_left(self._sorted, (first, -1))
        end = bisect_left(self._sorted, (last, len(self._letters)))
        return [id for _, id in self._sorted[start:end]]


def _letters(token: bytes) -> str:
    """The token's text in small letters without the spaces before it; empty if it begins with no letter."""
    try:
        text = token.decode().lstrip(" ").lower()
    except UnicodeDecodeError:
        return ""
    return text if text[:1].isalpha() else ""


@dataclass(frozen=True)
class TreeRow:
    """A line of the merge tree: the lines that lead to the token, its label, its id, and its origin."""

    branch: str
    label: str
    id: int
    origin: str


def tree_rows(tokenizer: "Tokenizer", id: int) -> list[TreeRow]:
    """The token and, indented under it, the two tokens that it is the merge of, down to single bytes."""
    return [
        TreeRow(branch, quoted_label(tokenizer, node.id), node.id, origin(tokenizer, node.id))
        for branch, node in _branches(tokenizer.tree(id), "", "")
    ]


def _branches(node: "Node", first: str, rest: str) -> Iterator[tuple[str, "Node"]]:
    yield first, node
    if node.left and node.right:
        yield from _branches(node.left, rest + "├ ", rest + "│ ")
        yield from _branches(node.right, rest + "└ ", rest + "  ")


def merge_fact(tokenizer: "Tokenizer", id: int) -> str:
    """The merge that made the token: `3,035 of 50,000: " do" + "g"`, or the reason why none did."""
    rank, parents = tokenizer.merge_rank(id), tokenizer.parents(id)
    if rank is None or parents is None:
        reasons = {"byte": "it is one of the 256 bytes to begin with", "special": "it is special, and stands for no text"}
        return f"none: {reasons.get(tokenizer.kind_of(id), 'no token has this id')}"
    merges = len(tokenizer.ordinary) - FIXED_VOCABULARY_SIZES["bytes"]
    left, right = (quoted_label(tokenizer, parent) for parent in parents)
    return f"{whole(rank + 1)} of {whole(merges)}: {left} + {right}"


def bytes_fact(tokenizer: "Tokenizer", id: int) -> str:
    """`20 64 6f 67`, and how many characters these are."""
    data = tokenizer.token_bytes(id)
    try:
        characters = len(data.decode())
    except UnicodeDecodeError:
        return f"{hex_of(data)} · no whole character"
    return f"{hex_of(data)} · {whole(characters)} character{'' if characters == 1 else 's'}"


def frequency_fact(frequencies: TokenFrequencies, id: int) -> str:
    """`1,234 times in the training part of demo: 1 token in 85.2, rank 12`."""
    count, total = int(frequencies.counts[id]), frequencies.total
    if not count:
        return f"never in {frequencies.corpus}"
    times = "once" if count == 1 else f"{whole(count)} times"
    every = total / count
    of = whole(round(every)) if every >= 1000 else significant(every)
    return f"{times} in {frequencies.corpus}: 1 token in {of}, rank {whole(frequencies.rank(id))}"


def family_labels(tokenizer: "Tokenizer", families: TokenFamilies, id: int) -> list[str]:
    """The labels of the token's relatives; none for a token that is no word."""
    family = families.of(id)
    return [quoted_label(tokenizer, each) for each in family.ids] if family is not None else []
