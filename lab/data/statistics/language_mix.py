"""The languages of a text, section by section: by stop words, or by a script that one language writes.

A section is so many characters. Its language is that whose stop words are the most of its words, if these are at least
`LEAST_SHARE` of its words and `LEAST_LEAD` times those of the next language of that script; otherwise it is unknown. The letters
of the section's main script count for the language, all other letters as unknown.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.data.statistics.character_classes import CLASS_NUMBER, OTHERS, SCRIPTS
from lab.data.statistics.stop_words import BY_SCRIPT, CHINESE_FUNCTION_CHARACTERS, STOP_WORDS
from lab.data.statistics.text_hashes import Hashes, hash_of

SECTION_CHARACTERS = 2_000
LEAST_SHARE = 0.2
LEAST_LEAD = 1.3
LEAST_HITS = 4
"""Stop words that a section must have."""
LEAST_LETTERS = 12
"""Letters of a section below which no script tells its language."""
LEAST_FUNCTION_CHARACTERS = 0.05
"""Share of the commonest characters of Chinese in Chinese text."""
LEAST_KANA = 0.1
"""Share of kana in Japanese text with Han characters."""

UNKNOWN = "unknown"
LANGUAGES = (*STOP_WORDS, *BY_SCRIPT.values(), "Japanese", "Chinese", UNKNOWN)
_NUMBER = {name: number for number, name in enumerate(LANGUAGES)}
_CHINESE = np.array([ord(character) for character in CHINESE_FUNCTION_CHARACTERS])
_LETTERS = np.array([*(CLASS_NUMBER[name] for name in SCRIPTS), CLASS_NUMBER["other letters"]])


def _stop_word_table() -> tuple[Hashes, NDArray[np.int64]]:
    """Sorted hashes of all stop words, and (words, languages) with 1 where a word is one of a language's."""
    words = sorted({word for _, listed in STOP_WORDS.values() for word in listed.split()}, key=hash_of)
    belongs = [[word in listed.split() for _, listed in STOP_WORDS.values()] for word in words]
    return np.array([hash_of(word) for word in words], np.uint64), np.array(belongs, np.int64)


@dataclass(frozen=True)
class LanguageShare:
    """Letters of a language in the text."""

    language: str
    letters: int


