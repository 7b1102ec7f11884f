"""Views of a token in a strip: as text, as text with every space visible, as its id, as its bytes."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from rich.cells import cell_len

from models.tokenizers.token_labels import printable

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

Ints = np.ndarray[Any, np.dtype[np.int64]]
TokenView = Literal["text", "spaces", "ids", "bytes"]
VIEWS: tuple[TokenView, ...] = get_args(TokenView)
MOST_BYTES = 16
"""Bytes of a token that are shown in hexadecimal; a longer one (a run of spaces, a long word) ends in `…`."""


_JOINS = re.compile("^[\U0001f3fb-\U0001f3ff]|[\U0001f1e6-\U0001f1ff]")
"""Characters that a terminal draws as one with a neighbour: skin tones, and the letters of flags."""


def kept_apart(label: str) -> str:
    """A label that no terminal joins with the one before: `◌🏽` for a skin tone, `[F]` for a letter of a flag."""
    return _JOINS.sub(_apart, label)


@lru_cache(maxsize=65536)
def character_label(character: str) -> str:
    """The label of a character, never empty: a line break as ␊, other controls as pictures, a byte that is no text as \\xe2."""
    return kept_apart(printable(character.encode("utf-8", "surrogateescape")))


def _apart(found: re.Match[str]) -> str:
    if found[0] < "\U0001f200":
        return f"[{chr(ord(found[0]) - 0x1F1E6 + 65)}]"
    return f"◌{found[0]}"


class TokenLabels:
    """Labels of one tokenizer's tokens in one view, each made once, and their widths in character cells."""

    def __init__(self, tokenizer: "Tokenizer", view: TokenView) -> None:
        self.tokenizer, self.view = tokenizer, view
        self._special = frozenset(tokenizer.special.values())
        self._labels: dict[int, str] = {}
        self._widths = np.zeros(tokenizer.vocab_size, np.int64)
        self._breaking = np.zeros(tokenizer.vocab_size, bool)

    def label(self, id: int) -> str:
        """The token's label on one line, never empty."""
        found = self._labels.get(id)
        if found is None:
            found = self._labels[id] = self._make(id)
        return found

    def widths(self, ids: Ints) -> Ints:
        """(N,) Cells of each label."""
        found = self._widths[ids]
        if not found.all():
            self._measure(set(ids[found == 0].tolist()))
            found = self._widths[ids]
        return found

    def breaks(self, ids: Ints) -> Ints:
        """Places of the tokens that hold a line break, of ids whose widths were asked for."""
        return np.flatnonzero(self._breaking[ids])

    def _measure(self, ids: Iterable[int]) -> None:
        for id in ids:
            self._widths[id] = max(1, cell_len(self.label(id)))
            self._breaking[id] = b"\n" in self.tokenizer.token_bytes(id)

    def _make(self, id: int) -> str:
        if self.view == "ids":
            return str(id)
        if self.view == "bytes":
            data = self.tokenizer.token_bytes(id)
            return data[:MOST_BYTES].hex(" ") + (" …" if len(data) > MOST_BYTES else "")
        label = kept_apart(self.tokenizer.label(id))
        if id in self._special:
            return f"⟦{label}⟧"
        return label.replace("␣", "·").replace(" ", "·") if self.view == "spaces" else label
