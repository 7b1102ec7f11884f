"""Token counts of a text, and the merges that made a token."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.core.number_format import significant, whole
from lab.views.blocks import Cell, Column, Table
from models.tokenizers.tokenizer_kinds import END_OF_TEXT

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

    @property
    def sentence(self) -> str:
        """The counts in words, with how many characters one token stands for."""
        parts = [_of(self.characters, "character"), _of(self.bytes, "byte"), _of(self.tokens, "token")]
        words = f"{parts[0]} = {parts[1]} = {parts[2]}"
        if not self.tokens:
            return words
        return f"{words}: {significant(self.characters / self.tokens)} characters per token"


def _of(n: int, what: str) -> str:
    return f"{whole(n)} {what}{'' if n == 1 else 's'}"


def hex_of(data: bytes) -> str:
    """Bytes as pairs of hexadecimal digits: `20 64 6f 67`."""
    return data[:HEX_BYTES].hex(" ") + (" …" if len(data) > HEX_BYTES else "")


def origin(tokenizer: "Tokenizer", id: int) -> str:
    """Origin of a token in a few words: the merge that made it, or a single byte."""
    rank = tokenizer.merge_rank(id)
    if rank is not None:
        return f"merge {whole(rank + 1)}"
    kind = tokenizer.kind_of(id)
    return "a byte" if kind == "byte" else kind


def merge_table(tokenizer: "Tokenizer", id: int) -> Table:
    """The token and, indented under it, the two tokens that it is the merge of, down to single bytes.

    Raises:
        TokenizerError: if the id is not in the vocabulary.
    """
    rows = [
        [
            Cell(branch + quoted_label(tokenizer, node.id)),
            Cell(str(node.id), value=float(node.id)),
            Cell(hex_of(node.bytes)),
            Cell(origin(tokenizer, node.id)),
        ]
        for branch, node in _branches(tokenizer.tree(id), "", "")
    ]
    columns = [Column("token", "left"), Column("id"), Column("bytes (hex)", "left"), Column("learned as", "left")]
    return Table(columns, rows)


def quoted_label(tokenizer: "Tokenizer", id: int) -> str:
    """The token's label in quotation marks, so that its spaces can be seen to belong to it."""
    return f'"{tokenizer.label(id)}"'


def _branches(node: "Node", first: str, rest: str) -> Iterator[tuple[str, "Node"]]:
    """Every node with the lines that lead to it; `first` stands before the node itself and `rest` before what is under it."""
    yield first, node
    if node.left and node.right:
        yield from _branches(node.left, rest + "├ ", rest + "│ ")
        yield from _branches(node.right, rest + "└ ", rest + "  ")


def has_plain_ids(tokenizer: "Tokenizer") -> bool:
    """True for ids as the lab gives them: no special token but a last `<|endoftext|>`, and no unused id."""
    end = len(tokenizer.ordinary)
    return tokenizer.special in ({}, {END_OF_TEXT: end}) and tokenizer.vocab_size == end + len(tokenizer.special)
