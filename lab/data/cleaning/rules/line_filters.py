"""Lines by their make: very long, very short in runs, or mostly symbols."""

import functools
import re
import sys
import unicodedata
from typing import Any

from lab.data.cleaning.cleaner import BlockCleaner, CodeLines, Edit, Passage

LONGEST_WORD = 1000
"""Characters in a row without a space, as in C4."""
LONGEST_KEPT_LINE = 100_000
SHORT_RUN = 4
"""Short lines in a row that make a menu."""
FEWEST_CHARACTERS = 10
"""Characters, spaces aside, of a line that is judged by its symbols."""
SMALLEST_SHARE = 0.2
"""Share of letters and digits, spaces aside, below which a line is mostly symbols, unless it holds a word."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Scripts that are written without spaces: Thai, Lao, Burmese, Khmer, Chinese, Japanese."""
_LONG_WORD = re.compile(rf"(?<![^\s{_UNSPACED}])[^\s{_UNSPACED}]{{{LONGEST_WORD + 1}}}")

_WORD = rf"(?:(?![{_UNSPACED}])[^\W\d_])(?:(?![{_UNSPACED}])[\w&'’-]){{0,24}}"
_CAPITAL = "A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĘĚĞĢĪĮİĶĻĽŁŃŅŇŌŐŒŔŘŚŞŠŢŤŪŮŰŲŹŻŽΆ-ΫЀ-Я"
"""With which the entries of a menu begin, and lines of code do not."""
_SHORT_LINES = re.compile(rf"^(?:(?=[{_CAPITAL}]){_WORD}(?: (?:& )?{_WORD})?[ \t]*\n)+", re.MULTILINE)
_BORDER = re.compile(r"[|:+=\s-]+|.*[\u2500-\u259f].*\s*")
RULER_SYMBOLS = 2
"""Different symbols of a ruler, such as `# =====`."""

_ANY_WORD = re.compile(rf"[^\W\d_]{{2}}|(?=[^\W\d_])[{_UNSPACED}]")


class LongLines(BlockCleaner):
    """Removes lines of more than `LONGEST_KEPT_LINE` characters, and those with a word of more than `LONGEST_WORD`."""

    def begin_document(self) -> None:
        self._removing = False
        """True inside a line that is being removed."""

    def edits(self, block: str) -> list[Edit]:
        edits = []
        at = 0
        if self.mid_line and self._removing:
            at = block.find("\n") + 1 or len(block)
            edits.append(Edit(0, at))
        longest = max(map(len, block.split()), default=0)
        if longest > LONGEST_WORD or len(block) > LONGEST_KEPT_LINE:
            edits += [Edit(start, stop) for start, stop in _lines(block, at) if _is_long(block, start, stop)]
        self._removing = bool(edits) and edits[-1].stop == len(block) and not block.endswith("\n")
        return edits


def _lines(block: str, at: int) -> list[tuple[int, int]]:
    """The lines from here on, with their ends."""
    lines = []
    while at < len(block):
        stop = block.find("\n", at) + 1 or len(block)
        lines.append((at, stop))
        at = stop
    return lines


def _is_long(block: str, start: int, stop: int) -> bool:
    if stop - start <= LONGEST_WORD:
        return False
    return len(block[start:stop].rstrip("\n")) > LONGEST_KEPT_LINE or _LONG_WORD.search(block, start, stop) is not None


class ShortLines(BlockCleaner):
    """Removes runs of `SHORT_RUN` or more lines of one or two words without punctuation, each with a capital. Code stays."""

    def begin_document(self) -> None:
        self._code = CodeLines()
        self._run = ""
        """Short lines that may be the beginning of a run."""
        self._removing = False
        """True inside a run that is being removed."""

    def passages(self, block: str) -> list[Passage]:
        passages: list[Passage] = []
        self._code.read(block)
        at = 0
        first = block.find("\n") + 1 or len(block) if self.mid_line else 0
        for run in _SHORT_LINES.finditer(block, first):
            if self._code.is_code(block, run.start()):
                continue
            if run.start() > at:
                passages += self._end_run()
                passages.append(Passage(block[at : run.start()], block[at : run.start()]))
            self._run += run[0]
            at = run.end()
            if self._removing or self._run.count("\n") >= SHORT_RUN:
                passages += [Passage(line, "") for line in self._run.splitlines(keepends=True)]
                self._run, self._removing = "", True
        if at < len(block):
            passages += self._end_run()
            passages.append(Passage(block[at:], block[at:]))
        return passages

    def cleaned(self, block: str) -> str:
        return "".join(passage.after for passage in self.passages(block))

    def end_document(self) -> list[Passage]:
        return self._end_run()

    def _end_run(self) -> list[Passage]:
        run, self._run, self._removing = self._run, "", False
        return [Passage(run, run)] if run else []


class SymbolLines(BlockCleaner):
    """Removes lines with fewer than `SMALLEST_SHARE` letters and digits and no word. Rulers, tables' borders, drawn boxes and
    code stay."""

    def begin_document(self) -> None:
        self._code = CodeLines()

    def edits(self, block: str) -> list[Edit]:
        self._code.read(block)
        return [
            Edit(start, stop)
            for start, stop in _mostly_symbols(block)
            if not self._code.is_code(block, start)
            and not _is_ruler(block[start:stop])
            and _ANY_WORD.search(block, start, stop) is None
        ]


def _is_ruler(line: str) -> bool:
    """True for a ruler of one or two symbols, the border of a table, a drawn box: they belong to the text around them."""
    return len(set("".join(line.split()))) <= RULER_SYMBOLS or _BORDER.fullmatch(line) is not None


def _mostly_symbols(block: str) -> list[tuple[int, int]]:
    """The lines of at least `FEWEST_CHARACTERS`, spaces aside, of which less than `SMALLEST_SHARE` are letters and digits."""
    import numpy as np

    characters = np.frombuffer(block.encode("utf-32-le"), np.uint32)
    kinds = _kinds()[characters]
    ends = np.flatnonzero(characters == ord("\n")) + 1
    starts = np.concatenate(([0], ends))
    starts = starts[starts < len(characters)]
    visible = np.add.reduceat((kinds > 0).astype(np.int32), starts)
    letters = np.add.reduceat((kinds > 1).astype(np.int32), starts)
    found = np.flatnonzero((visible >= FEWEST_CHARACTERS) & (letters < SMALLEST_SHARE * visible))
    stops = np.append(starts[1:], len(characters))
    return [(int(starts[line]), int(stops[line])) for line in found]


@functools.cache
def _kinds() -> Any:
    """By code point: 0 for white space, 1 for symbols, 2 for letters, marks and digits."""
    import numpy as np

    categories = map(unicodedata.category, map(chr, range(sys.maxunicode + 1)))
    kinds = np.fromiter((2 if category[0] in "LMN" else 1 for category in categories), np.uint8, sys.maxunicode + 1)
    kinds[[code for code in range(0x3001) if chr(code).isspace()]] = 0
    return kinds
