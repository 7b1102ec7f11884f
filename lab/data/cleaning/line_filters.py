"""Lines by their make: very long, very short in runs, or mostly symbols."""

import functools
import re
import sys
import unicodedata
from typing import Any

from lab.data.cleaning.cleaner import FENCE, BlockCleaner, CodeLines, Edit, LineRun, Passage, passages_of

LONGEST_WORD = 1000
"""Characters in a row without a space, as in C4, and without a comma or another sign between cells."""
LONGEST_KEPT_LINE = 100_000
SHORT_RUN = 4
"""Short lines in a row that make a menu, if there are entries of menus among them."""
LONGEST_MENU = 100
"""Lines of a menu; a longer run is a list."""
FEWEST_ENTRIES = 3
ENTRIES_SHARE = 1 / 3
"""Different usual entries that a menu has at least, and their share of its lines."""
FEWEST_CHARACTERS = 10
"""Characters, spaces aside, of a line that is judged by its symbols."""
SMALLEST_SHARE = 0.2
"""Share of letters and digits, spaces aside, below which a line is mostly symbols, unless it holds a word."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Scripts that are written without spaces: Thai, Lao, Burmese, Khmer, Chinese, Japanese."""
_LONG_WORD = re.compile(rf"(?<![^\s,;|{_UNSPACED}])[^\s,;|{_UNSPACED}]{{{LONGEST_WORD + 1}}}")

_LONG_LINES = LineRun(rf"[^\n]{{{LONGEST_WORD + 1},}}")

_WORD = rf"(?:(?![{_UNSPACED}])[^\W\d_])(?:(?![{_UNSPACED}])[\w&'’-]){{0,24}}"
_CAPITAL = "A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĘĚĞĢĪĮİĶĻĽŁŃŅŇŌŐŒŔŘŚŞŠŢŤŪŮŰŲŹŻŽΆ-ΫЀ-Я"
"""With which the entries of a menu begin, and lines of code do not."""
_SHORT_LINES = LineRun(rf"(?:(?=[{_CAPITAL}]){_WORD}(?: (?:& )?{_WORD})?[ \t]*\n)+")
_ENTRY = re.compile(
    r"home|about(?: us)?|contact(?: us)?|(?:log|sign) ?(?:in|out|up)|register|subscribe|search|menu|news|blog|shop|store|cart"
    r"|basket|checkout|(?:my )?account|products|services|support|help|faqs?|careers|jobs|press|privacy|terms|cookies|site ?map"
    r"|newsletter|events|gallery|archive|downloads|settings|profile|rss|facebook|twitter|instagram|youtube|linkedin"
    r"|startseite|über uns|kontakt|impressum|datenschutz|anmelden|suche|aktuelles|warenkorb|hilfe|agb"
    r"|accueil|à propos|connexion|recherche|panier|inicio|contacto|buscar|nosotros|chi siamo|contatti|accedi|carrello"
)
"""Usual entries of the menus of web pages, in lower case."""
_DRAWN = re.compile(
    r"[|:+=\s-]+|\s*\|.*\|"  # the border of a table, and a row of one
    r"|[\[\](){}<>,;\s]+|.*[\[({]|.*(?:\([^()]+\)|\[[^\[\]]+\]|\{[^{}]+\}).*"  # brackets of code and of formulas
    r"|.*[\u2500-\u259f\u2654-\u266f\u2800-\u28ff\U0001f000-\U0001faff].*"  # boxes, chess, notes, Braille, emoji
)
_REPEATED = re.compile(r"(.{1,4}?)\1{3}")
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
        edits += [
            Edit(start, min(stop + 1, len(block)))
            for start, stop in _LONG_LINES.spans(block, at)
            if stop - start > LONGEST_KEPT_LINE or _LONG_WORD.search(block, start, stop)
        ]
        self._removing = bool(edits) and edits[-1].stop == len(block) and not block.endswith("\n")
        return edits


