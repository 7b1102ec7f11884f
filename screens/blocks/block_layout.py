"""Layout of a block on a grid of characters: its lines, and the places of the cell cursor. Pure arithmetic, no widget.

Each block becomes a `Laid` that gives its lines one at a time: a matrix of a thousand rows costs only the lines on screen. A line
is made of pieces (text, kind). Its first pieces may be pinned: they stay in place while the rest scrolls sideways.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import ClassVar

from rich.cells import cell_len

from lab.core.number_format import MINUS
from screens.colour.heat import ColouredPiece
from screens.widgets.text_fitting import wrap


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
    masked: bool = False
    height: int = 1
    """Lines to keep in sight, from its own."""
    note: str = ""
    """A sentence for a number without a formula."""

    @property
    def in_words(self) -> str:
        """Label, name and all digits of the number."""
        name = f"zero-indexed: {self.ref}" if any(each.isdecimal() for each in self.ref) else self.ref
        words = [word for word in (self.label, name) if word]
        if self.masked:
            words.append("masked: a token cannot attend to later ones")
        elif self.value is not None:
            words.append(f"= {self.value:.9g}".replace("-", MINUS))
        return "  ".join(words)


@dataclass
class Laid:
    """A block laid out. `rows` × `columns` is the grid of the cell cursor."""

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
    """True if its selected cell is kept in sight when the selection changes."""

    def start(self) -> tuple[int, int]:
        """The first place of the cursor: the selected cell, if there is one."""
        return (0, 0)


def merged(pieces: Iterable[ColouredPiece]) -> tuple[ColouredPiece, ...]:
    """The pieces with neighbours of one kind merged."""
    return tuple(("".join(text for text, _ in run), kind) for kind, run in groupby(pieces, key=itemgetter(1)))


def heading(title: str, words: str, width: int) -> list[Line]:
    """Title and legend of a block: on one line if they fit, else wrapped one under the other."""
    if title and words and cell_len(title) + 3 + cell_len(words) <= width:
        return [Line(((title, "title"), ("   " + words, "dim")))]
    lines = [Line(((part, "title"),)) for part in wrap(title, width)] if title else []
    return lines + [Line(((part, "dim"),)) for part in wrap(words, width)] if words else lines
