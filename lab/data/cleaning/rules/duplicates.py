"""Duplicates: lines and paragraphs that have come before, exactly, or nearly (MinHash; Broder, 1997)."""

import functools
import re
from itertools import chain, pairwise
from typing import Any
from zlib import crc32

from lab.data.cleaning.cleaner import LONGEST_LINE, BlockCleaner, CodeLines, Edit, ParagraphCleaner

SHORTEST_LINE = 50
"""Characters of a line that is compared, spaces around it aside. Shorter ones repeat in good text: verse, code, dialogue."""
SHORTEST_PARAGRAPH = 100
"""Characters of a paragraph that is compared."""
FEWEST_WORDS = 20
"""Words of a paragraph that is compared by its runs of words."""
RUN_WORDS = 5
BANDS = 14
BAND_HASHES = 8
"""As FineWeb has them: two texts with a similarity s fall into one band with probability 1 − (1 − s^8)^14: 77% at s = 0.75,
5% at 0.5, 99.9% at 0.9."""
MULTIPLIER = 0x9E3779B97F4A7C15
"""Odd, with its bits spread: 2^64 over the golden ratio."""
MOST_WORDS = 1 << 16
"""Different words whose hashes are kept at a time, in some 10 MB."""

NARROWEST = 50
"""Characters of the longest line of a paragraph whose lines were broken to a width. Those of verse are mostly shorter."""
ODD_SHARE = 1 / 20
"""Share of signs that prose has few of, from which on a text is code, a table, a form or a record."""

_NO_WORD = re.compile(r"[^\w\x00-\x7f]+")
_WORD_BYTES = bytes(byte if byte >= 0x80 or chr(byte).isalnum() or byte == ord("_") else ord(" ") for byte in range(256))
"""By byte of UTF-8: itself, or a space for an ASCII character that is part of no word."""
_ODD = re.compile(r"[][{}<>=_/\\|+*&%$#@^~`]|[,;:.]\w|\b\d[\d.,:-]*| {3,}|\t")
_ITEM = re.compile(r"(?:[-*•+–]|\d+[.)]) ")
_SENTENCES = re.compile(
    r"(?![^.!?,;]{1,40}:\s|.*[,;|][\"']?[^\W\d_])[\"'“‘«„¿¡]{0,2}[^\W\d_].*[.!?…。！？][\"'”’»]{0,2}"  # no label, no cells
)
_RUNS_ON = re.compile(r"\s*(?:\S+\s+){3}.*[^\s.!?…。！？:\"'”’»)]\s*")
"""A line of four words or more, as of verse or of a broken paragraph, that goes on in the next one."""


class _Remembering(BlockCleaner):
    """A cleaner with a table of what has come before in any document."""

    WHAT = ""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        from lab.data.cleaning.rules.seen_hashes import SeenHashes

        super().__init__(longest)
        self._table = SeenHashes()

    def notes(self) -> tuple[str, ...]:
        words = f"The table of {self.WHAT} is full: from some place on, only repeats of what is in it are found."
        return (words,) if self._table.is_full else ()


class DuplicateLines(_Remembering):
    """Removes a line of whole sentences that has come before in any document. Spaces around it do not count. Code stays."""

    WHAT = "lines"

    def begin_document(self) -> None:
        self._code = CodeLines()
        self._before = ""
        """The last line of the block before."""

    def edits(self, block: str) -> list[Edit]:
        from lab.data.cleaning.rules.seen_hashes import text_hashes

        self._code.read(block)
        places = []
        lines = []
        at = 0
        before = self._before
        for line in block.split("\n"):
            stop = at + len(line) + 1
            if (
                len(line) >= SHORTEST_LINE
                and len(stripped := line.strip()) >= SHORTEST_LINE
                and not self._code.is_code(block, at)
            ):
                places.append((at, min(stop, len(block)), before))
                lines.append(stripped)
            if stop <= len(block):
                before = line
            at = stop
        self._before = before
        if not lines:
            return []
        seen = self._table.add(text_hashes(lines))
        return [
            Edit(start, stop)
            for line, (start, stop, before), is_seen in zip(lines, places, seen, strict=True)
            if is_seen
            and _SENTENCES.fullmatch(line)
            and not line.lstrip("\"'“‘«„¿¡")[:1].islower()
            and _is_prose(line)
            and not _RUNS_ON.fullmatch(before)
        ]


class DuplicateParagraphs(_Remembering, ParagraphCleaner):
    """Removes a paragraph of prose that has come before in any document. Spaces at the ends of its lines do not count."""

    WHAT = "paragraphs"

    def unwanted(self, paragraphs: list[str]) -> list[bool]:
        from lab.data.cleaning.rules.seen_hashes import text_hashes

        keys = {
            at: key
            for at, paragraph in enumerate(paragraphs)
            if len(paragraph) >= SHORTEST_PARAGRAPH
            and len(key := "\n".join(map(str.rstrip, paragraph.split("\n"))).strip()) >= SHORTEST_PARAGRAPH
            and not _is_code(paragraph)
        }
        unwanted = [False] * len(paragraphs)
        for at, is_seen in zip(keys, self._table.add(text_hashes(keys.values())), strict=True):
            unwanted[at] = bool(is_seen) and _is_prose(paragraphs[at])
        return unwanted