class LanguageMix:
    """Fed with the blocks of a text in turn."""

    def __init__(self, section: int = SECTION_CHARACTERS) -> None:
        self._section = section
        self._hashes, self._belongs = _stop_word_table()
        self._totals: NDArray[np.int64] = np.zeros(len(LANGUAGES), np.int64)
        classes = len(SCRIPTS) + len(OTHERS)
        self._classes: NDArray[np.int64] = np.zeros((1, classes), np.int64)
        self._hits: NDArray[np.int64] = np.zeros((1, len(STOP_WORDS)), np.int64)
        self._words: NDArray[np.int64] = np.zeros(1, np.int64)
        self._chinese: NDArray[np.int64] = np.zeros(1, np.int64)
        """The commonest characters of Chinese in the section that is not at its end yet."""

    def add(
        self,
        classes: NDArray[np.uint8],
        first: int,
        starts: NDArray[np.int64],
        hashes: Hashes,
        codes: NDArray[np.integer],
    ) -> None:
        """Add a block: the class of each character, its words, and the characters themselves."""
        offset = first % self._section
        rows = (offset + len(classes) - 1) // self._section + 1
        width = self._classes.shape[1]
        sections = (np.arange(offset, offset + len(classes)) // self._section) * width + classes
        by_class = np.bincount(sections, minlength=rows * width).reshape(rows, width)
        word_rows = (starts + offset) // self._section
        at = np.searchsorted(self._hashes, hashes).clip(max=len(self._hashes) - 1)
        stop = np.flatnonzero(self._hashes[at] == hashes)
        hits = np.zeros((rows, len(STOP_WORDS)), np.int64)
        pairs = np.bincount(word_rows[stop] * len(self._hashes) + at[stop], minlength=rows * len(self._hashes))
        hits = pairs.reshape(rows, len(self._hashes)) @ self._belongs
        words = np.bincount(word_rows, minlength=rows)
        chinese = np.zeros(rows, np.int64)
        if by_class[:, CLASS_NUMBER["Han"]].any():
            places = np.flatnonzero(np.isin(codes, _CHINESE))
            chinese = np.bincount((places + offset) // self._section, minlength=rows)
        chinese[0] += self._chinese[0]
        by_class[0] += self._classes[0]
        hits[0] += self._hits[0]
        words[0] += self._words[0]
        is_open = (first + len(classes)) % self._section != 0
        done = rows - is_open
        self._totals += totals_of(by_class[:done], hits[:done], words[:done], chinese[:done])
        self._classes, self._hits, self._words, self._chinese = (
            values[done:] if is_open else np.zeros_like(values[:1]) for values in (by_class, hits, words, chinese)
        )

    def shares(self) -> tuple[LanguageShare, ...]:
        """Letters of each language so far, the most first and unknown ones last."""
        totals = self._totals + totals_of(self._classes, self._hits, self._words, self._chinese)
        found = [LanguageShare(name, int(count)) for name, count in zip(LANGUAGES, totals, strict=True) if count]
        return tuple(sorted(found, key=lambda share: (share.language == UNKNOWN, -share.letters, share.language)))


def totals_of(
    by_class: NDArray[np.int64], hits: NDArray[np.int64], words: NDArray[np.int64], chinese: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Letters of each language in sections, given characters by class, stop words by language, the number of words, and that of
    the commonest characters of Chinese."""
    totals = np.zeros(len(LANGUAGES), np.int64)
    letters = by_class[:, _LETTERS]
    all_letters = letters.sum(axis=1)
    kana = by_class[:, CLASS_NUMBER["Hiragana"]] + by_class[:, CLASS_NUMBER["Katakana"]]
    han = by_class[:, CLASS_NUMBER["Han"]]
    claimed = np.zeros(len(by_class), np.int64)
    east = kana + han
    is_east = (2 * east > all_letters) & (east >= LEAST_LETTERS)
    is_japanese = is_east & (kana >= LEAST_KANA * east)
    totals[_NUMBER["Japanese"]] = east[is_japanese].sum()
    is_chinese = is_east & (kana == 0) & (chinese >= LEAST_FUNCTION_CHARACTERS * han)
    totals[_NUMBER["Chinese"]] = han[is_chinese].sum()
    claimed += np.where(is_japanese, east, np.where(is_chinese, han, 0))
    scripts = list(STOP_WORDS.values())
    for script in SCRIPTS:
        own = by_class[:, CLASS_NUMBER[script]]
        main = 2 * own > all_letters
        if script in BY_SCRIPT:
            sure = main & (own >= LEAST_LETTERS)
            totals[_NUMBER[BY_SCRIPT[script]]] += own[sure].sum()
            claimed += np.where(sure, own, 0)
            continue
        candidates = [number for number, (written_in, _) in enumerate(scripts) if written_in == script]
        if not candidates or not main.any():
            continue
        scores = hits[:, candidates]
        best = scores.argmax(axis=1)
        ordered = np.sort(scores, axis=1)
        most = ordered[:, -1]
        next_most = ordered[:, -2] if len(candidates) > 1 else np.zeros_like(most)
        sure = main & (most >= LEAST_HITS) & (most >= LEAST_SHARE * words) & (most >= LEAST_LEAD * next_most)
        for place, candidate in enumerate(candidates):
            totals[candidate] += own[sure & (best == place)].sum()
        claimed += np.where(sure, own, 0)
    totals[_NUMBER[UNKNOWN]] = all_letters.sum() - claimed.sum()
    return totals
