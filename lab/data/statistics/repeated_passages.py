"""Passages of a text that already stood earlier in it, character for character.

Every window of `WINDOW` characters has a hash; windows with equal hashes are copies. All windows of a text of up to
`MOST_WINDOWS` characters are kept, so that what is found is exact; of a longer text those whose hash is divisible by a power of
two ("sampling by content": all copies of a window are kept, or none). Copies that follow each other at the same distance, with
equal text between, are one passage. There what is found is a lower bound, and `CopySample` estimates the whole.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from os.path import commonprefix

import numpy as np
from numpy.typing import NDArray

from lab.data.statistics.text_blocks import BLOCK_CHARACTERS, Hashes, Part, TextBlocks, WindowHasher, mixed

CELL = 64
"""Characters of a cell."""
MOST_CELLS = 1024
"""Cells that are kept: an error of 4 points at most, in about 7 MB."""
FILTER_BITS = 22
"""Bits of a hash that tell in most cases that a window is not in the sample; the next ones are asked where these do not."""


class CopySample:
    """Cells of a text, drawn while it is fed with the hashes of all windows in turn, and their shares that stood earlier.

    Whether a window stood earlier is told by a second reading: of cells that are drawn as the text goes by, the first would tell
    only what comes again later, which is as many windows, but of short passages another share of the text.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._mask = 0
        self._begins: NDArray[np.int64] = np.empty(0, np.int64)
        """The first window of each cell: the first of those that its first character is in."""
        self._cells: Hashes = np.empty((0, window - 1 + CELL), np.uint64)
        """Hashes of the windows that each cell has a character in."""

    def add(self, first: int, hashes: Hashes) -> None:
        """Take the windows that begin at character `first` and after it. A cell that they do not cover is never drawn."""
        before = self._window - 1
        begins = np.arange(-(-(first + before) // CELL), (first + len(hashes)) // CELL) * CELL - before
        begins = begins[self._is_drawn(begins)]
        while len(self._begins) + len(begins) > MOST_CELLS:
            self._mask = 2 * self._mask + 1
            begins, stays = begins[self._is_drawn(begins)], self._is_drawn(self._begins)
            self._begins, self._cells = self._begins[stays], self._cells[stays]
        cells = hashes[(begins - first)[:, None] + np.arange(self._cells.shape[1])]
        self._begins, self._cells = np.concatenate((self._begins, begins)), np.concatenate((self._cells, cells))

    def _is_drawn(self, begins: NDArray[np.int64]) -> NDArray[np.bool_]:
        drawn: NDArray[np.bool_] = (mixed(begins.astype(np.uint64)) & np.uint64(self._mask)) == 0
        return drawn

    def estimate(self, blocks: Iterable[str]) -> tuple[float, float]:
        """The share of the text that stood earlier, and half of its 95% interval; `blocks` are the text, once more."""
        wanted = np.unique(self._cells)
        firsts = np.full(len(wanted), np.iinfo(np.int64).max)
        may_be = np.zeros(1 << FILTER_BITS, np.bool_)
        may_be[_slots(wanted, 0)] = may_be[_slots(wanted, FILTER_BITS)] = True
        hasher, first, tail = WindowHasher(self._window, BLOCK_CHARACTERS + self._window), 0, ""
        for block in blocks:
            text = tail + block
            hashes = mixed(hasher.hashes(text))
            hits = np.flatnonzero(may_be.take(_slots(hashes, 0)))
            hits = hits[may_be.take(_slots(hashes[hits], FILTER_BITS))]
            at = np.searchsorted(wanted, hashes[hits]).clip(max=len(wanted) - 1)
            same = wanted[at] == hashes[hits]
            np.minimum.at(firsts, at[same], hits[same] + first)
            first, tail = first + len(hashes), text[1 - self._window :]
        own = self._begins[:, None] + np.arange(self._cells.shape[1])
        again: NDArray[np.bool_] = np.less(firsts[np.searchsorted(wanted, self._cells)], own)
        sums: NDArray[np.int64] = np.concatenate((np.zeros((len(again), 1), np.int64), np.cumsum(again, axis=1)), axis=1)
        shares = (sums[:, self._window :] > sums[:, : -self._window]).mean(axis=1)
        error = 1.96 * shares.std() / np.sqrt(len(shares))
        return float(shares.mean()), float(max(error, 3 / len(shares)))  # 3/n: the 95% bound where no cell has a copy


def _slots(hashes: Hashes, shift: int) -> NDArray[np.intp]:
    """So many bits of each hash, from this one of the highest on."""
    return (hashes << np.uint64(shift) >> np.uint64(64 - FILTER_BITS)).view(np.intp)


WINDOW = 50
"""Least characters of a repeated passage: a sentence, more than a phrase that recurs by chance."""
MOST_WINDOWS = 1 << 21
"""Windows that are kept, in about 64 MB."""
MOST_PASSAGES = 12
SEARCH_WORK = 1 << 25
"""Windows that may be sorted in search of passages: about ten seconds."""
MAP_BINS = 240


@dataclass(frozen=True)
class FoundPassage:
    """A passage by its place: it begins at each of `starts` (apart from each other) and goes on for `length` characters."""

    length: int
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Repeats:
    """Repeated passages of a whole text, with positions in characters."""

    characters: int
    """Characters of text that already stood earlier, in passages of at least `WINDOW`."""
    density: tuple[float, ...]
    """The share of such text in each of equal parts of the text, from its beginning to its end."""
    passages: tuple[FoundPassage, ...]
    """The longest, one that lies mostly in another's copies left out."""
    length: int
    """Characters of the text, with line endings made alike: what positions are counted in."""
    spacing: int
    """Every so many-th window was looked at, on average. 1: all, and the numbers are exact; else they are lower bounds."""
    share: float
    """Share of the text that stood earlier: exact, or estimated within `error`."""
    error: float
    """Half of the estimate's 95% interval; 0 where all windows were looked at."""


class PassageFinder:
    """Fed with the blocks of a text in turn; `find` then looks for repeats among what it kept."""

    def __init__(self, most: int = MOST_WINDOWS, window: int = WINDOW) -> None:
        self._most, self._window = most, window
        self._mask = 0
        self._kept: list[tuple[NDArray[np.int64], Hashes, Hashes, Hashes]] = []
        self._size = 0
        self._tail: tuple[Hashes, Hashes] | None = None
        self._sample: CopySample | None = None
        self.length = 0

    def add(self, first: int, prefixes: Hashes, inverses: Hashes) -> None:
        """Take a block that begins at character `first`: P and B^−i at each of its places and after it."""
        if self._tail is not None:
            prefixes = np.concatenate((self._tail[0], prefixes[1:]))
            inverses = np.concatenate((self._tail[1], inverses[1:]))
            first -= len(self._tail[0]) - 1
        self.length = first + len(prefixes) - 1
        size = self._window
        self._tail = (prefixes[-size:].copy(), inverses[-size:].copy())
        if len(prefixes) <= size:
            return
        hashes = mixed((prefixes[size:] - prefixes[:-size]) * inverses[:-size])
        if self._sample:
            self._sample.add(first, hashes)
        at = np.flatnonzero((hashes & np.uint64(self._mask)) == 0)
        self._kept.append((at + first, hashes[at], prefixes[at], inverses[at]))
        self._size += len(at)
        if self._size > self._most and not self._sample:
            self._sample = CopySample(self._window)
            self._sample.add(0, np.concatenate([kept[1] for kept in self._kept]))
        while self._size > self._most:
            self._mask = 2 * self._mask + 1
            thinned = []
            for kept in self._kept:
                stays = (kept[1] & np.uint64(self._mask)) == 0
                thinned.append(tuple(values[stays] for values in kept))
            self._kept = thinned
            self._size = sum(len(positions) for positions, *_ in self._kept)

    def find(
        self,
        read_again: Callable[[], Iterable[str]],
        worker: Executor,
        bins: int = MAP_BINS,
        check: Callable[[], object] = bool,
    ) -> Repeats:
        """All repeats of the text so far. Of one of which not every window was kept, `read_again` gives the text in blocks, which
        is read while `worker` searches. `check` is called now and then, in both threads, and may raise."""
        searching = worker.submit(self._search, bins, check)
        share, error = self._sample.estimate(read_again()) if self._sample else (0.0, 0.0)
        characters, density, passages = searching.result()
        share = max(share, characters / max(1, self.length))
        return Repeats(characters, density, passages, self.length, self._mask + 1, share, error)

    def _search(self, bins: int, check: Callable[[], object]) -> tuple[int, tuple[float, ...], tuple[FoundPassage, ...]]:
        """Of the windows kept: characters in repeats, their share in each of equal parts of the text, and the passages."""
        nothing = 0, (0.0,) * bins, ()
        if not self._kept:
            return nothing
        columns = list(zip(*self._kept, strict=True))
        self._kept = []  # each part goes once it is joined
        positions, hashes, prefixes, inverses = (np.concatenate(columns.pop(0)) for _ in range(4))
        anchors = _Anchors(positions, hashes, prefixes, inverses, self._window)
        starts, ends = anchors.repeated_intervals()
        if not len(starts):
            return nothing
        # The share of the intervals in each of equal parts of 0 to `length`.
        borders = np.linspace(0, self.length, bins + 1)
        covered = np.concatenate(([0], np.cumsum(ends - starts)))
        at = np.searchsorted(starts, borders, side="right") - 1
        inside = np.where(at >= 0, np.minimum(borders - starts[at], (ends - starts)[at]), 0)
        sums = np.where(at >= 0, covered[at] + inside, 0)
        density = tuple((np.diff(sums) / np.diff(borders)).tolist()) if self.length else nothing[1]
        return int((ends - starts).sum()), density, anchors.longest_passages(check)


class _Anchors:
    """The kept windows in the order of their positions: position, hash of the window, P and B^−position."""

    def __init__(self, positions: NDArray[np.int64], hashes: Hashes, prefixes: Hashes, inverses: Hashes, window: int) -> None:
        self.positions, self.hashes, self.prefixes, self.inverses = positions, hashes, prefixes, inverses
        self.window = window
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        same = ordered[1:] == ordered[:-1]
        self.previous: NDArray[np.int64] = np.full(len(hashes), -1)
        """Of each window the nearest copy before it, or −1."""
        self.previous[order[1:][same]] = order[:-1][same]
        both = np.zeros(len(hashes), np.bool_)
        both[order[1:][same]] = both[order[:-1][same]] = True
        self.copied = np.flatnonzero(both).astype(np.int32)  # lists of them take most of the memory
        """Windows with a copy anywhere."""

    def repeated_intervals(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Starts and ends of the text that already stood earlier: its windows, and what lies between two of one passage."""
        later = np.flatnonzero(self.previous >= 0)
        starts = self.positions[later]
        ends = starts + self.window
        if not len(later):
            return starts, ends
        follows = later[:-1] + 1 == later[1:]
        here, there = later[:-1][follows], self.previous[later[:-1][follows]]
        linked = np.zeros(len(here), np.bool_)
        for source in (there, self.previous[here + 1] - 1):
            fits = source >= 0
            a, b = here[fits], source[fits]
            linked[fits] |= (self.hashes[b] == self.hashes[a]) & (self._steps(a, 1) == self._steps(b, 1))
        at = np.flatnonzero(follows)[linked]
        ends[at] = np.maximum(ends[at], starts[at + 1])
        opens = np.concatenate(([True], starts[1:] > np.maximum.accumulate(ends)[:-1]))
        return starts[opens], np.maximum.reduceat(ends, np.flatnonzero(opens))

    def _steps(self, anchors: NDArray[np.integer], steps: int) -> Hashes:
        """Hash of the text from each of these windows to the end of the window `steps` later."""
        beyond = anchors + steps
        text = (self.prefixes[beyond] - self.prefixes[anchors]) * self.inverses[anchors]
        hashes: Hashes = self.hashes[beyond]
        return hashes ^ mixed(text ^ mixed((self.positions[beyond] - self.positions[anchors]).astype(np.uint64)))

    def longest_passages(self, check: Callable[[], object]) -> tuple[FoundPassage, ...]:
        """The longest repeated passages whose copies do not overlap, one after another; none lies mostly in another's copies.

        `levels` holds, for some lengths in steps from one window to the next, the windows at which a repeated passage of that
        length may begin. A longer passage begins only where a shorter one does, so these become fewer with the length. No passage
        of `too_long` steps is left: the longest one is found by doubling, then by halving, what lies between.
        """
        number = len(self.positions)
        free = np.ones(number, np.bool_)
        levels: list[tuple[int, NDArray[np.integer]]] = [(0, self.copied)]
        too_long = number
        found: list[FoundPassage] = []
        work = SEARCH_WORK
        while levels and len(found) < MOST_PASSAGES and work > 0:
            check()
            steps, anchors = levels[-1]
            anchors = anchors[free[anchors]]
            if too_long - steps > 1:
                longer = min(2 * steps or 1, (steps + too_long) // 2)
                tried = anchors[anchors + longer < number]
                passages = self._passages(tried, longer)
                if passages is None:
                    too_long = longer
                else:
                    levels.append((longer, tried[passages[0]]))
                continue
            work -= len(anchors)
            passages = self._passages(anchors, steps)
            if passages is None:
                too_long = levels.pop()[0]
            else:
                found.append(self._with_all_copies(*passages[1:]))
                free[self.copied[self._inside(self.copied, found[-1])]] = False
        return tuple(found)

    def _passages(self, anchors: NDArray[np.integer], steps: int) -> tuple[NDArray[np.bool_], int, int] | None:
        """The anchors from which a passage of so many steps has a copy that does not overlap it; place and length of the longest
        such passage."""
        if len(anchors) < 2:
            return None
        keys = self._steps(anchors, steps) if steps else self.hashes[anchors]
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        opens = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        sizes = np.diff(np.append(opens, len(order)))
        first, last = anchors[order[opens]], anchors[order[opens + sizes - 1]]
        beyond = np.minimum(first + steps, len(self.positions) - 1)
        lengths = self.positions[beyond] - self.positions[first] + self.window
        apart = self.positions[last] - self.positions[first] >= lengths
        if not apart.any():
            return None
        stays = np.zeros(len(anchors), np.bool_)
        stays[order] = np.repeat(apart, sizes)
        longest = int(np.where(apart, lengths, -1).argmax())
        return stays, int(self.positions[first[longest]]), int(lengths[longest])

    def _with_all_copies(self, begin: int, length: int) -> FoundPassage:
        """The passage at a place, with all its copies, also those that overlap a longer passage."""
        anchor = int(np.searchsorted(self.positions, begin))
        steps = int(np.searchsorted(self.positions, begin + length - self.window)) - anchor
        copies = self.copied[(self.hashes[self.copied] == self.hashes[anchor]) & (self.copied + steps < len(self.positions))]
        if steps:
            copies = copies[self._steps(copies, steps) == self._steps(np.array([anchor]), steps)]
        return FoundPassage(length, _apart(self.positions[copies], length))

    def _inside(self, anchors: NDArray[np.integer], passage: FoundPassage) -> NDArray[np.bool_]:
        """True for windows of which at least half lies in copies of a passage."""
        starts = np.array(passage.starts)
        positions = self.positions[anchors]

        def covered(places: NDArray[np.int64]) -> NDArray[np.int64]:
            """Characters of the copies before these places."""
            at = np.searchsorted(starts, places, side="right") - 1
            rest = np.minimum(places - starts[at.clip(min=0)], passage.length)
            return np.where(at >= 0, at * passage.length + rest, 0)

        inside: NDArray[np.bool_] = 2 * (covered(positions + self.window) - covered(positions)) >= self.window
        return inside


def _apart(starts: NDArray[np.int64], length: int) -> tuple[int, ...]:
    """The starts of copies that do not overlap, chosen from the first on."""
    chosen: list[int] = []
    at = 0
    while at < len(starts):
        chosen.append(int(starts[at]))
        at = int(np.searchsorted(starts, chosen[-1] + length))
    return tuple(chosen)


EXCERPT_CHARACTERS = 400
"""Characters of a passage that are kept to show it."""
MOST_COMPARED = 8
"""Copies of a passage that are compared beyond the windows it was found by."""
FARTHEST_COMPARED = 1 << 13
SHOWN_PLACES = 200

Read = Callable[[], Iterable[Part]]
"""Gives a text in parts, from its beginning each time."""
Check = Callable[[float], bool]
"""Called often, with the share of the work that is done; it may raise, to end the work. True asks for the statistics so far."""


@dataclass(frozen=True)
class RepeatedPassage:
    """A repeated passage: its beginning, its length, how many copies there are and where, as a share of the text."""

    excerpt: str
    length: int
    copies: int
    places: tuple[float, ...]
    """Beginnings of the first copies, 0 to 1."""


def fetch_excerpts(
    read: Read, size: int, repeats: Repeats, words: Sequence[tuple[int, int]], check: Check
) -> tuple[tuple[RepeatedPassage, ...], tuple[str, ...]]:
    """The passages with their beginnings, and the words at these (first, length) in lower case.

    Of a text of which not every window was looked at, a passage is first extended on both sides as far as its copies are equal.
    """
    reach = min(8 * repeats.spacing, FARTHEST_COMPARED) if repeats.spacing > 1 else 1
    spans = [(first, first + length) for first, length in words]
    for passage in repeats.passages:
        spans.append((passage.starts[0], passage.starts[0] + min(passage.length, EXCERPT_CHARACTERS)))
        for start in passage.starts[:MOST_COMPARED]:
            end = start + passage.length
            spans += [(max(0, start - reach), start), (end, end + reach)]
    texts = iter(texts_at(read, size, spans, check) if spans else ())
    rare = tuple(next(texts).lower() for _ in words)
    found = []
    for passage in repeats.passages:
        beginning = next(texts)
        sides = [(next(texts), next(texts)) for _ in passage.starts[:MOST_COMPARED]]
        found.append(_extended(passage, beginning, sides, repeats.spacing > 1, repeats.length))
    return tuple(sorted(found, key=lambda passage: -passage.length)), rare


def _extended(
    found: FoundPassage, beginning: str, sides: Sequence[tuple[str, str]], may_grow: bool, size: int
) -> RepeatedPassage:
    before = after = 0
    if may_grow and len(found.starts) <= MOST_COMPARED:
        room = min((b - a for a, b in zip(found.starts, found.starts[1:], strict=False)), default=0) - found.length
        before = min(room, len(commonprefix([side[0][::-1] for side in sides])))  # noqa: RUF071 - of texts
        after = min(room - before, len(commonprefix([side[1] for side in sides])))  # noqa: RUF071
    left = sides[0][0]
    excerpt = (left[len(left) - before :] + beginning)[:EXCERPT_CHARACTERS]
    outside = left[: len(left) - before][-1:]
    if outside.isalnum() and excerpt[:1].isalnum():
        excerpt = "…" + excerpt
    places = tuple((start - before) / size for start in found.starts[:SHOWN_PLACES])
    return RepeatedPassage(excerpt, found.length + before + after, len(found.starts), places)


def texts_at(read: Read, size: int, spans: Sequence[tuple[int, int]], check: Check) -> list[str]:
    """The text of each span of characters, line endings made alike, in one pass that ends after the last of them."""
    found = [""] * len(spans)
    last = max((stop for _, stop in spans), default=0)
    position = 0
    blocks = TextBlocks(read(), BLOCK_CHARACTERS)
    for block in blocks:
        for at, (first, stop) in enumerate(spans):
            found[at] += block[max(0, first - position) : max(0, stop - position)]
        position += len(block)
        check(0.9 + 0.1 * min(1.0, blocks.read / size) if size else 1.0)
        if position >= last:
            break
    return found
