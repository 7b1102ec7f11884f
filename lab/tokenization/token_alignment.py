"""Views of a token in a strip: as text, with every space visible, as its id, as its bytes.

Beside it the same text as several tokenizers cut it, aligned by character and wrapped into rows.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from rich.cells import cell_len

from lab.core.number_format import counted
from lab.tokenization.example_texts import Titled
from lab.tokenization.token_facts import hex_of
from lab.tokenization.tokenized_text import TokenizedText
from models.tokenizers.token_labels import printable

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer


Ints = np.ndarray[Any, np.dtype[np.int64]]
TokenView = Literal["text", "spaces", "ids", "bytes"]
MOST_BYTES = 16
"""Bytes of a token that are shown in hexadecimal; a longer one (a run of spaces, a long word) ends in `…`."""


_JOINS = re.compile("^[\U0001f3fb-\U0001f3ff]|[\U0001f1e6-\U0001f1ff]")
"""Characters that a terminal draws as one with a neighbour: skin tones, and the letters of flags."""


def kept_apart(label: str) -> str:
    """A label that no terminal joins with the one before: `◌🏽` for a skin tone, `[F]` for a letter of a flag."""
    return _JOINS.sub(_apart, label)


@lru_cache(maxsize=65536)
def character_label(character: str) -> str:
    """The label of a character, never empty: a line break as ␊, other controls as pictures, a byte that is no text as \\xe2."""
    return kept_apart(printable(character.encode("utf-8", "surrogateescape")))


def _apart(found: re.Match[str]) -> str:
    if found[0] < "\U0001f200":
        return f"[{chr(ord(found[0]) - 0x1F1E6 + 65)}]"
    return f"◌{found[0]}"


class TokenLabels:
    """Labels of one tokenizer's tokens in one view, each made once, and their widths in character cells."""

    def __init__(self, tokenizer: "Tokenizer", view: TokenView) -> None:
        self.tokenizer, self.view = tokenizer, view
        self._special = frozenset(tokenizer.special.values())
        self._labels: dict[int, str] = {}
        self._widths = np.zeros(tokenizer.vocab_size, np.int64)
        self._breaking = np.zeros(tokenizer.vocab_size, bool)

    def label(self, id: int) -> str:
        """The token's label on one line, never empty."""
        found = self._labels.get(id)
        if found is None:
            found = self._labels[id] = self._make(id)
        return found

    def widths(self, ids: Ints) -> Ints:
        """(N,) Cells of each label."""
        found = self._widths[ids]
        if not found.all():
            self._measure(set(ids[found == 0].tolist()))
            found = self._widths[ids]
        return found

    def breaks(self, ids: Ints) -> Ints:
        """Places of the tokens that hold a line break, of ids whose widths were asked for."""
        return np.flatnonzero(self._breaking[ids])

    def _measure(self, ids: Iterable[int]) -> None:
        for id in ids:
            self._widths[id] = max(1, cell_len(self.label(id)))
            self._breaking[id] = b"\n" in self.tokenizer.token_bytes(id)

    def _make(self, id: int) -> str:
        if self.view == "ids":
            return str(id)
        if self.view == "bytes":
            return hex_of(self.tokenizer.token_bytes(id), MOST_BYTES)
        label = kept_apart(self.tokenizer.label(id))
        if id in self._special:
            return f"⟦{label}⟧"
        return label.replace("␣", "·").replace(" ", "·") if self.view == "spaces" else label


def wrap_rows(ends: Ints, breaks: Ints, room: int, end_of_row: Callable[[int, int], int] | None = None) -> list[int]:
    """The first part of each row. `ends` are the cells of all parts up to and with each, `breaks` the parts after which a row
    ends, in order.

    Lines that fit into the room are wrapped all at once. In a longer one `end_of_row`, asked with a row's first part and the one
    that does not fit any more, may end the row sooner. A part wider than the room is a row.
    """
    number = len(ends)
    lines = np.concatenate((np.zeros(1, np.int64), breaks + 1))
    lines = lines[lines < number]
    stops = np.append(lines[1:], number)
    befores = np.append(np.zeros(1, np.int64), ends)[lines]
    rows: list[int] = lines.tolist()
    long = np.flatnonzero(ends[stops - 1] - befores > room).tolist() if number else []
    if not long:
        return rows
    all_ends = ends.tolist()
    found: list[int] = []
    at = 0
    for line in long:
        found += rows[at:line]
        at = line + 1
        start, stop = rows[line], int(stops[line])
        while start < stop:
            found.append(start)
            end = min(stop, bisect_right(all_ends, (all_ends[start - 1] if start else 0) + room, start, number))
            if end < stop and end_of_row:
                end = end_of_row(start, end)
            start = max(end, start + 1)
    return found + rows[at:]


Marks = np.ndarray[Any, np.dtype[np.bool_]]
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
"""Stand behind a character that is cut into so many tokens."""
LEAST_ROW = 0.5
"""Share of the room that a row fills at least, where it could end sooner at a border that all tokenizers have."""


