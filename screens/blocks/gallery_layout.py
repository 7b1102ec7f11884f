"""Layout of a gallery of thumbnails: as many side by side as fit, each group from a new line."""

from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len

from lab.views.blocks import Gallery, Thumbnail
from screens.blocks.bars_and_shades import shade
from screens.blocks.block_layout import Laid, Line, Spot, heading, merged
from screens.widgets.text_fitting import Piece, fit

GAP = 1
"""Empty character cells between two thumbnails."""


@dataclass
class LaidGallery(Laid):
    FOLLOWS = True
    gallery: Gallery
    room: int
    """Width of the view in columns."""
    across: int = 1
    """Width of one thumbnail."""
    tall: int = 1
    """Lines of one picture."""
    wide: int = 1
    """Character cells of one number."""

    @cached_property
    def head(self) -> list[Line]:
        return heading(self.gallery.title, self.gallery.legend, self.room)

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

    def line(self, y: int) -> Line:
        if y < len(self.head):
            return self.head[y]
        row, inside = divmod(y - len(self.head), self.each)
        pieces: list[Piece] = []
        for index in self._row(row):
            pieces += [*self._pieces(index, inside), (" " * GAP, "")]
        return Line(merged(pieces[:-1]))

    def _pieces(self, index: int, inside: int) -> list[Piece]:
        thumbnail = self.gallery.thumbnails[index]
        if inside == 0:
            chosen = index == self.gallery.selected
            name = ("▸" if chosen else "") + thumbnail.label
            # The caption, its first word, or nothing, whatever fits.
            words = (f"{name} {thumbnail.caption}", f"{name} {thumbnail.caption.partition(' ')[0]}", name)
            fitting = next((each for each in words if cell_len(each.rstrip()) <= self.across), name)
            return [(fit(fitting.rstrip(), self.across), "selected" if chosen else "head")]
        values = thumbnail.values.numpy()
        if inside > len(values):
            return [(" " * self.across, "")]
        row = values[inside - 1].tolist()
        drawn: list[Piece] = [(self._glyph(value), "masked" if value != value else "bar") for value in row]
        return [*drawn, (" " * (self.across - self.wide * len(row)), "")]

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


def lay_gallery(gallery: Gallery, width: int) -> LaidGallery:
    """Lay out each group on one line if it fits, else on the fewest lines, evenly filled."""
    shapes = [each.values.shape for each in gallery.thumbnails]
    longest = max((cell_len(each.label) for each in gallery.thumbnails), default=0)
    columns = max((shape[1] for shape in shapes), default=1)
    # A character is twice as high as it is wide: drawn twice, each number is a square.
    wide = 2 if all(rows == columns for rows, columns in shapes) and gallery.group * (2 * columns + GAP) - GAP <= width else 1
    across = max(longest + 1, wide * columns)
    fitting = max(1, (width + GAP) // (across + GAP))
    lines = -(-gallery.group // fitting)
    laid = LaidGallery(gallery, width, across, max((shape[0] for shape in shapes), default=0), wide)
    laid.columns = -(-gallery.group // lines)
    laid.rows = -(-len(gallery.thumbnails) // gallery.group) * laid.in_group
    laid.height = len(laid.head) + max(0, laid.rows * laid.each - 1)
    laid.width = laid.columns * (across + GAP) - GAP
    return laid
