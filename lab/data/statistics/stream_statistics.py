"""All statistics of a text in one pass over it, in bounded memory, with results on the way; a second pass fetches excerpts."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lab.data.statistics.character_classes import CLASSES, CODE_POINTS, CharacterTables, LanguageMix
from lab.data.statistics.repeated_passages import Check, PassageFinder, Read, RepeatedPassage, Repeats, fetch_excerpts
from lab.data.statistics.text_blocks import BLOCK_CHARACTERS, HashCounts, Hashes, LineEndCounts, PrefixHasher, TextBlocks, mixed

MOST_LINES = 1 << 21
"""Distinct lines that are counted exactly, in about 64 MB."""
LONGEST_COUNTED = 1 << 13
"""Line lengths below this are counted each by itself."""
TOP_LINES = 40
LINE_CHARACTERS = 200
"""Characters kept of a line that is shown."""

TextOf = Callable[[int], str]
"""Gives the text of a line by its number among those that are counted."""


class LineCounts:
    """Fed with the blocks of a text in turn. A line ends at "\\n"; the rest after the last one is a line too."""

    def __init__(self, most: int = MOST_LINES) -> None:
        self.lines = 0
        self.empty = 0
        """Lines with no character."""
        self.characters = 0
        """Characters of all lines, without their newlines."""
        self.longest = 0
        self.lengths: NDArray[np.int64] = np.zeros(LONGEST_COUNTED + 1, np.int64)
        """Number of lines of each length, and last of all longer ones."""
        self.table = HashCounts(most, TOP_LINES, least=2)
        self._start = 0
        self._start_prefix = np.uint64(0)
        self._start_inverse = np.uint64(1)
        self._begun = ""
        """The beginning of the line that is not at its end yet."""

    def add(self, block: str, first: int, codes: NDArray[np.integer], prefixes: Hashes, inverses: Hashes) -> None:
        """Count the lines that end in a block, which begins at character `first`."""
        ends = np.flatnonzero(codes == 10)
        if len(ends):
            starts = np.concatenate(([self._start - first], ends[:-1] + 1))
            lengths = ends - starts
            hashes = np.empty(len(ends), np.uint64)
            hashes[:1] = (prefixes[ends[:1]] - self._start_prefix) * self._start_inverse
            hashes[1:] = (prefixes[ends[1:]] - prefixes[starts[1:]]) * inverses[starts[1:]]
            begun = self._begun

            def text_of(line: int) -> str:
                start, end = int(starts[line]), int(ends[line])
                text = block[max(0, start) : min(end, max(0, start) + LINE_CHARACTERS)]
                return (begun + text)[:LINE_CHARACTERS] if line == 0 else text

            self._count(hashes, starts + first, lengths, text_of)
            self._start = first + int(ends[-1]) + 1
            self._start_prefix, self._start_inverse = prefixes[ends[-1] + 1], inverses[ends[-1] + 1]
            self._begun = block[ends[-1] + 1 :][:LINE_CHARACTERS]
        else:
            self._begun = (self._begun + block[:LINE_CHARACTERS])[:LINE_CHARACTERS]

    def finish(self, end: int, prefix: np.uint64) -> None:
        """Count the last line, if the text does not end in a newline."""
        if end > self._start:
            value = (np.array([prefix]) - self._start_prefix) * self._start_inverse
            begun = self._begun
            self._count(value, np.array([self._start]), np.array([end - self._start]), lambda _: begun)
            self._start = end

    def _count(self, hashes: Hashes, starts: NDArray[np.int64], lengths: NDArray[np.int64], text_of: TextOf) -> None:
        self.lines += len(lengths)
        self.characters += int(lengths.sum())
        self.longest = max(self.longest, int(lengths.max()))
        self.lengths += np.bincount(lengths.clip(max=LONGEST_COUNTED), minlength=LONGEST_COUNTED + 1)
        full = lengths > 0
        self.empty += len(lengths) - int(full.sum())
        places = np.flatnonzero(full)
        keys = mixed(hashes[full] ^ lengths[full].astype(np.uint64))
        self.table.add(keys, starts[full], lengths[full], lambda at: text_of(int(places[at])))

    @property
    def repeated(self) -> int:
        """Lines with text that already stood earlier, character for character."""
        return int((self.table.counts - 1).sum())

    @property
    def median(self) -> int | None:
        """Median length; of an even number, the lower of the two in the middle. None where it is not below `LONGEST_COUNTED`."""
        at = int(np.searchsorted(np.cumsum(self.lengths), (self.lines + 1) // 2))
        return at if at < LONGEST_COUNTED else None


MOST_WORDS = 1 << 20
"""Distinct words that are counted exactly, in about 32 MB."""
TOP_WORDS = 60
SHOWN_CHARACTERS = 100
APOSTROPHES = (0x27, 0x2019)
"""Part of a word where letters stand on both sides: don't."""


