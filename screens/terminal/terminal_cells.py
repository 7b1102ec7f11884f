"""Changed cells alone: the terminal is sent only those character cells that differ from the ones it shows.

Textual sends each changed line of a widget whole, with its colours spelled out for every piece. Over SSH most of that is what is
on the screen already.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import category
from weakref import WeakKeyDictionary

from rich.cells import get_character_cell_size
from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS, Console
from rich.style import Style
from textual.strip import Strip

from lab.core.visible_text import without_hidden

WORTH_SKIPPING = 6
"""Unchanged cells between two changed ones that are cheaper to send again than to jump over."""
ATTRIBUTES = (
    *(("bold", "1"), ("dim", "2"), ("italic", "3"), ("underline", "4"), ("blink", "5"), ("blink2", "6"), ("reverse", "7")),
    *(("conceal", "8"), ("strike", "9"), ("underline2", "21"), ("frame", "51"), ("encircle", "52"), ("overline", "53")),
)
"""Names of Rich's attributes, and their SGR codes (ECMA-48, 8.3.117)."""
SHORT = 24
"""Longest piece whose cells are kept: numbers, labels and painted cells are drawn over and over."""
SEEN_ON_BLANKS = frozenset({"4", "7", "9", "21", "51", "52", "53"})
"""Codes of the attributes that show on a space."""


@dataclass(frozen=True, eq=False, repr=False)
class Pen:
    """A way to draw a cell. There is one object of each, so that identity is equality."""

    attributes: frozenset[str]
    ink: str
    """SGR codes; empty for the terminal's own."""
    paper: str


TerminalCell = tuple[str, Pen]
"""A character, "" for the second half of a wide one, and its pen."""


@lru_cache(maxsize=16384)
def _pen(attributes: frozenset[str], ink: str, paper: str) -> Pen:
    return Pen(attributes, ink, paper)


DEFAULT = _pen(frozenset(), "", "")


@lru_cache(maxsize=16384)
def pens_of(style: Style, system: ColorSystem) -> tuple[Pen, Pen]:
    """The pen of a style, and the one of spaces in it, which no ink colours."""
    attributes = frozenset(code for name, code in ATTRIBUTES if getattr(style, name))
    ink = ";".join(style.color.downgrade(system).get_ansi_codes()) if style.color is not None else ""
    paper = ";".join(style.bgcolor.downgrade(system).get_ansi_codes(foreground=False)) if style.bgcolor is not None else ""
    pen = _pen(attributes, ink, paper)
    return pen, pen if attributes & SEEN_ON_BLANKS else _pen(frozenset(), "", paper)


@lru_cache(maxsize=65536)
def change_of_pen(before: Pen, after: Pen) -> str:
    """The escape sequence that turns one pen into another, in as few codes as it takes."""
    codes = []
    if not before.attributes <= after.attributes:
        codes, before = ["0"], DEFAULT
    codes += sorted(after.attributes - before.attributes)
    if after.ink != before.ink:
        codes.append(after.ink or "39")
    if after.paper != before.paper:
        codes.append(after.paper or "49")
    return f"\x1b[{';'.join(codes)}m" if codes else ""


@lru_cache(maxsize=8192)
def _size_alone(letter: str) -> int:
    """Character cells of a letter; 0 for one whose place depends on its neighbours: combining ones, halves of flags."""
    if category(letter) == "Mc" or "\U0001f1e6" <= letter <= "\U0001f1ff":
        return 0
    return get_character_cell_size(letter)


def cells_of(strip: Strip, system: ColorSystem) -> list[TerminalCell] | None:
    """The strip's cells; None where a character's place is up to the terminal: combining ones, and links."""
    cells: list[TerminalCell] = []
    for text, style, _ in strip:
        if style is not None and style.link:
            return None
        shown = text if text.isprintable() else without_hidden(text)
        pen, blank = (DEFAULT, DEFAULT) if style is None else pens_of(style, system)
        piece = _cells_of_short(shown, pen, blank) if len(shown) <= SHORT else _cells_of_piece(shown, pen, blank)
        if piece is None:
            return None
        cells += piece
    return cells


def _cells_of_piece(shown: str, pen: Pen, blank: Pen) -> tuple[TerminalCell, ...] | None:
    """Cells of text in one pen; None where a character's place is up to the terminal."""
    if shown.isascii():
        return tuple((letter, blank if letter == " " else pen) for letter in shown)
    cells: list[TerminalCell] = []
    for letter in shown:
        size = _size_alone(letter)
        if size == 0:
            return None
        cells.append((letter, blank if letter == " " else pen))
        if size == 2:
            cells.append(("", pen))
    return tuple(cells)


_cells_of_short = lru_cache(maxsize=8192)(_cells_of_piece)


def changes(old: list[TerminalCell | None], new: list[TerminalCell]) -> Iterator[tuple[int, int]]:
    """Ranges of cells to send: all that differ, and what lies between where that is shorter than a jump."""
    start = end = -1
    for place, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after:
            continue
        if start < 0:
            start = place
        elif place - end > WORTH_SKIPPING:
            yield _from_whole(new, start), end
            start = place
        end = place + 1
    if start >= 0:
        yield _from_whole(new, start), end


def _from_whole(cells: list[TerminalCell], place: int) -> int:
    """The place, or the one before if it is the second half of a wide character."""
    return place - 1 if cells[place][0] == "" and place else place


class TerminalCells:
    """The cells that a terminal shows, as far as they are known."""

    def __init__(self) -> None:
        self._lines: dict[int, list[TerminalCell | None]] = {}
        self._parts: list[str] = []
        self._pen = DEFAULT

    def draw(self, y: int, x: int, strip: Strip, console: Console) -> None:
        """Note what to send so that the terminal shows the strip at line `y`, column `x`."""
        size = strip.cell_length
        line = self._lines.setdefault(y, [])
        if len(line) < x + size:
            line.extend([None] * (x + size - len(line)))
        cells = cells_of(strip, COLOR_SYSTEMS[console.color_system or "truecolor"])
        if cells is None or len(cells) != size:
            self._parts += [change_of_pen(self._pen, DEFAULT), f"\x1b[{y + 1};{x + 1}H", strip.render(console)]
            self._pen = DEFAULT
            line[x:] = [None] * (len(line) - x)
            return
        old = line[x : x + size]
        if old == cells:
            return
        for start, end in changes(old, cells):
            self._parts.append(f"\x1b[{y + 1};{x + start + 1}H")
            pen = self._pen
            for place, (letter, wanted) in enumerate(cells[start:end], x + start):
                if not letter:
                    # Not all terminals agree on which characters are wide: what follows is at its place in any case.
                    self._parts.append(f"\x1b[{y + 1};{place + 2}H")
                    continue
                if wanted is not pen:
                    self._parts.append(change_of_pen(pen, wanted))
                    pen = wanted
                self._parts.append(letter)
            self._pen = pen
        line[x : x + size] = cells

    def take(self) -> str:
        """The sequences noted so far; the pen is the terminal's own again after it."""
        sequence = "".join([*self._parts, "\x1b[0m" if self._pen is not DEFAULT else ""])
        self._parts, self._pen = [], DEFAULT
        return sequence

    def forget(self) -> None:
        self._lines.clear()


_TERMINALS: WeakKeyDictionary[Console, TerminalCells] = WeakKeyDictionary()


def terminal_cells(console: Console) -> TerminalCells:
    return _TERMINALS.setdefault(console, TerminalCells())


def forget_cells() -> None:
    """Draw everything anew next time: something else may have drawn on the terminal."""
    for terminal in _TERMINALS.values():
        terminal.forget()
