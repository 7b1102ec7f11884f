"""Relatives of a token: the tokens of a vocabulary that begin with the same letters, such as `run`, ` run`, `Run`, ` running`."""

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

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