class WordCounts:
    """Fed with the blocks of a text in turn; no word goes on from one block to the next."""

    def __init__(self, tables: CharacterTables, most: int = MOST_WORDS) -> None:
        self.spaced = 0
        """Words between white space, as `wc -w` counts them."""
        self.words = 0
        """Words as runs of letters."""
        self.table = HashCounts(most, TOP_WORDS)
        self._tables = tables
        self._in_word = False

    def add(self, codes: NDArray[np.integer], first: int, prefixes: Hashes, inverses: Hashes) -> None:
        """Count a block's words; `prefixes` are of the text in lower case."""
        space = self._tables.is_space.take(codes)
        self.spaced += int(np.count_nonzero(space[:-1] & ~space[1:])) + int(not space[0] and not self._in_word)
        self._in_word = not space[-1]
        # Starts and ends of the words of a block.
        inside = np.zeros(len(codes) + 2, np.bool_)
        letters = self._tables.in_word.take(codes)
        inside[1:-1] = letters
        for apostrophe in APOSTROPHES:
            at = np.flatnonzero(codes == apostrophe)
            inside[at[inside[at] & inside[at + 2]] + 1] = True
        changes = np.flatnonzero(inside[1:] != inside[:-1])
        starts, ends = changes[0::2], changes[1::2]
        self.words += len(starts)
        hashes = (prefixes[ends] - prefixes[starts]) * inverses[starts]
        lower = self._tables.lower

        def text_of(word: int) -> str:
            start = int(starts[word])
            return "".join(map(chr, lower[codes[start : min(int(ends[word]), start + SHOWN_CHARACTERS)]].tolist()))

        self.table.add(hashes, starts + first, ends - starts, text_of)


READING, SEARCHED = 0.8, 0.9
"""Progress when all has been read, and when repeats have been found: about the shares of the time that these take."""
RARE_WORDS = 40
TOP_CHARACTERS = 60
RARE_CHARACTERS = 40


@dataclass(frozen=True)
class LineLengths:
    """Line lengths in characters: how many lines have each length below `LONGEST_COUNTED`, and how many are longer."""

    counts: tuple[int, ...]
    """Number of lines of 0, 1, 2 ... characters, up to the longest or `LONGEST_COUNTED`."""
    longer: int
    longest: int
    median: int | None
    """None where it is not below `LONGEST_COUNTED`."""
    mean: float


@dataclass(frozen=True)
class TextStatistics:
    """Statistics of a text, or of its part that has been read: `is_complete` tells which."""

    is_complete: bool
    progress: float
    """Share of the text that has been read, 0 to 1."""
    stage: str
    """Work that is being done: "reading", "searching for repeats", "reading excerpts", "telling languages" or "" at the end."""
    bytes: int
    """In UTF-8."""
    characters: int
    lines: int
    empty_lines: int
    words: int
    """Words between white space, as `wc -w` counts."""
    document_bytes: tuple[int, ...]
    """Bytes of each document, in UTF-8."""
    endings: LineEndCounts
    classes: tuple[tuple[str, int], ...]
    """Characters of each class that occurs (scripts of letters, digits, punctuation ...), the most first."""
    languages: tuple[tuple[str, int], ...]
    """Each language with its letters in the sections that were looked at; none until the end."""
    language_spacing: int
    """Every so many-th section was looked at for its language."""
    distinct_characters: int
    common_characters: tuple[tuple[str, int], ...]
    rare_characters: tuple[tuple[str, int], ...]
    """The rarest, rarest first."""
    letter_words: int
    """Words as runs of letters, of scripts that put spaces between words."""
    distinct_words: int
    words_once: int
    """Distinct words that occur once."""
    common_words: tuple[tuple[str, int], ...]
    rare_words: tuple[str, ...]
    """Some of the words that occur once."""
    word_error: int
    """By how much counts of words may be too low; 0: they are exact."""
    lengths: LineLengths
    distinct_lines: int
    """Distinct lines with text."""
    repeated_lines: int
    """Lines whose text already stood earlier as a line; empty ones are not counted."""
    repeated_line_characters: int
    common_lines: tuple[tuple[str, int], ...]
    """Lines that occur more than once."""
    line_error: int
    repeats: Repeats | None
    """None until the whole text has been read."""
    passages: tuple[RepeatedPassage, ...]


