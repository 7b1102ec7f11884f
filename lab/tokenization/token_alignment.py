"""The same text as several tokenizers cut it, aligned by character and wrapped into rows."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from rich.cells import cell_len

from lab.tokenization.token_views import character_label
from lab.tokenization.tokenized_text import TokenizedText

SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
"""Stand behind a character that is cut into so many tokens."""
LEAST_ROW = 0.5
"""Share of the room that a row fills at least, where it could end sooner at a border that all tokenizers have."""


@dataclass(frozen=True)
class AlignedText:
    """A text in columns, one for each character, and its rows. All tokenizers have the same columns."""

    texts: tuple[TokenizedText, ...]
    labels: Sequence[str]
    """The label of each character."""
    widths: Sequence[int]
    """The cells of each character's column."""
    rows: Sequence[int]
    """The first character of each row."""
    cut: tuple[dict[int, int], ...]
    """For each tokenizer, the characters that it cuts, and into how many tokens."""
    differs: frozenset[int]
    """Characters before which one of the last two tokenizers has a border and the other none."""

    def characters_of(self, row: int) -> range:
        """The characters of a row."""
        return range(self.rows[row], self.rows[row + 1] if row + 1 < len(self.rows) else len(self.labels))

    def cells(self, which: int, row: int) -> list[tuple[str, int]]:
        """A row as a tokenizer cuts it: each character on the cells of its column, and the token that it begins in."""
        holders, cut = self.texts[which].holders, self.cut[which]
        made = []
        for at in self.characters_of(row):
            label = self.labels[at] + (SUPERSCRIPTS[min(9, cut[at])] if at in cut else "")
            made.append((label + " " * (self.widths[at] - cell_len(label)), int(holders[at])))
        return made

    def marks(self, row: int) -> str:
        """A line of marks under the characters before which the last two tokenizers differ."""
        return "".join(("^" if at in self.differs else " ").ljust(self.widths[at]) for at in self.characters_of(row)).rstrip()


def align_texts(texts: Sequence[TokenizedText], room: int) -> AlignedText:
    """Align the tokens of one text, cut by several tokenizers, in rows of at most `room` cells.

    A row ends after a line break, else at a border that all tokenizers have, if there is one that fills half of the room.
    """
    text = texts[0].text
    labels = [" " if character == " " else character_label(character) for character in text]
    cut = tuple({at: end - first for at, first, end in each.split_characters} for each in texts)
    widths = [cell_len(label) for label in labels] if not text.isascii() else [len(label) for label in labels]
    for at in set().union(*cut):
        widths[at] += 1
    ends = list(accumulate(widths))
    shared = np.flatnonzero(np.logical_and.reduce([each.begins for each in texts])).tolist() if text else []
    breaks = [at for at, character in enumerate(text) if character == "\n"]
    rows: list[int] = []
    start = 0
    while start < len(text):
        rows.append(start)
        before = ends[start - 1] if start else 0
        end = bisect_right(ends, before + room, start)
        if end < len(text):
            nearest = bisect_right(shared, end) - 1
            if nearest >= 0 and shared[nearest] > start and ends[shared[nearest] - 1] - before >= LEAST_ROW * room:
                end = shared[nearest]
        line_break = bisect_left(breaks, start)
        if line_break < len(breaks):
            end = min(end, breaks[line_break] + 1)
        start = max(end, start + 1)
    different = np.flatnonzero(texts[-1].begins != texts[-2].begins).tolist() if len(texts) > 1 and text else []
    return AlignedText(tuple(texts), labels, widths, rows, cut, frozenset(different))
