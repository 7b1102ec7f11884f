"""Tokens in facts and tables: the size of a text, and one token's merges, bytes, count in the corpus and relatives."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.core.number_format import counted, significant, whole
from lab.tokenization.token_frequencies import TokenFrequencies
from lab.views.blocks import Cell, Column, Table
from models.config import END_OF_TEXT, FIXED_VOCABULARY_SIZES

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Node, Tokenizer

HEX_BYTES = 24
"""Bytes of a token that are shown in hexadecimal; a longer one (a long word, a run of spaces) ends in `…`."""


@dataclass(frozen=True)
class TextCounts:
    """Size of a text in characters, in bytes of UTF-8, and in tokens."""

    characters: int
    bytes: int
    tokens: int


def hex_of(data: bytes, most: int = HEX_BYTES) -> str:
    """Bytes as pairs of hexadecimal digits: `20 64 6f 67`."""
    return data[:most].hex(" ") + (" …" if len(data) > most else "")


def origin(tokenizer: "Tokenizer", id: int) -> str:
    """Origin of a token in a few words: the merge that made it, or a single byte."""
    rank = tokenizer.merge_rank(id)
    if rank is not None:
        return f"merge {whole(rank + 1)}"
    kind = tokenizer.kind_of(id)
    return "a byte" if kind == "byte" else kind


def merge_table(tokenizer: "Tokenizer", id: int) -> Table:
    """The token and, indented under it, the two tokens that it is the merge of, down to single bytes.
    Raises TokenizerError if the id is not in the vocabulary."""
    rows = [
        [
            Cell(row.branch + row.label),
            Cell(str(row.id), value=float(row.id)),
            Cell(hex_of(tokenizer.token_bytes(row.id))),
            Cell(row.origin),
        ]
        for row in tree_rows(tokenizer, id)
    ]
    columns = [Column("token", "left"), Column("id"), Column("bytes (hex)", "left"), Column("learned as", "left")]
    return Table(columns, rows)


def quoted_label(tokenizer: "Tokenizer", id: int) -> str:
    """The token's label in quotation marks, so that its spaces can be seen to belong to it."""
    return f'"{tokenizer.label(id)}"'


def has_plain_ids(tokenizer: "Tokenizer") -> bool:
    """True for ids as the lab gives them: no special token but a last `<|endoftext|>`, and no unused id."""
    end = len(tokenizer.ordinary)
    return tokenizer.special in ({}, {END_OF_TEXT: end}) and tokenizer.vocab_size == end + len(tokenizer.special)


LEAST_LETTERS = 3
"""Letters from which on a token's relatives may be longer or shorter than it: nearly everything begins with `a`."""
LAST = "\U0010ffff"
"""Sorts after every letter."""


class TokenFamilies:
    """All tokens by their letters. Made once per tokenizer: 50 ms for GPT-2's, and then a family is found at once."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        special = set(tokenizer.special.values())
        self._letters = [_letters(tokenizer.token_bytes(id)) if id not in special else "" for id in range(tokenizer.vocab_size)]
        self._sorted = sorted((letters, id) for id, letters in enumerate(self._letters) if letters)

    def of(self, id: int) -> list[int]:
        """The tokens that begin with this one's letters, or are a beginning of them, whatever their capitals and spaces before:
        the shortest first, of two as long the one learned first.

        Empty for a token that does not begin with a letter, whose bytes are no text, or that is special.
        """
        start = self._letters[id]
        if len(start) < LEAST_LETTERS:
            return self._between(start, start)
        ids = [id for end in range(LEAST_LETTERS, len(start)) for id in self._between(start[:end], start[:end])]
        ids += sorted(self._between(start, start + LAST), key=lambda each: (len(self._letters[each]), each))
        return ids

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
    """Every node with the lines that lead to it; `first` stands before the node itself and `rest` before the nodes under it."""
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
        return f"{hex_of(data)} · {counted(len(data.decode()), 'character')}"
    except UnicodeDecodeError:
        return f"{hex_of(data)} · no whole character"


def frequency_fact(frequencies: "TokenFrequencies", id: int) -> str:
    """`1,234 times in the training part of demo: 1 token in 85.2, rank 12`."""
    count, total = int(frequencies.counts[id]), frequencies.total
    if not count:
        return f"never in {frequencies.corpus}"
    times = "once" if count == 1 else f"{whole(count)} times"
    every = total / count
    of = whole(round(every)) if every >= 1000 else significant(every)
    return f"{times} in {frequencies.corpus}: 1 token in {of}, rank {whole(frequencies.rank(id))}"
