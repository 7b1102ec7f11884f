"""Cells that the app has a terminal draw, with the codes of their styles: what is really sent, after all filters."""

from rich.cells import cell_len
from textual.app import App

from lab.core.terminal import BRAILLE, MARKS
from screens.app_state import NAMES_OF_KEYS
from tests.e2e.screen_grid import ScreenGrid

Cells = list[list[tuple[str, str]]]
"""Line by line, each character and the codes of its style, joined by `;`."""

PLAIN = {"", "1", "2", "3", "4", "7", "9"}
"""Codes of bold, dim, italic, underline, reverse and strike (ECMA-48, 8.3.117)."""
SIXTEEN = {str(code) for first in (30, 40, 90, 100) for code in range(first, first + 8)}
"""Codes of 16 inks and papers."""


def emitted_cells(app: App[None]) -> Cells:
    """The whole screen as it would be sent now."""
    update = app.screen._compositor.render_update(full=True)
    assert update is not None
    grid = ScreenGrid()
    grid.feed(update.render_segments(app.console).encode())
    return grid.lines()


def codes_of(cells: Cells) -> set[str]:
    """Every code that is sent."""
    return {code for line in cells for _, codes in line for code in codes.split(";")}


def without_ascii_mark(cells: Cells) -> set[str]:
    """Characters for which a terminal without UTF-8 has nothing but `?`; signs of keys are spelled out there."""
    letters = {letter for line in cells for letter, _ in line if not letter.isascii()}
    return {each for each in letters - NAMES_OF_KEYS.keys() if each not in MARKS and ord(each) not in BRAILLE}


def as_text(cells: Cells) -> str:
    """The screen in words, for a snapshot: below each line the styles of its cells, a letter each, where it has any."""
    lines = []
    for line in cells:
        lines.append("".join(letter for letter, _ in line).rstrip())
        styles = "".join(_style(codes) * max(1, cell_len(letter)) for letter, codes in line if letter).rstrip()
        lines += [styles] if styles else []
    return "\n".join(lines)


def _style(codes: str) -> str:
    """A letter for what shows most: `A` to `H` a paper, `r` reverse, `0` to `7` an ink, `u` underline, `b` bold, `d` dim."""
    found = codes.split(";")
    for first, names in ((40, "ABCDEFGH"), (100, "ABCDEFGH"), (30, "01234567"), (90, "01234567")):
        painted = [code for code in found if code.isdigit() and int(code) in range(first, first + 8)]
        if painted and not (first in (30, 90) and "7" in found):
            return names[int(painted[0]) - first]
    return next(
        (name for code, name in (("7", "r"), ("4", "u"), ("1", "b"), ("9", "s"), ("3", "i"), ("2", "d")) if code in found), " "
    )
