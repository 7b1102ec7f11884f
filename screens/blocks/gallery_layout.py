"""Layout of a gallery of thumbnails: as many side by side as fit, each group from a new line.

A number is a square of two characters where that fits, else a half: of a half block, or, in glyphs, the larger of two rows.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from lab.views.blocks import Gallery, Thumbnail
from screens.blocks.block_layout import (
    MASKED,
    POSITIVE_SHADES,
    Laid,
    Line,
    Spot,
    blank_if_masked,
    heading,
    merged,
    scale_bar,
    shade,
)
from screens.colour import ColouredPiece, half_block_cells, heat_cells, levels_of
from screens.widgets.text_fitting import fit

MOST_LINES = 44
"""Lines of several groups beyond which numbers are drawn smaller, so that more of the model is in sight."""
CAPTION = 9
"""Character cells of a caption such as `self 100%`, which small pictures are spread for where a group still fits on a line."""
GAP = 1
"""Empty character cells between two thumbnails."""


@dataclass
class LaidGallery(Laid):
    follows: bool = field(init=False, default=True)
    gallery: Gallery
    room: int
    """Width of the view in columns."""
    across: int = 1
    """Width of one thumbnail."""
    tall: int = 1
    """Lines of one picture."""
    wide: int = 1
    """Character cells of one number: with 1, two rows share a line."""
    paints: bool = False

    @cached_property
    def head(self) -> list[Line]:
        if self.paints:
            words = "   ".join(part for part in (self.gallery.legend, "blank: masked") if part)
            return heading(self.gallery.title, words, self.room, scale_bar("sequential", 1.0, self.room))
        shades = f"{POSITIVE_SHADES} 0% to 100%   {MASKED} masked" + ("" if self.wide == 2 else "   larger of 2 rows")
        return heading(self.gallery.title, "   ".join(part for part in (shades, self.gallery.legend) if part), self.room)

    @property
    def in_group(self) -> int:
        """Lines of thumbnails that a group takes."""
        return -(-self.gallery.group // self.columns)

    @property
    def each(self) -> int:
        """Lines from one line of thumbnails to the next: captions, pictures, an empty line."""
        return self.tall + 2

    def _row(self, row: int) -> list[int]:
        """Indices of the thumbnails in one line."""
        group, line = divmod(row, self.in_group)
        first = group * self.gallery.group + line * self.columns
        end = min(first + self.columns, (group + 1) * self.gallery.group, len(self.gallery.thumbnails))
        return list(range(first, end))

    def below(self, y: int) -> Line:
        row, inside = divmod(y, self.each)
        pieces: list[ColouredPiece] = []
        for index in self._row(row):
            pieces += [*self._pieces(index, inside), (" " * GAP, "")]
        return Line(merged(pieces[:-1]))

    def _pieces(self, index: int, inside: int) -> list[ColouredPiece]:
        thumbnail = self.gallery.thumbnails[index]
        if inside == 0:
            chosen = index == self.gallery.selected
            name = ("▸" if chosen else "") + ("✗" if thumbnail.is_off else "") + thumbnail.label
            # The caption, its first word, or nothing, whatever fits.
            words = (f"{name} {thumbnail.caption}", f"{name} {thumbnail.caption.partition(' ')[0]}", name)
            fitting = next((each for each in words if cell_len(each.rstrip()) <= self.across), name)
            return [(fit(fitting.rstrip(), self.across), "selected" if chosen else "head")]
        values = thumbnail.values.numpy()
        each = 2 if self.wide == 1 else 1
        rows = values[(inside - 1) * each : inside * each]
        if not len(rows):
            return [(" " * self.across, "")]
        drawn = self._drawn(rows)
        if thumbnail.is_off:
            drawn = crossed(drawn, inside - 1, -(-len(values) // each))
        return [*drawn, (" " * (self.across - self.wide * rows.shape[1]), "")]

    def _drawn(self, rows: NDArray[np.float32]) -> list[ColouredPiece]:
        """One line of a picture: one row, or two in halves."""
        if not self.paints:
            row = rows[0] if len(rows) == 1 else np.fmax(*rows)
            return [(self._glyph(value), "masked" if value != value else "bar") for value in row.tolist()]
        levels = levels_of(rows)
        if self.wide == 2:
            return [blank_if_masked(piece) for piece in heat_cells("sequential", levels[0], 2)]
        return [
            blank_if_masked(piece) for piece in half_block_cells("sequential", levels[0], levels[1] if len(rows) > 1 else None)
        ]

    def _glyph(self, value: float) -> str:
        glyph = shade(value, 1.0)
        return glyph * self.wide if value == value else glyph.ljust(self.wide)

    def spot(self, row: int, column: int) -> Spot:
        indices = self._row(row)
        place = min(column, len(indices) - 1)
        thumbnail: Thumbnail = self.gallery.thumbnails[indices[place]]
        line = len(self.head) + row * self.each
        start = place * (self.across + GAP)
        words, to = thumbnail.summary, thumbnail.destination
        return Spot(line, start, self.across, words, thumbnail.ref, thumbnail.value, height=self.tall + 1, destination=to)

    def at(self, line: int, x: int, now: tuple[int, int] | None = None) -> tuple[int, int] | None:
        row, inside = divmod(line - len(self.head), self.each)
        column, beside = divmod(x, self.across + GAP)
        on_it = 0 <= row < self.rows and inside <= self.tall and column < len(self._row(row)) and beside < self.across
        return (row, column) if on_it else None

    def start(self) -> tuple[int, int]:
        group, place = divmod(self.gallery.selected, self.gallery.group)
        line, column = divmod(place, self.columns)
        return group * self.in_group + line, column


def crossed(pieces: list[ColouredPiece], row: int, rows: int) -> list[ColouredPiece]:
    """A line of a picture with both of its diagonals drawn over it."""
    cells = [(character, kind) for text, kind in pieces for character in text]
    last = len(cells) - 1
    down = round(row / max(1, rows - 1) * last)
    cells[down] = ("╲", "strong")
    cells[last - down] = ("╳" if last == 2 * down else "╱", "strong")
    return cells


def lay_gallery(gallery: Gallery, width: int, paints: bool = False) -> LaidGallery:
    """Lay out each group on one line if it fits, else on the fewest lines, evenly filled."""
    shapes = [each.values.shape for each in gallery.thumbnails]
    longest = max((cell_len(each.label) for each in gallery.thumbnails), default=0)
    columns = max((shape[1] for shape in shapes), default=1)
    tall = max((shape[0] for shape in shapes), default=0)
    groups = -(-len(gallery.thumbnails) // gallery.group)
    fits = gallery.group * (2 * columns + GAP) - GAP <= width and (groups == 1 or groups * (tall + 2) <= MOST_LINES)
    wide = 2 if fits else 1
    across = max(longest + 1, wide * columns)
    with_caption = longest + 2 + CAPTION
    if gallery.group * (with_caption + GAP) - GAP <= width:
        across = max(across, with_caption)
    fitting = max(1, (width + GAP) // (across + GAP))
    lines = -(-gallery.group // fitting)
    laid = LaidGallery(gallery, width, across, tall if wide == 2 else -(-tall // 2), wide, paints)
    laid.columns = -(-gallery.group // lines)
    laid.rows = -(-len(gallery.thumbnails) // gallery.group) * laid.in_group
    laid.height = len(laid.head) + max(0, laid.rows * laid.each - 1)
    laid.width = laid.columns * (across + GAP) - GAP
    return laid
