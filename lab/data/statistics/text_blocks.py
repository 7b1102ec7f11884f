"""A text in blocks whose borders depend on the text alone, with its line endings counted and made "\\n"."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

BLOCK_CHARACTERS = 1 << 19
"""Characters of a block: long enough for numpy, and its arrays stay within some 30 MB."""

Part = tuple[str, int, bool]
"""Text, how many bytes have been read so far, and True where a new document starts."""


@dataclass
class LineEndCounts:
    """The count of each line ending in the text as it was read."""

    lf: int = 0
    crlf: int = 0
    cr: int = 0


class TextBlocks:
    """Iterates over a text's blocks. A block ends after a line or a word, if one ends in its last quarter.

    Two documents never share a line: where the first does not end in a newline, one is put between them, and counted in `added`.
    """

    def __init__(self, parts: Iterable[Part], size: int = BLOCK_CHARACTERS) -> None:
        self.endings = LineEndCounts()
        self.bytes = 0
        """Bytes of the text so far, in UTF-8, as it was before line endings were made alike."""
        self.added = 0
        self.read = 0
        """Bytes that have been read, as `parts` counts them."""
        self.document_bytes: list[int] = []
        """Bytes of each document, in UTF-8."""
        self._parts = parts
        self._size = size

    def __iter__(self) -> Iterator[str]:
        waiting = ""
        for text in self._unified():
            waiting += text
            if len(waiting) < self._size:
                continue
            start = 0
            while len(waiting) - start >= self._size:
                end = self._border(waiting, start)
                yield waiting[start:end]
                start = end
            waiting = waiting[start:]
        if waiting:
            yield waiting

    def _border(self, text: str, start: int) -> int:
        earliest, latest = start + self._size * 3 // 4, start + self._size
        at = max(text.rfind("\n", earliest, latest), 0) or text.rfind(" ", earliest, latest)
        return at + 1 if at > 0 else latest

    def _unified(self) -> Iterator[str]:
        held = last = ""
        for text, read, starts in self._parts:
            self.read = read
            if starts:
                self.document_bytes.append(0)
                if held:
                    yield self._with_newlines(held)
                if last and last not in "\r\n":
                    self.added += 1
                    yield "\n"
                held = last = ""
            if not text:
                continue
            size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
            self.bytes += size
            self.document_bytes[-1] += size
            last = text[-1]
            text = held + text
            held = "\r" if last == "\r" else ""  # which may go with the next part's \n
            yield self._with_newlines(text.removesuffix("\r"))
        if held:
            yield self._with_newlines(held)

    def _with_newlines(self, text: str) -> str:
        pairs = text.count("\r\n")
        self.endings.crlf += pairs
        self.endings.lf += text.count("\n") - pairs
        self.endings.cr += text.count("\r") - pairs
        return text.replace("\r\n", "\n").replace("\r", "\n")


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
        self._block_powers = self._powers[:length] * np.uint64(self._base)
        self.inverses = self._inverses[: length + 1] * np.uint64(self._inverse)
        self.position += length
        self._base = self._base * pow(_BASE, length, 1 << 64) & _BITS
        self._inverse = self._inverse * pow(_INVERSE, length, 1 << 64) & _BITS

    def prefixes(self, codes: NDArray[np.integer], before: np.uint64) -> Hashes:
        """P at each place of the block and after it; `before` is P at its first."""
        sums = np.empty(len(codes) + 1, np.uint64)
        sums[0] = before
        np.cumsum(self._symbols.take(codes) * self._block_powers, out=sums[1:])
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
    return mixed(np.arange(1, 0x110001, dtype=np.uint64))


def _geometric(ratio: int, length: int) -> Hashes:
    factors = np.full(length, ratio, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)


MOST_TEXTS = 1 << 15
"""Texts that are kept at most before all but the most common are dropped."""


class HashCounts:
    """The count of each item, its first place and its length; the texts of the most common ones.

    Counts are exact for as many as `most` distinct items. Beyond that the rarest are forgotten, after which a count may be too
    low by at most `error`.
    """

    def __init__(self, most: int, top: int, least: int = 1) -> None:
        """Keep the texts of the `top` most common items that occurred at least `least` times."""
        self.hashes: Hashes = np.empty(0, np.uint64)
        self.counts: NDArray[np.int64] = np.empty(0, np.int64)
        self.firsts: NDArray[np.int64] = np.empty(0, np.int64)
        self.lengths: NDArray[np.int64] = np.empty(0, np.int64)
        self.error = 0
        self._most, self._top, self._least = most, top, least
        self._texts: dict[int, str] = {}

    def add(self, hashes: Hashes, firsts: NDArray[np.int64], lengths: NDArray[np.int64], text_at: Callable[[int], str]) -> None:
        """Count items. `text_at(i)` gives the text of item i."""
        if not len(hashes):
            return
        found, index, counts = np.unique(hashes, return_index=True, return_counts=True)
        at = np.searchsorted(self.hashes, found)
        known = at < len(self.hashes)
        known[known] = self.hashes[at[known]] == found[known]
        self.counts[at[known]] += counts[known]
        totals = counts.astype(np.int64)
        totals[known] = self.counts[at[known]]
        new = ~known
        if new.any():
            self.hashes = np.insert(self.hashes, at[new], found[new])
            self.counts = np.insert(self.counts, at[new], counts[new])
            self.firsts = np.insert(self.firsts, at[new], firsts[index[new]])
            self.lengths = np.insert(self.lengths, at[new], lengths[index[new]])
        if len(self._texts) + np.count_nonzero(totals >= self._least) > MOST_TEXTS and len(self.counts) > self._top:
            self._drop_texts()
        common = np.flatnonzero(totals >= self._least)
        for place in common[: MOST_TEXTS - len(self._texts)].tolist():
            if (key := int(found[place])) not in self._texts:
                self._texts[key] = text_at(int(index[place]))
        if len(self.hashes) > self._most:
            self._forget_rarest()

    def _drop_texts(self) -> None:
        """Keep the texts of the most common items, and of others from now on only if they occur as often. Of very many that do,
        those with the smallest hashes."""
        self._least = max(self._least, int(np.partition(self.counts, -self._top)[-self._top]))
        keys = np.fromiter(self._texts, np.uint64, len(self._texts))
        counts = self.counts[np.searchsorted(self.hashes, keys)]
        kept = keys[counts >= self._least]
        self._texts = {int(key): self._texts[int(key)] for key in np.sort(kept)[: MOST_TEXTS // 2]}

    def _forget_rarest(self) -> None:
        bound = int(np.partition(self.counts, len(self.counts) // 2)[len(self.counts) // 2])
        kept = self.counts > bound
        self.hashes, self.counts = self.hashes[kept], self.counts[kept]
        self.firsts, self.lengths = self.firsts[kept], self.lengths[kept]
        self.error += bound
        present = set(self.hashes.tolist())
        self._texts = {key: text for key, text in self._texts.items() if key in present}

    @property
    def distinct(self) -> int:
        """Number of distinct items; with an `error`, of those that are still counted."""
        return len(self.hashes)

    def most_common(self, number: int) -> list[tuple[str, int]]:
        """The most common items with their counts, then by their text."""
        if not self._texts:
            return []
        keys = np.fromiter(self._texts, np.uint64, len(self._texts))
        counts = self.counts[np.searchsorted(self.hashes, keys)]
        pairs = zip(self._texts.values(), counts.tolist(), strict=True)
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:number]

    def rare(self, number: int) -> list[tuple[int, int]]:
        """Places of items that occurred once, as (first, length): a sample of them, the same each time."""
        once = np.flatnonzero(self.counts == 1)[:number]
        return list(zip(self.firsts[once].tolist(), self.lengths[once].tolist(), strict=True))
