"""The vocabulary as a list to search and sort: every token of a tokenizer by id, length or frequency."""

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from lab.data.token_file import Ids

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

VocabularyOrder = Literal["id", "length", "frequency", "embedding"]

Marks = NDArray[np.bool_]
"""One truth value per token, (vocab_size,)."""

_ID = re.compile(r"#([0-9]{1,9})")
_HEX = re.compile(r"0x((?:[0-9a-f]{2} ?)+)", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:([ntr\\])|x([0-9a-fA-F]{2}))")
_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "\\": b"\\"}


@dataclass(frozen=True)
class VocabularyQuery:
    """A search: `id` alone, or tokens that hold `needle`, or begin with it for `prefix`; `any_case` ignores capitals."""

    needle: bytes = b""
    prefix: bool = False
    any_case: bool = False
    id: int | None = None


def parse_query(text: str) -> VocabularyQuery:
    r"""The query that a search field holds: `#464` is an id, `0xe2 80` bytes, anything else text, with `\n`, `\t` and `\xe2` as
    labels have them. `^` before text or bytes asks for tokens that begin with them. Text without capitals is found in any case.
    """
    if found := _ID.fullmatch(text):
        return VocabularyQuery(id=int(found[1]))
    prefix = len(text) > 1 and text.startswith("^")
    text = text[prefix:]
    if found := _HEX.fullmatch(text):
        return VocabularyQuery(bytes.fromhex(found[1]), prefix)
    needle, at = b"", 0
    for escape in _ESCAPE.finditer(text):
        needle += _encoded(text[at : escape.start()])
        needle += _ESCAPES[escape[1]] if escape[1] else bytes.fromhex(escape[2])
        at = escape.end()
    needle += _encoded(text[at:])
    return VocabularyQuery(needle, prefix, _lower(needle) == needle)


class VocabularyIndex:
    """Every token's bytes and length, and the special and partial ones. Made once per tokenizer: 50 ms for GPT-2's."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self.tokenizer = tokenizer
        self.tokens = [tokenizer.token_bytes(id) for id in range(tokenizer.vocab_size)]
        self.lengths: Ids = np.array([len(token) for token in self.tokens], np.int64)
        """Bytes of each token, (vocab_size,)."""
        self._lower = [_lower(token) for token in self.tokens]
        self._text, self._text_lower = _JoinedTokens(self.tokens), _JoinedTokens(self._lower)
        self.special: Marks = np.zeros(len(self.tokens), bool)
        self.special[list(tokenizer.special.values())] = True
        self.partial: Marks = np.array([token.decode(errors="ignore").encode() != token for token in self.tokens], bool)
        """Tokens whose bytes are no whole characters."""

    def __len__(self) -> int:
        return len(self.tokens)

    def prepare(self) -> None:
        """Compute now what is computed once, at first use: 0.2 s for GPT-2's."""
        _ = self.unreachable, self._by_stem

    @functools.cached_property
    def unreachable(self) -> Marks:
        """Tokens of whole characters that encoding their own text does not give back, so that no text of theirs alone is them."""
        encode = self.tokenizer.encode
        return np.array(
            [
                not partial and not special and token != b"" and encode(token.decode()) != [id]
                for id, (token, partial, special) in enumerate(
                    zip(self.tokens, self.partial.tolist(), self.special.tolist(), strict=True)
                )
            ],
            bool,
        )

    def search(self, query: VocabularyQuery) -> Marks:
        """The tokens that the query finds."""
        if query.id is not None:
            only: Marks = np.arange(len(self.tokens)) == query.id
            return only
        if not query.needle:
            return np.ones(len(self.tokens), bool)
        return (self._text_lower if query.any_case else self._text).holding(query.needle, query.prefix)

    def stem(self, id: int) -> Ids:
        """The tokens whose text is this one's but for spaces at its ends and capitals, itself included: ` run`, `Run`, `run`."""
        return np.array(self._by_stem[self._lower[id].strip(b" ")], np.int64)

    @functools.cached_property
    def _by_stem(self) -> dict[bytes, list[int]]:
        """The tokens by their text without capitals and the spaces at its ends."""
        found: dict[bytes, list[int]] = {}
        for id, token in enumerate(self._lower):
            found.setdefault(token.strip(b" "), []).append(id)
        return found


class _JoinedTokens:
    """The tokens' bytes end to end, searched at once: a millisecond for GPT-2's, where a loop over them takes a key's time."""

    def __init__(self, tokens: list[bytes]) -> None:
        lengths = np.array([len(token) for token in tokens], np.int64)
        self._bytes = np.frombuffer(b"".join(tokens), np.uint8)
        self._token_of = np.repeat(np.arange(len(tokens)), lengths)
        """The token that each byte belongs to."""
        self._starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]

    def holding(self, needle: bytes, prefix: bool) -> Marks:
        """The tokens that hold the needle, or begin with it."""
        marks = np.zeros(len(self._starts), bool)
        last = len(self._bytes) - len(needle)
        if last < 0:
            return marks
        at = self._starts[self._starts <= last] if prefix else np.flatnonzero(self._bytes[: last + 1] == needle[0])
        for offset, byte in enumerate(needle):
            at = at[self._bytes[at + offset] == byte]
        token = self._token_of[at]
        token = token[self._token_of[at + len(needle) - 1] == token]
        marks[token] = True
        return marks


def _encoded(text: str) -> bytes:
    is_escaped = all("\udc80" <= character <= "\udcff" for character in text if "\ud800" <= character <= "\udfff")
    return text.encode("utf-8", "surrogateescape" if is_escaped else "replace")


def _lower(token: bytes) -> bytes:
    return token.decode("utf-8", "surrogateescape").lower().encode("utf-8", "surrogateescape")