class ShortLines(BlockCleaner):
    """Removes menus: runs of `SHORT_RUN` or more lines of one or two words without punctuation, each with a capital, that hold
    usual entries. Code stays."""

    def begin_document(self) -> None:
        self._code = CodeLines()
        self._run = ""
        """Short lines that may be the beginning of a menu."""
        self._is_list = False
        """True inside a run that is too long for a menu."""

    def passages(self, block: str) -> list[Passage]:
        passages: list[Passage] = []
        self._code.read(block)
        at = 0
        first = block.find("\n") + 1 or len(block) if self.mid_line else 0
        for start, stop in _SHORT_LINES.spans(block, first):
            if self._code.is_code(block, start):
                continue
            if start > at:
                passages += self._end_run()
                passages.append(Passage(block[at:start], block[at:start]))
            self._run += block[start:stop]
            at = stop
            if self._is_list or self._run.count("\n") > LONGEST_MENU:
                passages.append(Passage(self._run, self._run))
                self._run, self._is_list = "", True
        if at < len(block):
            passages += self._end_run()
            passages.append(Passage(block[at:], block[at:]))
        return passages

    def end_document(self) -> list[Passage]:
        return self._end_run()

    def _end_run(self) -> list[Passage]:
        run, self._run, self._is_list = self._run, "", False
        lines = run.splitlines(keepends=True)
        entries = {entry for line in lines if _ENTRY.fullmatch(entry := line.strip().lower())}
        if len(lines) >= SHORT_RUN and len(entries) >= max(FEWEST_ENTRIES, ENTRIES_SHARE * len(lines)):
            return [Passage(line, "") for line in lines]
        return [Passage(run, run)] if run else []


class SymbolLines(BlockCleaner):
    """Removes a line with fewer than `SMALLEST_SHARE` letters and digits and no word, between lines that are not of symbols.
    Drawings of several lines stay, and so do rulers, tables, brackets, emoji and code."""

    def begin_document(self) -> None:
        self._code = CodeLines()
        self._held = ""
        """A line that is removed unless one of symbols follows."""
        self._is_beside = False
        """True after a line of symbols."""

    def passages(self, block: str) -> list[Passage]:
        return self._judged(self._held + block, last=False)

    def end_document(self) -> list[Passage]:
        return self._judged(self._held, last=True) if self._held else []

    def _judged(self, text: str, *, last: bool) -> list[Passage]:
        self._code.read(text)
        lines, is_beside = _lone_symbols(text, self._is_beside)
        edits = [Edit(*line) for line in lines if not self._code.is_code(text, line[0]) and not _is_drawn(text[slice(*line)])]
        self._held = ""
        if not last and edits and edits[-1].stop == len(text) and text.endswith("\n"):
            start = edits.pop().start
            text, self._held = text[:start], text[start:]
        self._is_beside = is_beside and not self._held
        return passages_of(text, edits)


def _is_drawn(line: str) -> bool:
    """True for a line with a word; for a ruler of one or two symbols, or of the same ones again and again; for a table's border,
    a drawn box, brackets, a fence: they belong to the text around them."""
    symbols = "".join(line.split())
    return (
        _ANY_WORD.search(line) is not None
        or len(set(symbols)) <= RULER_SYMBOLS
        or _REPEATED.search(symbols) is not None
        or _DRAWN.fullmatch(line.rstrip()) is not None
        or FENCE.match(line) is not None
    )


def _lone_symbols(block: str, is_beside: bool) -> tuple[list[tuple[int, int]], bool]:
    """The lines of at least `FEWEST_CHARACTERS`, spaces aside, of which less than `SMALLEST_SHARE` are letters and digits, with
    no line of symbols before or after, `is_beside` for the first; and true if the last line is one of symbols."""
    import numpy as np

    characters = np.frombuffer(block.encode("utf-32-le"), np.uint32)
    kinds = _kinds()[characters]
    ends = np.flatnonzero(characters == ord("\n")) + 1
    starts = np.concatenate(([0], ends))
    starts = starts[starts < len(characters)]
    visible = np.add.reduceat((kinds > 0).astype(np.int32), starts)
    letters = np.add.reduceat((kinds > 1).astype(np.int32), starts)
    drawn = np.concatenate(([is_beside], (visible > 1) & (2 * letters < visible), [False]))
    is_noise = (visible >= FEWEST_CHARACTERS) & (letters < SMALLEST_SHARE * visible)
    found = np.flatnonzero(is_noise & ~drawn[:-2] & ~drawn[2:])
    stops = np.append(starts[1:], len(characters))
    return [(int(starts[line]), int(stops[line])) for line in found], bool(drawn[-2])


@functools.cache
def _kinds() -> Any:
    """By code point: 0 for white space, 1 for symbols, 2 for letters, marks and digits."""
    import numpy as np

    categories = map(unicodedata.category, map(chr, range(sys.maxunicode + 1)))
    kinds = np.fromiter((2 if category[0] in "LMN" else 1 for category in categories), np.uint8, sys.maxunicode + 1)
    kinds[[code for code in range(0x3001) if chr(code).isspace()]] = 0
    return kinds
