"""Text in character cells: cut or padded to a width, wrapped, made printable, painted."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from lab.core.visible_text import visible

Piece = tuple[str, str]
"""Text and its role, which a widget turns into a style."""
K = TypeVar("K")

WORD_BREAK = re.compile("(?<!“) ")
_WIDE = "\u2e80-\u2fff\u3040-\u9fff\uac00-\ud7af\uf900-\ufaff"
_OPENS, _CLOSES = "（《【「『“‘(", "，。、：；！？）》】」』”’…,.:;!?)%"
HAS_WIDE = re.compile(f"[{_WIDE}]")
_UNIT = r"(?<=\d) (?=(?:[kMGT]?B|ms|s|min|h|nat)\b)"
_WORD = f"(?:[^\\s{_WIDE}{_OPENS}{_CLOSES}]|[.,:](?=[0-9A-Za-z])|{_UNIT})+"
_PIECE = re.compile(f"(?:[{_OPENS}]|(?<=“) )*(?:[{_WIDE}]|{_WORD})[{_CLOSES}]*\\s*|\\S\\s*|\\s+")
"""What a line is not broken within: a Chinese character or a word, with the signs that stand before it and behind it.

The space that a token in quotation marks begins with is one of those signs, and a number stays with its unit."""


def fit(text: str, width: int, align: str = "left") -> str:
    """`text` on exactly `width` character cells; what does not fit ends in an ellipsis."""
    text = visible(text)
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…" if width > 1 else "…"[:width]
    space = " " * (width - length)
    if align == "right":
        return space + text
    if align == "center":
        half = len(space) // 2
        return space[:half] + text + space[half:]
    return text + space


def painted_line(widget: Widget, prefix: str, pieces: Iterable[Piece], width: int | None = None) -> Strip:
    """Pieces on a line of `width` cells, by default the widget's. The component class `prefix--role` styles a role, "" none."""
    own = widget.rich_style
    styled = ((text, widget.get_component_rich_style(f"{prefix}--{role}") if role else own) for text, role in pieces)
    return Strip([Segment(*piece) for piece in styled]).adjust_cell_length(widget.size.width if width is None else width, own)


def fit_ends(text: str, width: int) -> str:
    """`text` on exactly `width` character cells; of what does not fit the beginning and the end are kept, where names differ."""
    text = visible(text)
    if cell_len(text) <= width or width < 4:
        return fit(text, width)
    head = (width - 1) // 2
    tail = next(text[at:] for at in range(len(text)) if cell_len(text[at:]) <= width - 1 - head)
    return fit(set_cell_size(text, head) + "…" + tail, width)


def cut(pieces: Sequence[tuple[str, K]], width: int) -> list[tuple[str, K]]:
    """The pieces that fit in `width` cells; what does not fit ends in an ellipsis."""
    made: list[tuple[str, K]] = []
    for text, kind in pieces:
        room = width - sum(cell_len(each) for each, _ in made)
        if room > 0:
            made.append((text if cell_len(text) <= room else fit(text, room), kind))
    return made


def tail(text: str, width: int) -> str:
    """The end of `text` in at most so many cells."""
    start = max(0, len(text) - width)
    while cell_len(text[start:]) > width:
        start += 1
    return text[start:]


def wrap(text: str, width: int) -> list[str]:
    """`text` broken at spaces into lines of at most `width` character cells, or 1; a longer word is broken where it must be.

    The space that a token in quotation marks begins with, as in “ there”, is no place to break.
    """
    width = max(1, width)
    lines: list[str] = []
    for paragraph in visible(text, keep="\n").split("\n"):
        if HAS_WIDE.search(paragraph):
            ends = [*wide_breaks(paragraph, width), len(paragraph)]
            lines += [paragraph[first:end].rstrip() for first, end in pairwise([0, *ends])]
            continue
        line = ""
        for word in WORD_BREAK.split(paragraph):
            rest = word
            joined = f"{line} {rest}" if line else rest
            if cell_len(joined) <= width:
                line = joined
                continue
            if line:
                lines.append(line)
            while cell_len(rest) > width:
                head = set_cell_size(rest, width).rstrip(" ")
                lines.append(head)
                rest = rest[max(1, len(head)) :]
            line = rest
        lines.append(line)
    return lines


def wide_breaks(text: str, width: int) -> list[int]:
    """Places to break a text with Chinese in it, which has no spaces between words, into lines of at most `width` cells."""
    breaks: list[int] = []
    room = width
    for piece in _PIECE.finditer(text):
        at, rest = piece.start(), piece[0].rstrip()
        if cell_len(rest) > room and at:
            breaks.append(at)
            room = width
        while cell_len(rest) > room:
            at += len(set_cell_size(rest, room).rstrip(" ") or rest[0])
            rest = text[at : piece.end()].rstrip()
            breaks.append(at)
            room = width
        room -= cell_len(text[at : piece.end()])
    return breaks


def printable(text: str) -> str:
    """Text as it can be shown on lines of its own; tabs become spaces."""
    return visible(text.replace("\t", "    ").replace("\r\n", "\n"), keep="\n")


def short_path(path: Path) -> str:
    """The path with the user's home as `~`."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) and path != home else str(path)


def whole_sentences(text: str, width: int, lines: int) -> str:
    """The first sentences of the text that fit, at least one, and " …" where others are left out."""
    ends = [found.start() for found in re.finditer(r"(?<=\.) (?=[A-Z])", text)]
    kept = text
    while ends and width > 0 and len(wrap(kept, width)) > lines:
        kept = text[: ends.pop()] + " …"
    return kept