class NearDuplicates(_Remembering, ParagraphCleaner):
    """Removes a paragraph of prose one of whose bands of MinHash values an earlier one has, in any document. Case and punctuation
    do not count."""

    WHAT = "near-duplicates"

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        super().__init__(longest)
        self._words = _WordHashes()

    def unwanted(self, paragraphs: list[str]) -> list[bool]:
        import numpy as np

        words = list(map(_words, paragraphs))
        judged = [at for at, found in enumerate(words) if len(found) >= FEWEST_WORDS and not _is_code(paragraphs[at])]
        unwanted = [False] * len(paragraphs)
        if not judged:
            return unwanted
        bands = _band_hashes(self._signatures([words[at] for at in judged]))
        met = np.any(self._table.add(bands.ravel()).reshape(bands.shape), axis=1)
        for at, is_met in zip(judged, met.tolist(), strict=True):
            unwanted[at] = is_met and _is_prose(paragraphs[at])
        return unwanted

    def _signatures(self, paragraphs: list[list[bytes]]) -> Any:
        """MinHash of each paragraph's runs of words, as datasketch's scheme "affine32" has it, of all paragraphs at once."""
        import numpy as np

        if len(self._words) > MOST_WORDS:
            self._words.clear()
        lengths = np.array([len(words) for words in paragraphs])
        hashes = np.fromiter(map(self._words.__getitem__, chain.from_iterable(paragraphs)), np.uint64, lengths.sum())
        runs = np.zeros(len(hashes) - RUN_WORDS + 1, np.uint64)
        for offset in range(RUN_WORDS):
            runs = (runs + hashes[offset : offset + len(runs)]) * np.uint64(MULTIPLIER)
        ends = np.cumsum(lengths)
        across = (ends[:-1, None] - np.arange(1, RUN_WORDS)).ravel()
        starts = ends - lengths - np.arange(len(lengths)) * (RUN_WORDS - 1)
        mixed = (np.delete(runs, across) >> np.uint64(32)).astype(np.uint32)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):  # MurmurHash3's finalizer
            mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
        signatures = np.empty((BANDS * BAND_HASHES, len(lengths)), np.uint32)
        permuted = np.empty_like(mixed)
        for signature, factor, summand in zip(signatures, *_permutations(), strict=True):
            np.multiply(mixed, factor, permuted)
            np.add(permuted, summand, permuted)
            np.minimum.reduceat(permuted, starts, out=signature)
        return signatures.T


def _words(paragraph: str) -> list[bytes]:
    r"""The runs of \w in lower case."""
    lower = paragraph.lower()
    return (lower if lower.isascii() else _NO_WORD.sub(" ", lower)).encode().translate(_WORD_BYTES).split()


class _WordHashes(dict[bytes, int]):
    """The CRC-32 of words, each computed once."""

    def __missing__(self, word: bytes) -> int:
        found = self[word] = crc32(word)
        return found


@functools.cache
def _permutations() -> tuple[Any, Any]:
    """Odd factors and summands of the permutations h -> a h + b modulo 2^32, those that datasketch draws with the seed 1."""
    import numpy as np

    random = np.random.RandomState(1)
    half = random.randint(0, 1 << 31, BANDS * BAND_HASHES, np.uint32)
    return half * np.uint32(2) + np.uint32(1), random.randint(0, 1 << 32, BANDS * BAND_HASHES, np.uint32)


def _is_code(paragraph: str) -> bool:
    return paragraph.startswith(("    ", "\t")) and all(line.startswith(("    ", "\t")) for line in paragraph.splitlines())


def _is_prose(paragraph: str) -> bool:
    """True for a line of words, or for lines of them that were broken where a width was full. So verse, lists, tables, forms,
    code and logs are no prose."""
    if "```" in paragraph or len(_ODD.findall(paragraph)) > ODD_SHARE * len(paragraph):
        return False
    lines = [line.strip() for line in paragraph.strip().split("\n")]
    width = max(map(len, lines))
    is_broken = width >= NARROWEST and all(
        len(line) + 1 + len(after.split(maxsplit=1)[0]) >= 0.9 * width and not _ITEM.match(after)
        for line, after in pairwise(lines)
    )
    is_verse = all(line.lstrip("\"'“‘«„¿¡(")[:1].isupper() and not line.isupper() for line in lines)
    return len(lines) == 1 or (is_broken and not is_verse)


def _band_hashes(signatures: Any) -> Any:
    """One 64-bit hash for each band of each signature, (n, BANDS), in which its number counts, so that only like bands meet."""
    import numpy as np

    values = signatures.astype(np.uint64).reshape(len(signatures), BANDS, BAND_HASHES)
    hashes = np.broadcast_to(np.arange(1, BANDS + 1, dtype=np.uint64), values.shape[:2])
    for at in range(BAND_HASHES):
        hashes = (hashes + values[:, :, at]) * np.uint64(MULTIPLIER)
        hashes = hashes ^ (hashes >> np.uint64(32))
    return np.where(hashes == 0, np.uint64(1), hashes)