@dataclass(frozen=True)
class AlignedText:
    """A text in columns, one for each character, and its rows. All tokenizers have the same columns."""

    texts: tuple[TokenizedText, ...]
    widths: Ints
    """(characters,) The cells of each character's column."""
    rows: Sequence[int]
    """The first character of each row."""
    cut: tuple[dict[int, int], ...]
    """For each tokenizer, the characters that it cuts, and into how many tokens."""
    differs: Marks
    """(characters,) True before which one of the last two tokenizers has a border and the other none."""

    def characters_of(self, row: int) -> range:
        """The characters of a row."""
        return range(self.rows[row], self.rows[row + 1] if row + 1 < len(self.rows) else len(self.widths))

    def cells(self, which: int, row: int) -> list[tuple[str, int]]:
        """A row as a tokenizer cuts it: each character on the cells of its column, and the token that it begins in."""
        text, cut, places = self.texts[which].text, self.cut[which], self.characters_of(row)
        holders = self.texts[which].holders[places.start : places.stop].tolist()
        made = []
        for at, width, holder in zip(places, self._widths_of(places), holders, strict=True):
            label = _label(text[at]) + (SUPERSCRIPTS[min(9, cut[at])] if at in cut else "")
            made.append((label + " " * (width - cell_len(label)), holder))
        return made

    def content_of(self, which: int, row: int, colours: int) -> Hashable:
        """All that a row's cells depend on, with the tokens told apart by so many colours in turn."""
        places, cut = self.characters_of(row), self.cut[which]
        holders = self.texts[which].holders[places.start : places.stop]
        first = int(holders[0])
        cuts = tuple((at - places.start, cut[at]) for at in places if at in cut) if cut else ()
        text = self.texts[which].text[places.start : places.stop]
        widths = self.widths[places.start : places.stop].tobytes()
        return text, (holders - first).tobytes(), first % colours, cuts, widths

    def _widths_of(self, places: range) -> list[int]:
        widths: list[int] = self.widths[places.start : places.stop].tolist()
        return widths

    def marks(self, row: int) -> str:
        """A line of marks under the characters before which the last two tokenizers differ."""
        places = self.characters_of(row)
        differs = self.differs[places.start : places.stop].tolist()
        marks = zip(differs, self._widths_of(places), strict=True)
        return "".join(("^" if differ else " ").ljust(width) for differ, width in marks).rstrip()


def align_texts(texts: Sequence[TokenizedText], room: int) -> AlignedText:
    """Align the tokens of one text, cut by several tokenizers, in rows of at most `room` cells.

    A row ends after a line break, else at a border that all tokenizers have, if there is one that fills half of the room.
    """
    text = texts[0].text
    cut = tuple(
        dict(zip(places.tolist(), (ends - firsts).tolist(), strict=True))
        for places, firsts, ends in (each.split_characters for each in texts)
    )
    widths = _label_widths(texts[0].codes)
    widths[list(set().union(*cut))] += 1
    ends = np.cumsum(widths)
    shared = np.flatnonzero(np.logical_and.reduce([each.begins for each in texts])).tolist() if text else []

    def last_shared_border(start: int, end: int) -> int:
        nearest = shared[max(0, bisect_right(shared, end) - 1)] if shared else start
        before = ends[start - 1] if start else 0
        return nearest if nearest > start and ends[nearest - 1] - before >= LEAST_ROW * room else end

    rows = wrap_rows(ends, np.flatnonzero(texts[0].codes == ord("\n")), room, last_shared_border)
    differs = texts[-1].begins != texts[-2].begins if len(texts) > 1 else np.zeros(len(text), bool)
    return AlignedText(tuple(texts), widths, rows, cut, differs)


_WIDTHS = np.full(0x110000, -1, np.int8)
"""The cells of each character's label; -1 where it has not been asked for."""


def _label(character: str) -> str:
    return " " if character == " " else character_label(character)


def _label_widths(codes: np.ndarray[Any, np.dtype[np.uint32]]) -> Ints:
    """(characters,) Cells of each character's label."""
    widths = _WIDTHS[codes]
    if (widths < 0).any():
        for code in set(codes[widths < 0].tolist()):
            _WIDTHS[code] = cell_len(_label(chr(code)))
        widths = _WIDTHS[codes]
    return np.asarray(widths, np.int64)


def sentence_on(texts: Titled) -> str:
    """The borders that the last two tokenizers share in a text, and the marks; empty where there are no two, or no borders."""
    if len(texts) < 2 or len(texts[-1][1].ids) < 2:
        return ""
    (one, first), (other, second) = texts[-2:]
    is_border = np.zeros(int(first.byte_starts[-1]) + 1, bool)
    is_border[first.byte_starts[1:-1]] = True
    shared = int(is_border[second.byte_starts[1:-1]].sum())
    borders, others = len(second.ids) - 1, len(first.ids) - 1
    same = "all of these" if shared == borders else f"{shared:,} of these"
    words = f"{other} cuts this text at {counted(borders, 'place')}; {one} cuts it at {same}, and at {others - shared:,} more."
    if inside := borders + others - 2 * shared - int((first.begins != second.begins).sum()):
        words += (
            f" {inside:,} of the cuts that only one makes {'is' if inside == 1 else 'are'} inside a character: no ^ marks these."
        )
    if most := max(int((ends - firsts).max(initial=0)) for _, each in texts for _, firsts, ends in [each.split_characters]):
        words += f" {SUPERSCRIPTS[min(9, most)]} stands behind a character of {most} tokens."
    return words
