"""Layout of a block on a grid of characters: its lines, and the places of the cell cursor. Pure arithmetic, no widget.

Each block becomes a `Laid` that gives its lines one at a time: a matrix of a thousand rows costs only the lines on screen. A line
is made of pieces (text, kind). Its first pieces may be pinned: they stay in place while the rest scrolls sideways.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from lab.core.colour_scales import Scale
from lab.core.number_format import MINUS, significant
from lab.views.blocks import Destination
from screens.colour import MASKED_LEVEL, ColouredPiece, HeatPiece, legend_bar
from screens.widgets.text_fitting import wrap

POSITIVE_SHADES = "░▒▓█"
NEGATIVE_SHADES = "−=≡≣"
MASKED = "·"
EIGHTHS_ACROSS = " ▏▎▍▌▋▊▉█"
EIGHTHS_UP = " ▁▂▃▄▅▆▇█"
AGAINST, AXIS = "▒", "│"
DOWN = " ▔▀█"
"""Bars below the axis: every font has these three heights, an eighth, a half and a whole."""
LEFTWARD = " ▕▐"
"""The end of a bar to the left: every font has an eighth and a half of a cell."""


def shade(value: float, limit: float) -> str:
    """One glyph for `value` on a scale to ±`limit`, four levels each side; blank below a 64th of it; NaN is masked."""
    if value != value:
        return MASKED
    level = 0.0 if limit <= 0 else abs(value) / limit
    if level < 1 / 64:
        return " "
    shades = NEGATIVE_SHADES if value < 0 else POSITIVE_SHADES
    return shades[min(3, int(level * 4))]


def bar(fraction: float, width: int) -> str:
    """A bar of `fraction` (0 to 1) of `width` character cells, in eighths of a cell. Anything above zero shows."""
    if not fraction > 0:
        return ""
    eighths = max(1, round(min(fraction, 1.0) * width * 8))
    full, rest = divmod(eighths, 8)
    return "█" * full + (EIGHTHS_ACROSS[rest] if rest else "")


def eighths_up(fraction: float) -> str:
    """A bar of `fraction` (0 to 1) of the height of a line, in eighths. Anything above zero shows."""
    return EIGHTHS_UP[min(8, max(round(fraction * 8), fraction > 0))]


def signed_bar(fraction: float, width: int) -> str:
    """A bar of `fraction` (−1 to 1) from an axis in the middle of `width` cells: right and solid if positive, left and shaded if
    negative. Anything but 0 shows."""
    half = (width - 1) // 2
    if fraction < 0:
        full, level = _eighth_half_or_whole(min(-fraction, 1.0) * half)
        return (LEFTWARD[level].strip() + AGAINST * full).rjust(half) + AXIS
    return " " * half + AXIS + bar(fraction, half)


def _eighth_half_or_whole(cells: float) -> tuple[int, int]:
    """Full cells, and the rest rounded to nothing (0), an eighth (1) or a half (2); anything above 0 shows."""
    full = int(cells)
    rest = cells - full
    level = 0 if rest < 1 / 16 else 1 if rest < 5 / 16 else 2 if rest < 3 / 4 else 3
    if level == 3:
        return full + 1, 0
    return full, level or int(full == 0)


def column_glyphs(values: NDArray[np.float32], limit: float) -> tuple[str, str]:
    """Two lines of vertical bars for (N,) values: positive ones above a common axis, negative ones below."""
    scale = np.abs(values) / limit if limit > 0 else np.zeros_like(values)
    up = np.where(values > 0, np.ceil(scale * 8), 0).astype(int)
    down = np.where(values < 0, 1 + np.digitize(scale, (5 / 16, 3 / 4)), 0)
    return "".join(EIGHTHS_UP[level] for level in up), "".join(DOWN[level] for level in down)


CellPart = Literal["text", "cell", "upper", "lower"]
"""A number as text, as a painted cell, or as one half of a half block."""


@dataclass(frozen=True)
class Line:
    pieces: tuple[ColouredPiece, ...]
    pinned: tuple[ColouredPiece, ...] = ()


@dataclass(frozen=True)
class Spot:
    """A place of the cell cursor: position, size, and the number there."""

    line: int
    start: int
    """First character cell, including the pinned part."""
    width: int
    label: str
    """Row and column in words."""
    ref: str
    value: float | None
    masked: str = ""
    """The word for what is no number; "" where there is one."""
    height: int = 1
    """Lines to keep in sight, from its own."""
    note: str = ""
    """A sentence for a number without a formula."""
    part: CellPart = "text"
    also: tuple[tuple[int, int], ...] = ()
    """First cell and width of further numbers on its line that the cursor stands on."""
    destination: Destination | None = None
    """Enter leads there, instead of to a formula."""

    @property
    def description(self) -> str:
        """Label, name and all digits of the number."""
        name = f"zero-indexed: {self.ref}" if any(each.isdecimal() for each in self.ref) else self.ref
        words = [word for word in (self.label, name) if word]
        if self.masked:
            words.append("masked: a token cannot attend to later ones" if self.masked == "masked" else self.masked)
        elif self.value is not None:
            words.append(f"= {self.value:.9g}".replace("-", MINUS))
        return "  ".join(words)

    @property
    def exact(self) -> str:
        """The number, as exact as 32 bits are; its words where there is none."""
        return self.label if self.value is None else f"{self.value:.9g}"


@dataclass
class Laid:
    """A block laid out. `rows` × `columns` is the grid of the cell cursor."""

    height: int = field(init=False, default=0)
    width: int = field(init=False, default=0)
    pinned: int = field(init=False, default=0)
    rows: int = field(init=False, default=0)
    columns: int = field(init=False, default=0)
    cuts: tuple[int, ...] = field(init=False, default=())
    """Character cells right of the pinned part at which columns begin and end: a wide block is cut there; empty: anywhere."""
    sticky: int = field(init=False, default=0)
    """First lines that stay at the top while the rest scrolls beneath them."""
    follows: bool = field(init=False, default=False)
    """True if its selected cell is kept in sight when the selection changes."""
    keeps_cursor: bool = field(init=False, default=False)
    """True if the cursor stays on its place then."""

    @cached_property
    def head(self) -> list[Line]:
        """The lines above the numbers: title, scale, legend, labels of the columns."""
        return []

    @cached_property
    def extent(self) -> int:
        """Width, with a title that is wider than the columns."""
        return max(self.width, *(sum(cell_len(text) for text, _ in (*line.pinned, *line.pieces)) for line in self.head), 0)

    def line(self, y: int) -> Line:
        return self.head[y] if y < len(self.head) else self.below(y - len(self.head))

    def below(self, y: int) -> Line:
        """A line by its number below the head."""
        raise NotImplementedError

    def spot(self, row: int, column: int) -> Spot:
        raise NotImplementedError

    def start(self) -> tuple[int, int]:
        """The first place of the cursor: the selected cell, if there is one."""
        return (0, 0)

    def point(self, place: tuple[int, int] | None) -> range:
        """Follow the cursor to a place, or to none; the lines of the block that change by it."""
        return range(0)

    def at(self, line: int, x: int, now: tuple[int, int] | None = None) -> tuple[int, int] | None:
        """The place at a line and character cell of the block. Where several share it, the one after `now`."""
        for row in range(self.rows):
            if abs(self.spot(row, 0).line - line) > 1:
                continue
            for column in range(self.columns):
                spot = self.spot(row, column)
                if spot.line == line and spot.start <= x < spot.start + spot.width:
                    return row, column
        return None

    def find(self, ref: str) -> tuple[int, int] | None:
        """The place of the number with this name; None if it is not shown."""
        places = ((row, column) for row in range(self.rows) for column in range(self.columns))
        return next((place for place in places if self.spot(*place).ref == ref), None)


def merged(pieces: Iterable[ColouredPiece]) -> tuple[ColouredPiece, ...]:
    """The pieces with neighbours of one kind merged."""
    return tuple(("".join(text for text, _ in run), kind) for kind, run in groupby(pieces, key=itemgetter(1)))


def blank_if_masked(piece: HeatPiece) -> ColouredPiece:
    """Painted cells or half blocks as spaces where all that they show is masked."""
    text, kind = piece
    return (" " * len(text), "") if kind.level == MASKED_LEVEL and kind.below in (None, MASKED_LEVEL) else piece


def scale_bar(scale: Scale, limit: float, room: int) -> list[ColouredPiece]:
    """A scale's colours, with its ends in numbers: shares of 1 in percent."""
    low, high = significant(-limit) if scale == "diverging" else "0", significant(limit)
    if scale == "sequential" and limit == 1.0:
        low, high = "0%", "100%"
    return legend_bar(scale, low, high, max(3, min(LEGEND_WIDTH, room - len(low + high) - 2)))


