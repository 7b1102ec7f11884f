"""Borders at which a text can be split so that each part is normalized as it would be within the whole."""

import functools
import sys
import unicodedata

SEARCHED = 1 << 12
"""Characters that are looked at for a border. A text with so many combining characters in a row is split among them."""


def border_before(text: str, start: int, stop: int) -> int:
    """The last index up to `stop`, and after `start`, such that normalizing what is before it and what is from it on, each alone,
    gives the same as normalizing all."""
    for at in range(stop, max(start, stop - SEARCHED), -1):
        if at >= len(text) or is_border(text[at]):
            return at
    return stop


def is_border(character: str) -> bool:
    """True if normalization never joins the character with those before it, nor puts it before them."""
    if character.isascii():
        return True
    first = unicodedata.normalize("NFD", character)[0]
    return not unicodedata.combining(first) and first not in _joining() and not "\u1161" <= first <= "\u11ff"


@functools.cache
def _joining() -> frozenset[str]:
    """The characters that are the second half of another: those that a decomposition into two ends with."""
    halves = (unicodedata.decomposition(chr(code)).split() for code in range(0x80, sys.maxunicode + 1))
    return frozenset(chr(int(half[1], 16)) for half in halves if len(half) == 2 and not half[0].startswith("<"))
