"""A cleaning rule at work on a stream of text: what it keeps, removes and changes, with bounded memory.

A cleaner is fed a document in parts of any size. What it gives back does not depend on these sizes. It may hold text back until
it can judge it, never more than about `LONGEST_LINE` characters.
"""

import functools
import re
import sys
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

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


LONGEST_LINE = 1 << 20
"""Characters after which a line is taken in pieces, each of which is judged as a line, so that memory has a bound."""

FENCE = re.compile(r"^ {0,3}(?:```|~~~)[^\n]*$", re.MULTILINE)
"""A line that begins or ends a block of code in Markdown."""

STATEMENT = re.compile(
    r" {0,3}(?:#[#! \w]|//|/\*|\*/|--+ \w|;+ |%+ \w|<[!/\w]|@\w|\$[( \w]|>>> |\"\"\"|'''|\{"  # comments, tags, prompts
    r"|import [\w.]+$|from [\w.]+ import |(?:echo|printf?|puts) [\"']"
    r"|[^\n]*(?:\w ?:?=>? ?[\"'\[({\w]|\w[\"']?: ?[\"'\[{]|\w\([\"'])"  # assignments, entries, calls
    r"|[^\n]*(?:[{};]|[\])][,)\]]+|\]|\"\"\")[ \t]*$)| \* |\*  ",
    re.MULTILINE,
)
"""A line in the form of code, a comment or a heading of Markdown, wherever it stands."""

Span = tuple[int, int]
"""A half-open range of a text."""


class Passage(NamedTuple):
    """A part of the text as a rule found it and as it left it. The passages of a text, joined, are the text."""

    before: str
    after: str
    """As `before` where it was kept, empty where it was removed."""
    reason: str = ""
    """The kind of thing that was taken, where the rule has several."""
    changes: int = 1
    """Changes that it stands for: more than one where a rule joins them, because there may be one on every line."""
    same: int = 0
    """Bytes of it that stay as they are, between these changes."""

    @property
    def kept(self) -> bool:
        return self.before == self.after


class Edit(NamedTuple):
    """A change of a block of text: what stands in [start, stop) becomes `after`."""

    start: int
    stop: int
    after: str = ""
    reason: str = ""


class Cleaner:
    """A rule's state while it reads a corpus once. After the last part of a document it is ready for the next document."""

    def feed(self, text: str, last: bool) -> list[Passage]:
        """The passages that are settled by this part of the document; all that are left where it is the last."""
        raise NotImplementedError

    def clean(self, text: str, last: bool) -> str:
        """The cleaned text alone, as the passages of `feed` give it."""
        return "".join(passage.after for passage in self.feed(text, last))

    def notes(self) -> tuple[str, ...]:
        """A sentence for each limit that was reached."""
        return ()


