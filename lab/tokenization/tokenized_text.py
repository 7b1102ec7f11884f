"""A text as tokens, each with the characters that it covers."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.tokenization.token_facts import TextCounts

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class TokenizedText:
    """A text and its tokens. A byte that is no UTF-8 is a character of its own, as a lone surrogate (PEP 383)."""

    tokenizer: "Tokenizer"
    text: str
    ids: list[int]
    special: bool = False
    """True where the text of a special token is that token, and not plain text."""

    @property
    def counts(self) -> TextCounts:
        return TextCounts(len(self.text), int(self.byte_starts[-1]), len(self.ids))

    @cached_property
    def id_array(self) -> Ints:
        """(N,) The ids."""
        return np.array(self.ids, np.int64)

    @cached_property
    def byte_starts(self) -> Ints:
        """(N + 1,) Place of the first byte of each token; at the end the size of the text."""
        return _starts(_byte_lengths(self.tokenizer)[self.id_array])

    @cached_property
    def codes(self) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """(characters,) The code of each character."""
        return np.frombuffer(self.text.encode("utf-32-le", "surrogatepass"), np.uint32)

    @cached_property
    def _character_starts(self) -> Ints:
        """(characters + 1,) Place of the first byte of each character."""
        if self.text.isascii():
            return np.arange(len(self.text) + 1)
        codes = self.codes
        sizes = 1 + (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)
        sizes[(codes >= 0xDC80) & (codes <= 0xDCFF)] = 1
        return _starts(sizes)

    @cached_property
    def first_characters(self) -> Ints:
        """(N,) The character that each token's first byte belongs to."""
        return np.searchsorted(self._character_starts, self.byte_starts[:-1], "right") - 1

    @cached_property
    def end_characters(self) -> Ints:
        """(N,) The character after the one that each token's last byte belongs to."""
        return np.searchsorted(self._character_starts, self.byte_starts[1:] - 1, "right")

    @cached_property
    def holders(self) -> Ints:
        """(characters,) The token that holds each character's first byte."""
        return np.searchsorted(self.byte_starts, self._character_starts[:-1], "right") - 1

    @cached_property
    def begins(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(characters,) True where a token begins with the character's first byte."""
        return np.asarray(self.byte_starts[self.holders] == self._character_starts[:-1])

    @property
    def is_one_byte_each(self) -> bool:
        """True if every character is one byte, so that none can be cut."""
        return len(self.text) == int(self.byte_starts[-1])

    @cached_property
    def split_characters(self) -> tuple[Ints, Ints, Ints]:
        """Characters that no single token holds whole: the place of each, its first token, and the token after its last."""
        if self.is_one_byte_each:
            return (_NOTHING,) * 3
        starts = self._character_starts
        places = np.flatnonzero(starts[1:] - starts[:-1] > 1)
        firsts = np.searchsorted(self.byte_starts, starts[places], "right") - 1
        ends = np.searchsorted(self.byte_starts, starts[places + 1] - 1, "right")
        split = ends - firsts > 1
        return places[split], firsts[split], ends[split]

    @cached_property
    def special_places(self) -> frozenset[int]:
        """Places of the special tokens."""
        ids = set(self.tokenizer.special.values())
        return frozenset(at for at, id in enumerate(self.ids) if id in ids) if self.special else frozenset()

    def token_at(self, character: int) -> int:
        """The token that holds the first byte of a character; the last token for a place beyond the text."""
        if not self.ids:
            return 0
        place = self._character_starts[min(character, len(self.text) - 1)]
        return min(len(self.ids), int(np.searchsorted(self.byte_starts, place, "right"))) - 1


def tokenize_text(tokenizer: "Tokenizer", text: str, *, special: bool = False) -> TokenizedText:
    """The text's tokens. With `special`, the text of a special token is that token."""
    text = _well_formed(tokenizer, text)
    if special and any(each in text for each in tokenizer.special):
        return TokenizedText(tokenizer, text, tokenizer.encode(text, special=True), special=True)
    return TokenizedText(tokenizer, text, tokenizer.encode(text))


def _well_formed(tokenizer: "Tokenizer", text: str) -> str:
    """The text with surrogates for bytes that are no text only: others are their character or U+FFFD, as `encode` reads them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return tokenizer.decode_bytes(tokenizer.encode(text)).decode("utf-8", "surrogateescape")
    return text


_NOTHING = np.zeros(0, np.int64)


def _starts(sizes: Ints) -> Ints:
    """(N + 1,) Where each of the parts of these sizes starts, one after another, and where the last ends."""
    starts = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=starts[1:])
    return starts


@lru_cache(maxsize=4)
def _byte_lengths(tokenizer: "Tokenizer") -> Ints:
    """(V,) Bytes of each token, counted once for a tokenizer."""
    return np.array([len(tokenizer.token_bytes(each)) for each in range(tokenizer.vocab_size)], np.int64)
