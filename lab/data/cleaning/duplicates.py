"""Duplicates: lines and paragraphs that have come before, exactly, or nearly (MinHash; Broder, 1997)."""

import re
from itertools import pairwise

from lab.data.cleaning.cleaner import LONGEST_LINE, BlockCleaner, CodeLines, Edit, ParagraphCleaner, single_bytes

SHORTEST_LINE = 50
"""Characters of a line that is compared, spaces around it aside. Shorter ones repeat in good text: verse, code, dialogue."""
SHORTEST_PARAGRAPH = 100
"""Characters of a paragraph that is compared."""
FEWEST_WORDS = 20
"""Words of a paragraph that is compared by its runs of words."""

NARROWEST = 50
"""Characters of the longest line of a paragraph whose lines were broken to a width. Those of verse are mostly shorter."""
ODD_SHARE = 1 / 20
"""Share of signs that prose has few of, from which on a text is code, a table, a form or a record."""

_NO_WORD = re.compile(r"[^\w\x00-\x7f]+")
_WORD_BYTES = re.sub(rb"[^\w\x80-\xff]", b" ", bytes(range(256)))
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
        from lab.data.cleaning.seen_hashes import SeenHashes

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
        import numpy as np

        from lab.data.cleaning.seen_hashes import text_hashes

        self._code.read(block)
        ends = np.flatnonzero(np.frombuffer(single_bytes(block), np.uint8) == ord("\n"))
        starts, stops = np.append(0, ends + 1), np.append(ends, len(block))
        long = stops - starts >= SHORTEST_LINE
        lines = {
            start: line
            for start, stop in zip(starts[long].tolist(), stops[long].tolist(), strict=True)
            if len(line := block[start:stop].strip()) >= SHORTEST_LINE and not self._code.is_code(block, start)
        }
        seen = self._table.add(text_hashes(lines.values()))
        edits = [
            Edit(start, block.find("\n", start) + 1 or len(block))
            for (start, line), is_seen in zip(lines.items(), seen.tolist(), strict=True)
            if is_seen
            and _SENTENCES.fullmatch(line)
            and not line.lstrip("\"'“‘«„¿¡")[:1].islower()
            and _is_prose(line)
            and not _RUNS_ON.fullmatch(block[block.rfind("\n", 0, start - 1) + 1 : start - 1] if start else self._before)
        ]
        if len(ends):
            self._before = block[starts[-2] : ends[-1]]
        return edits


class DuplicateParagraphs(_Remembering, ParagraphCleaner):
    """Removes a paragraph of prose that has come before in any document. Spaces at the ends of its lines do not count."""

    WHAT = "paragraphs"

    def unwanted(self, paragraphs: list[str]) -> list[bool]:
        from lab.data.cleaning.seen_hashes import text_hashes

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

    def unwanted(self, paragraphs: list[str]) -> list[bool]:
        import numpy as np

        from lab.data.cleaning.seen_hashes import min_hashes

        words = list(map(_words, paragraphs))
        judged = [at for at, found in enumerate(words) if len(found) >= FEWEST_WORDS and not _is_code(paragraphs[at])]
        unwanted = [False] * len(paragraphs)
        if not judged:
            return unwanted
        bands = min_hashes([words[at] for at in judged])
        met = np.any(self._table.add(bands.ravel()).reshape(bands.shape), axis=1)
        for at, is_met in zip(judged, met.tolist(), strict=True):
            unwanted[at] = is_met and _is_prose(paragraphs[at])
        return unwanted


def _words(paragraph: str) -> list[bytes]:
    r"""The runs of \w in lower case."""
    text = paragraph.lower()
    return (text if text.isascii() else _NO_WORD.sub(" ", text)).encode().translate(_WORD_BYTES).split()


def _is_code(paragraph: str) -> bool:
    return paragraph.startswith(("    ", "\t")) and all(line.startswith(("    ", "\t")) for line in paragraph.splitlines())


def _is_prose(paragraph: str) -> bool:
    """True for a line of words, or for lines of them that were broken where a width was full. So verse, lists, tables, forms,
    code and logs are no prose."""
    lines = [line.strip() for line in paragraph.strip().split("\n")]
    width = max(map(len, lines))
    is_broken = width >= NARROWEST and all(
        len(line) + 1 + len(after.split(maxsplit=1)[0]) >= 0.9 * width and not _ITEM.match(after)
        for line, after in pairwise(lines)
    )
    if len(lines) > 1 and (
        not is_broken or all(line.lstrip("\"'“‘«„¿¡(")[:1].isupper() and not line.isupper() for line in lines)
    ):
        return False  # verse is such lines
    return "```" not in paragraph and len(_ODD.findall(paragraph)) <= ODD_SHARE * len(paragraph)