class BlockCleaner(Cleaner):
    """A cleaner that sees a document in blocks of whole lines. Only a line of more than `longest` characters comes in pieces."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._unfinished = ""
        """The beginning of a line whose end has not come yet."""
        self.mid_line = False
        """True if the block begins inside a line that is taken in pieces."""
        self.begin_document()

    def begin_document(self) -> None:
        """Forget everything about the document before."""

    def edits(self, block: str) -> list[Edit]:
        """The changes of a block, in order, none overlapping, none of which leaves its text as it is."""
        raise NotImplementedError

    def feed(self, text: str, last: bool) -> list[Passage]:
        passages = [passage for block in self._blocks(text, last) for passage in self.passages(block)]
        if last:
            passages += self.end_document()
            self.mid_line = False
            self.begin_document()
        return passages

    def passages(self, block: str) -> list[Passage]:
        return passages_of(block, self.edits(block))

    def end_document(self) -> list[Passage]:
        """The passages that were held back until the end of the document."""
        return []

    def _blocks(self, text: str, last: bool) -> Iterator[str]:
        buffer = self._unfinished + text
        at = 0
        while at < len(buffer):
            if len(buffer) - at > self._longest:
                end = buffer.rfind("\n", at, at + self._longest + 1) + 1 or border_before(buffer, at, at + self._longest)
            else:
                end = len(buffer) if last else buffer.rfind("\n", at) + 1
            if not end:
                break
            yield buffer[at:end]
            self.mid_line = buffer[end - 1] != "\n"
            at = end
        self._unfinished = buffer[at:]


def single_bytes(text: str) -> bytes:
    """A byte for each character, to search in: that of Latin-1, and ? for any other."""
    return text.encode("latin-1", "replace")


def utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def passages_of(block: str, edits: list[Edit]) -> list[Passage]:
    """A block as passages: the edits, and what is kept between them."""
    passages = []
    at = 0
    for start, stop, after, reason in edits:
        if start > at:
            kept = block[at:start]
            passages.append(Passage(kept, kept))
        passages.append(Passage(block[start:stop], after, reason))
        at = stop
    if at < len(block):
        kept = block[at:] if at else block
        passages.append(Passage(kept, kept))
    return passages


class LineRun:
    """A greedy pattern of whole lines, one or more, which is looked for at line ends alone."""

    def __init__(self, lines: str) -> None:
        self._first = re.compile(lines)
        self._next = re.compile(f"\n(?:{lines})")

    def spans(self, block: str, at: int) -> Iterator[Span]:
        """The runs, of which the first one may begin at `at`, where a line begins."""
        if first := self._first.match(block, at):
            yield first.span()
        for found in self._next.finditer(block, first.end() if first else at):
            yield found.start() + 1, found.end()


class CodeLines:
    """Tells code from prose in a document: lines between Markdown's fences, and lines indented as code."""

    def __init__(self) -> None:
        self._inside = False
        self._fenced: list[Span] = []

    def read(self, block: str) -> None:
        """Take note of the fences of the next block."""
        self._fenced = []
        if not self._inside and not any(sign in block and 3 * sign in block for sign in "`~"):  # one sign is found faster
            return
        begin = 0
        for fence in FENCE.finditer(block):
            if self._inside:
                self._fenced.append((begin, fence.start()))
            begin = fence.end()
            self._inside = not self._inside
        if self._inside:
            self._fenced.append((begin, len(block)))

    def is_code(self, block: str, start: int) -> bool:
        """True if the line of this block that starts here is code."""
        return block.startswith(("    ", "\t"), start) or (bool(self._fenced) and self.is_fenced(start))

    def is_fenced(self, start: int) -> bool:
        """True if the line of this block that starts here stands between fences."""
        if not self._fenced:
            return False
        at = bisect_right(self._fenced, start, key=itemgetter(0)) - 1
        return at >= 0 and start < self._fenced[at][1]


class ParagraphCleaner(BlockCleaner):
    """A cleaner that judges whole paragraphs: lines that are not blank, up to a blank one. A paragraph of more than `longest`
    characters is kept, and so is one that begins between fences."""

    _BLANK_LINES = LineRun(r"(?:[^\S\n]*\n)+")

    def begin_document(self) -> None:
        self._held = ""
        """The paragraph whose end has not come yet."""
        self._unjudged = False
        """True inside a paragraph that is kept in any case, whose beginning is not held."""
        self._code = CodeLines()

    def unwanted(self, paragraphs: list[str]) -> list[bool]:
        """True for each paragraph that is to be removed."""
        raise NotImplementedError

    def passages(self, block: str) -> list[Passage]:
        self._code.read(block)
        held, text = len(self._held), self._held + block
        judged: list[tuple[int, int, int]] = []
        """Beginning and end of each paragraph, and the end of the blank line that goes with it."""
        at = 0
        for start, stop in self._BLANK_LINES.spans(text, held + (block.find("\n") + 1 or len(block) if self.mid_line else 0)):
            if at < start and self._is_judged(at - held, start - at):
                judged.append((at, start, text.find("\n", start) + 1))
            self._unjudged = False
            at = stop
        self._unjudged = at < len(text) and not self._is_judged(at - held, len(text) - at)
        self._held = "" if self._unjudged else text[at:]
        return self._judged(text[: len(text) - len(self._held)], judged)

    def end_document(self) -> list[Passage]:
        size = len(self._held)
        return self._judged(self._held, [(0, size, size)] if size else [])

    def _is_judged(self, start: int, length: int) -> bool:
        """`start` is the place in this block, negative of a paragraph that is held."""
        return not self._unjudged and length <= self._longest and not (start >= 0 and self._code.is_fenced(start))

    def _judged(self, text: str, paragraphs: list[tuple[int, int, int]]) -> list[Passage]:
        unwanted = self.unwanted([text[start:stop] for start, stop, _ in paragraphs]) if paragraphs else []
        edits = [Edit(start, end) for (start, _, end), is_unwanted in zip(paragraphs, unwanted, strict=True) if is_unwanted]
        return passages_of(text, edits)
