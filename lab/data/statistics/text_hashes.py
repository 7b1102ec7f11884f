"""Hashes of all passages of a text at once: a polynomial over its characters, kept as prefix sums, modulo 2⁶⁴.

The hash of the characters s to e is (P[e] − P[s]) · B⁻ˢ with P[i] = Σ symbol(c_k) · Bᵏ over k < i, so any passage's hash takes
one subtraction and one product (Karp and Rabin, "Efficient randomized pattern-matching algorithms", 1987). B is odd, so it has an
inverse. Two different passages share a hash with a chance of about 2⁻⁶⁴ in text that is not made to do so.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_BITS = (1 << 64) - 1
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def mixed(values: Hashes) -> Hashes:
    """The values with every bit of the input spread over all bits of the output (splitmix64's finalizer)."""
    values = (values ^ (values >> np.uint64(30))) * _MIX
    values = (values ^ (values >> np.uint64(27))) * _MIX2
    return values ^ (values >> np.uint64(31))


class PrefixHasher:
    """Prefix sums of a text that comes in blocks, each of at most `largest` characters."""

    def __init__(self, largest: int) -> None:
        self._symbols = _symbols()
        self._powers = _geometric(_BASE, largest + 1)
        self._inverses = _geometric(_INVERSE, largest + 1)
        self.position = 0
        self._base, self._inverse = 1, 1
        """B^position and B^−position."""
        self.inverses: Hashes = self._inverses[:1]
        """B^−i for each place of the latest block and the place after it, i counted from the beginning of the text."""

    def begin_block(self, length: int) -> None:
        """Go on to a block of `length` characters; `prefixes` then takes its characters."""
        self._block_base = np.uint64(self._base)
        self.inverses = self._inverses[: length + 1] * np.uint64(self._inverse)
        self.position += length
        self._base = self._base * pow(_BASE, length, 1 << 64) & _BITS
        self._inverse = self._inverse * pow(_INVERSE, length, 1 << 64) & _BITS

    def prefixes(self, codes: NDArray[np.integer], before: np.uint64) -> Hashes:
        """P at each place of the block and after it; `before` is P at its first."""
        sums = np.empty(len(codes) + 1, np.uint64)
        sums[0] = before
        np.cumsum(self._symbols[codes] * (self._powers[: len(codes)] * self._block_base), out=sums[1:])
        sums[1:] += before
        return sums


class WindowHasher:
    """Hashes of all windows of one length, which compare with each other alone: the sums begin anew in every block."""

    def __init__(self, window: int, largest: int) -> None:
        self._window = window
        self._powers, self._inverses = _geometric(_BASE, largest), _geometric(_INVERSE, largest)

    def hashes(self, text: str) -> Hashes:
        """The hash of the window at each place of a text of at most `largest` characters."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(_symbols().take(codes) * self._powers[: len(codes)], out=sums[1:])
        ends = sums[self._window :]
        return (ends - sums[: len(ends)]) * self._inverses[: len(ends)]


@cache
def _symbols() -> Hashes:
    """The symbol of each code point."""
    return mixed(np.arange(1, 0x110001, dtype=np.uint64))


def _geometric(ratio: int, length: int) -> Hashes:
    factors = np.full(length, ratio, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)