class _Pass:
    """The state of the pass over a text in blocks of at most `size` characters; `worker` counts its lines and keeps windows."""

    def __init__(self, blocks: TextBlocks, size: int, worker: ThreadPoolExecutor) -> None:
        self.blocks = blocks
        self._worker = worker
        self.adding: Future[object] = worker.submit(bool)
        """Done when the worker has taken the latest block."""
        self.position = 0
        self.tables = CharacterTables()
        self.hasher = PrefixHasher(size)
        self.characters = np.zeros(CODE_POINTS, np.int64)
        self.lines = LineCounts()
        self.words = WordCounts(self.tables)
        self.languages = LanguageMix()
        self.passages = PassageFinder()
        self.prefix = self.lower_prefix = np.uint64(0)

    def add(self, block: str) -> None:
        codes = np.frombuffer(block.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.intp)
        counts = np.bincount(codes)
        self.characters[: len(counts)] += counts
        self.tables.learn(np.flatnonzero(counts))
        self.hasher.begin_block(len(codes))
        prefixes = self.hasher.prefixes(codes, self.prefix)
        inverses = self.hasher.inverses
        first = self.position
        self.adding.result()
        self.adding = self._worker.submit(self._add_lines, block, first, codes, prefixes, inverses)
        self.prefix = prefixes[-1]
        lower = self.hasher.prefixes(self.tables.lower.take(codes), self.lower_prefix)
        self.lower_prefix = lower[-1]
        self.words.add(codes, first, lower, inverses)
        self.languages.add(block)
        self.position += len(codes)

    def _add_lines(self, block: str, first: int, codes: NDArray[np.integer], prefixes: Hashes, inverses: Hashes) -> None:
        self.passages.add(first, prefixes, inverses)
        self.lines.add(block, first, codes, prefixes, inverses)

    def statistics(self, stage: str, progress: float) -> TextStatistics:
        self.adding.result()
        endings = self.blocks.endings
        self.tables.learn(np.array([10, 13]))
        codes = self.tables.known
        counts = self.characters[codes]
        counts[codes == 10] -= self.blocks.added + endings.cr
        counts[codes == 13] += endings.cr + endings.crlf
        codes, counts = codes[counts > 0], counts[counts > 0]
        common, rare = np.argsort(-counts, kind="stable"), np.argsort(counts, kind="stable")
        by_class = np.bincount(self.tables.classes[codes], counts, len(CLASSES)).astype(int)
        classes = sorted(((CLASSES[at], int(by_class[at])) for at in np.flatnonzero(by_class)), key=lambda pair: -pair[1])
        lines, words = self.lines, self.words
        longest = min(lines.longest + 1, LONGEST_COUNTED)
        return TextStatistics(
            is_complete=False,
            progress=progress,
            stage=stage,
            bytes=self.blocks.bytes,
            characters=int(counts.sum()),
            lines=lines.lines,
            empty_lines=lines.empty,
            words=words.spaced,
            document_bytes=tuple(self.blocks.document_bytes),
            endings=LineEndCounts(endings.lf, endings.crlf, endings.cr),
            classes=tuple(classes),
            languages=(),
            language_spacing=self.languages.spacing,
            distinct_characters=len(codes),
            common_characters=tuple((chr(codes[at]), int(counts[at])) for at in common[:TOP_CHARACTERS]),
            rare_characters=tuple((chr(codes[at]), int(counts[at])) for at in rare[:RARE_CHARACTERS]),
            letter_words=words.words,
            distinct_words=words.table.distinct,
            words_once=int(np.count_nonzero(words.table.counts == 1)),
            common_words=tuple(words.table.most_common(60)),
            rare_words=(),
            word_error=words.table.error,
            lengths=LineLengths(
                tuple(lines.lengths[:longest].tolist()),
                int(lines.lengths[-1]),
                lines.longest,
                lines.median,
                lines.characters / lines.lines if lines.lines else 0.0,
            ),
            distinct_lines=lines.table.distinct,
            repeated_lines=lines.repeated,
            repeated_line_characters=int(((lines.table.counts - 1) * lines.table.lengths).sum()),
            common_lines=tuple(lines.table.most_common(40)),
            line_error=lines.table.error,
            repeats=None,
            passages=(),
        )


def stream_statistics(read: Read, size: int, check: Check, *, block: int = BLOCK_CHARACTERS) -> Iterator[TextStatistics]:
    """The statistics of a text: of its beginning as soon as that is read, then whenever `check` asks, and last the complete ones.

    `size` is the number of bytes that `read` counts up to.
    """
    with ThreadPoolExecutor(1) as worker:
        state = _Pass(TextBlocks(read(), block), block, worker)
        asked = True
        for text in state.blocks:
            state.add(text)
            progress = min(1.0, state.blocks.read / size) if size else 1.0
            asked = check(READING * progress) or asked
            if asked:
                yield state.statistics("reading", READING * progress)
                asked = False
        state.adding.result()
        state.lines.finish(state.position, state.prefix)
        found = state.statistics("searching for repeats", READING)
        finder, languages, rare = state.passages, state.languages, state.words.table.rare(RARE_WORDS)
        del state  # whose tables take as much as the search
        yield found

        def read_again() -> Iterator[str]:
            for text in (blocks := TextBlocks(read(), BLOCK_CHARACTERS)):
                check(READING + (SEARCHED - READING) * min(1.0, blocks.read / max(1, size)))
                yield text

        told = worker.submit(languages.letters)
        repeats = finder.find(read_again, worker, check=lambda: check(SEARCHED))
        found = replace(found, repeats=repeats, stage="reading excerpts", progress=SEARCHED)
        yield found
        passages, rare_words = fetch_excerpts(read, size, repeats, rare, check)
        found = replace(found, passages=passages, rare_words=rare_words, stage="telling languages", progress=1.0)
        yield found
        yield replace(found, languages=told.result(), stage="", is_complete=True)