def shade_words(positive: str, negative: str, limit: float) -> str:
    """The numbers that the strongest shades stand for; `negative` is "" where there are none."""
    return f"{positive} up to {significant(limit)}" + (f"   {negative} down to {significant(-limit)}" if negative else "")


LEGEND_WIDTH = 12
"""Character cells of a scale in a legend."""
NARROWEST = 20
"""Least room for a legend beside its scale."""


def heading(title: str, words: str, width: int, bar: Sequence[ColouredPiece] = ()) -> list[Line]:
    """Title, scale (`bar`) and legend of a block: on one line if they fit, else wrapped one under the other."""
    if not bar:
        if title and words and cell_len(title) + 3 + cell_len(words) <= width:
            return [Line(((title, "title"), ("   " + words, "dim")))]
        lines = [Line(((part, "title"),)) for part in wrap(title, width)] if title else []
        return lines + [Line(((part, "dim"),)) for part in wrap(words, width)] if words else lines
    bar_width = sum(cell_len(text) for text, _ in bar) + 3
    if cell_len(title) + 3 + bar_width + cell_len(words) <= width:
        return [Line(((title, "title"), ("   ", ""), *bar, ("   " + words, "dim")))]
    lines = [Line(((part, "title"),)) for part in wrap(title, width)] if title else []
    beside = width - bar_width >= max(NARROWEST, len(words.partition(" ")[0]))
    first, *others = wrap(words, width - bar_width) if beside else ["", words]
    lines.append(Line((*bar, ("   " + first, "dim")) if first else tuple(bar)))
    return lines + [Line(((part, "dim"),)) for part in wrap(" ".join(others), width)] if any(others) else lines
