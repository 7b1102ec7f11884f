"""Where the blocks of a view land on a grid of characters: pure arithmetic, no widget.

Each block becomes a `Laid` that gives its lines one at a time, so that a matrix of a thousand rows costs what is on screen.
A line is made of pieces, (text, kind); the widget turns a kind into a style. The first pieces may be pinned: they stay in
place while the rest scrolls sideways, as the labels of a table do.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import ClassVar

from rich.cells import cell_len

from lab.core.number_format import MINUS
from screens.widgets.text_fitting import Piece, wrap


@dataclass(frozen=True)
class Line:
    pieces: tuple[Piece, ...]
    pinned: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class Spot:
    """A place that the cell cursor can stand on: where it is drawn and which number it is."""

    line: int
    start: int
    """First character cell, counted with the pinned part."""
    width: int
    label: str
    """Which row and column it is, in words."""
    ref: str
    value: float | None
    masked: bool = False
    height: int = 1
    """Lines that should be in sight with it, its own the first."""
    note: str = ""
    """What is said of it where it has no formula."""

    @property
    def in_words(self) -> str:
        """Which number it is, its name and all its digits."""
        name = f"zero-indexed: {self.ref}" if any(each.isdecimal() for each in self.ref) else self.ref
        words = [word for word in (self.label, name) if word]
        if self.masked:
            words.append("masked: a token cannot attend to later ones")
        elif self.value is not None:
            words.append(f"= {self.value:.9g}".replace("-", MINUS))
        return "  ".join(words)


@dataclass
class Laid:
    """A block at its place. `rows` × `columns` is the grid that the cell cursor walks."""

    height: int = field(init=False, default=0)
    width: int = field(init=False, default=0)
    pinned: int = field(init=False, default=0)
    rows: int = field(init=False, default=0)
    columns: int = field(init=False, default=0)

    def line(self, y: int) -> Line:
        raise NotImplementedError

    def spot(self, row: int, column: int) -> Spot:
        raise NotImplementedError

    FOLLOWS: ClassVar[bool] = False
    """Whether the choice that it marks is to stay in sight when another one is made."""

    def start(self) -> tuple[int, int]:
        """The place where the cursor first lands: the choice that the block marks, if it marks one."""
        return (0, 0)


def merged(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """The pieces with neighbours of the same kind made one: fewer to draw."""
    return tuple(("".join(text for text, _ in run), kind) for kind, run in groupby(pieces, key=itemgetter(1)))


def heading(title: str, words: str, width: int) -> list[Line]:
    """A block's title and what is said beside it: on one line if they fit, else one under the other, wrapped."""
    if title and words and cell_len(title) + 3 + cell_len(words) <= width:
        return [Line(((title, "title"), ("   " + words, "dim")))]
    lines = [Line(((part, "title"),)) for part in wrap(title, width)] if title else []
    return lines + [Line(((part, "dim"),)) for part in wrap(words, width)] if words else lines
