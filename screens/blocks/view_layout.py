"""Layout of a view: its blocks one under the other, the moves of the cell cursor, and the badge of its parity with the model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
from rich.cells import cell_len

from lab.core.number_format import significant, whole
from lab.views.blocks import (
    Block,
    Gallery,
    IntervalBar,
    Matrix,
    MatrixPanels,
    Paragraph,
    Parity,
    StackedStrips,
    Strip,
    Table,
    TextGrid,
    View,
)
from screens.blocks.block_layout import Laid, Line, Spot
from screens.blocks.gallery_layout import lay_gallery
from screens.blocks.matrix_layout import lay_matrix
from screens.blocks.matrix_panels_layout import lay_matrix_panels
from screens.blocks.strip_layout import LaidStrip, lay_stacked_strips, lay_strip
from screens.blocks.table_layout import LaidTable, lay_interval_bar, lay_table, lay_text_grid
from screens.colour import ColouredPiece
from screens.widgets.text_fitting import wrap

TOLERANCE = 1e-4
"""Largest error still called a match, as a fraction of the largest number compared or of 1: four digits. fp32 keeps about six."""

BESIDE, BETWEEN = (LaidTable, LaidStrip), 4
"""Blocks that stand side by side with others of their kind, and the character cells between them."""
FEWEST_ROWS, FEWEST_FILLING = 12, 5
"""Rows of a part of a long table, at least, and of a table that fills a window."""

SOURCES = {"models.sampling": "sampler", "optimizer": "optimizer", "clip_grad_norm_": "trainer"}
"""What a view is compared with where that is not the model, by the end of the comparison's name."""

OF_VOCABULARY = " · vocabulary"
"""End of the name of a comparison with the tokenizer's vocabulary, which needs no model."""


def parity_badge(parity: Parity, *, short: bool = False) -> str:
    """`✓ matches the model (max error 1.2e−7)`, or `✓ max error 1.2e−7`; of tokens, `✓ merged bytes give these tokens`"""
    matches = parity.max_delta <= TOLERANCE * max(1.0, parity.largest)
    error = f"max error {significant(parity.max_delta, 2)}"
    if short:
        return f"{'✓' if matches else '✗'} {error}"
    if parity.name.endswith(OF_VOCABULARY):  # bytes are the same or not: there is no rounding
        return "✗ merged bytes differ from these tokens" if parity.max_delta else "✓ merged bytes give these tokens"
    source = SOURCES.get(parity.name.partition(" · ")[2], "model")
    return f"{'✓ matches' if matches else '✗ differs from'} the {source} ({error})"


def parity_sentence(parity: Parity) -> str:
    """`✓ matches the model (max error 1.2e−7): 32 numbers of blocks.0.attn.z (zero-indexed), fast path.`"""
    name, _, against = parity.name.partition(" · ")
    numbers = "1 number" if parity.count == 1 else f"{whole(parity.count)} numbers"
    index = " (zero-indexed)" if any(each.isdecimal() for each in name) else ""
    return f"{parity_badge(parity)}: {numbers} of {name}{index}{f', {against}' if against else ''}."


CellCursor = tuple[int, int, int]
"""Block, row and column."""


@dataclass
class LaidNote(Laid):
    lines: list[str]

    def below(self, y: int) -> Line:
        return Line(((self.lines[y], "note"),))


def lay_note(text: str, width: int) -> LaidNote:
    laid = LaidNote(wrap(text, width))
    laid.height, laid.width = len(laid.lines), width
    return laid


def lay_block(block: Block, width: int, beside: Block | None = None, paints: bool = False, panel: int = 0) -> Laid:
    """Lay out a block at this width, with the columns and the scale of one of the same kind `beside` it. `paints`: numbers are
    drawn as colours, else as glyphs. `panel`: which of several matrices, counted on.
    """
    match block:
        case Table():
            return lay_table(block, width, beside if isinstance(beside, Table) else None)
        case Strip():
            return lay_strip(block, width, beside if isinstance(beside, Strip) else None, paints)
        case StackedStrips():
            return lay_stacked_strips(block, width, beside if isinstance(beside, StackedStrips) else None, paints)
        case Matrix():
            return lay_matrix(block, width, beside if isinstance(beside, Matrix) else None, paints)
        case MatrixPanels():
            return lay_matrix_panels(block, width, beside if isinstance(beside, MatrixPanels) else None, paints, panel)
        case Gallery():
            return lay_gallery(block, width, paints)
        case TextGrid():
            return lay_text_grid(block, width, paints)
        case IntervalBar():
            return lay_interval_bar(block, width)
        case Paragraph():
            return lay_note(block.text, width)


def lay_view(
    view: View,
    width: int,
    beside: View | None = None,
    paints: bool = False,
    panel: int = 0,
    height: int = 0,
) -> "Page":
    """A view's sentence and its blocks, one under the other; with `paints` in colours, else in glyphs. What is left of `height`
    lines has rows of its `fill`.

    A view of the same stage `beside` it is laid out alike, for comparison.
    """
    others = _counterparts(view, beside) if beside is not None and beside.stage == view.stage else [None] * len(view.blocks)
    laid: list[Laid] = [lay_note(view.sentence, width)] if view.sentence else []
    blocks = [lay_block(block, width, other, paints, panel) for block, other in zip(view.blocks, others, strict=True)]
    _align_bars(blocks, others, width)
    pairs = zip([None, *blocks], blocks, strict=False)
    page = Page([*laid, *(part for before, block in pairs for part in _in_columns(block, width, before))], width)
    room = height - page.height - 3  # an empty line, and the title and the head of the table
    if view.fill is None or room < FEWEST_FILLING:
        return page
    return Page([*page.blocks, lay_table(msgspec.structs.replace(view.fill, rows=view.fill.rows[:room]), width)], width)


def _in_columns(block: Laid, width: int, before: Laid | None) -> Sequence[Laid]:
    """The parts of a long table, to stand side by side where there is room for two, beside a table `before` it or below that;
    else the block itself."""
    if not isinstance(block, LaidTable) or (table := block.table).total or table.selected is not None:
        return [block]
    rooms = [width - before.extent, width + BETWEEN] if isinstance(before, LaidTable) else [width + BETWEEN]
    counts = [min(room // (block.extent + BETWEEN), len(table.rows) // FEWEST_ROWS) for room in rooms]
    count = next((each for each in counts if each > 1), 1)
    if count == 1:
        return [block]
    each = -(-len(table.rows) // count)
    rows = [table.rows[first : first + each] for first in range(0, len(table.rows), each)]
    parts = [
        msgspec.structs.replace(table, rows=part, title="…" if at and table.title else table.title)
        for at, part in enumerate(rows)
    ]
    return [lay_table(part, width, table) for part in parts]


def _align_bars(blocks: list[Laid], others: Sequence[Block | None], width: int) -> None:
    """Lay out anew the tables of which a shorter bar of an equally titled column is in another: bars compare within a view."""
    tables = [(index, block) for index, block in enumerate(blocks) if isinstance(block, LaidTable)]
    for index, table in tables:
        shared = [each.plain_bars[title] for _, each in tables for title in table.plain_bars if title in each.plain_bars]
        if shared and min(shared) < max(table.plain_bars.values()):
            other = others[index]
            blocks[index] = lay_table(table.table, width, other if isinstance(other, Table) else None, min(shared))


def _counterparts(view: View, beside: View) -> list[Block | None]:
    """For each block of a view, the other view's block of the same kind and order; None if there is none."""
    found: list[Block | None] = []
    for index, block in enumerate(view.blocks):
        before = sum(type(each) is type(block) for each in view.blocks[:index])
        alike = [each for each in beside.blocks if type(each) is type(block)]
        found.append(alike[before] if before < len(alike) else None)
    return found


def _reach(block: Laid, room: int) -> int:
    """Width of a block, with what lies beside its last column when that is scrolled into `room` and the first one is whole."""
    over = block.width - room
    return block.width if over <= 0 else min((edge for edge in block.cuts if edge >= over), default=over) + room


class Page:
    """The laid out blocks of a view, tables or vectors side by side where there is room; and the moves of the cell cursor."""

    def __init__(self, blocks: list[Laid], room: int) -> None:
        self.blocks = blocks
        self.room = room
        """Width of the view in character cells; a wider block scrolls sideways."""
        self.tops: list[int] = []
        self.lefts: list[int] = []
        top, left, self.height = 0, 0, 0
        for before, block in zip([None, *blocks], blocks, strict=False):
            left = left + before.extent + BETWEEN if isinstance(before, BESIDE) and type(before) is type(block) else room + 1
            if left + block.extent > room:
                top, left = self.height + (before is not None), 0
            self.tops.append(top)
            self.lefts.append(left)
            self.height = max(self.height, top + block.height)
        self.width = max((_reach(block, room) for block in blocks), default=0)

    def _on(self, y: int) -> list[int]:
        """The blocks at line `y`, from the left; none between blocks."""
        return [index for index, block in enumerate(self.blocks) if self.tops[index] <= y < self.tops[index] + block.height]

    def stuck_at(self, top: int) -> range:
        """The lines that stay at the top of a window that begins at line `top`, in the middle of their block."""
        here = self._on(top)
        if not here or top == (first := self.tops[here[0]]):
            return range(0)
        block = self.blocks[here[0]]
        return range(first, first + min(block.sticky, first + block.height - top))

    def line(self, y: int) -> tuple[Line, int]:
        """Line `y` and the number of its pinned character cells: all if the block fits into `room`."""
        pinned: list[ColouredPiece] = []
        for index in self._on(y):
            line = self.blocks[index].line(y - self.tops[index])
            if self.blocks[index].width > self.room:
                return line, sum(cell_len(text) for text, _ in line.pinned)
            gap = self.lefts[index] - sum(cell_len(text) for text, _ in pinned)
            pinned += [*([(" " * gap, "")] if gap > 0 else []), *line.pinned, *line.pieces]
        return Line((), tuple(pinned)), sum(cell_len(text) for text, _ in pinned)

    def cuts_at(self, y: int) -> tuple[int, ...]:
        """The cuts of the block at line `y`; empty: anywhere."""
        return next((self.blocks[index].cuts for index in self._on(y)), ())

    def first(self) -> CellCursor | None:
        """The first place of the cursor; None if no block has numbers."""
        for index, block in enumerate(self.blocks):
            if block.rows and block.columns:
                return (index, *block.start())
        return None

    def followed(self) -> CellCursor | None:
        """The selected cell to keep in sight, where the view begins with its block; None if there is none."""
        first = self.first()
        return first if first is not None and self.blocks[first[0]].follows else None

    @property
    def follows_row(self) -> bool:
        """True if there is a matrix whose selected row is kept in sight, below a head that stays."""
        followed = self.followed()
        return followed is not None and self.blocks[followed[0]].keeps_cursor

    def shows_row(self, top: int, lines: int) -> bool:
        """True if the selected row of a matrix is among so many lines from `top` on."""
        followed = self.followed() if self.follows_row else None
        return followed is not None and top <= self.spot(followed).line < top + lines

    def end_with_table_below(self, cursor: CellCursor, window: int) -> int:
        """The last line of the table right below the matrices that the cursor is in, where both fit into so many lines; else the
        cursor's own line.
        """
        above, below, line = cursor[0], cursor[0] + 1, self.spot(cursor).line
        if below < len(self.blocks) and self.blocks[above].keeps_cursor and isinstance(self.blocks[below], LaidTable):
            end = self.tops[below] + self.blocks[below].height - 1
            if self.blocks[above].sticky + 1 + end - line < window:
                return end
        return line

    def has(self, cursor: CellCursor) -> bool:
        """True if the view has this place."""
        index, row, column = cursor
        return index < len(self.blocks) and row < self.blocks[index].rows and column < self.blocks[index].columns

    def find_ref(self, ref: str, near: CellCursor) -> CellCursor | None:
        """The place in the same block of the number with this name; None if it is not shown."""
        if self.has(near) and self.spot(near).ref == ref:
            return near
        index = near[0]
        if index >= len(self.blocks):
            return None
        found = self.blocks[index].find(ref)
        return None if found is None else (index, *found)

    def at(self, y: int, x: int, scroll_x: int, now: CellCursor | None = None) -> CellCursor | None:
        """The place at line `y` and cell `x`, scrolled sideways by `scroll_x`; of two that share it, the one after `now`."""
        for index in self._on(y):
            block = self.blocks[index]
            if block.width > self.room and x >= block.pinned:
                x += scroll_x
            here = now[1:] if now is not None and now[0] == index else None
            if (place := block.at(y - self.tops[index], x - self.lefts[index], here)) is not None:
                return (index, *place)
        return None

    def spot(self, cursor: CellCursor) -> Spot:
        """The place of `cursor`, its line counted from the top of the page."""
        index, row, column = cursor
        spot = self.blocks[index].spot(row, column)
        return replace(spot, line=spot.line + self.tops[index], start=spot.start + self.lefts[index])

    def move(self, cursor: CellCursor, rows: int, columns: int) -> CellCursor:
        """The cursor moved by rows and columns; past a block's last row or column it enters the next one or the one beside."""
        index, row, column = cursor
        block, beside = self.blocks[index], index + columns
        is_past = abs(columns) == 1 and not 0 <= column + columns < block.columns
        if is_past and 0 <= beside < len(self.blocks) and self.tops[beside] == self.tops[index]:
            block = self.blocks[beside]
            return beside, min(row, block.rows - 1), 0 if columns > 0 else block.columns - 1
        row, column = row + rows, min(max(column + columns, 0), block.columns - 1)
        if 0 <= row < block.rows:
            return index, row, column
        step = 1 if row >= block.rows else -1
        other = index + step
        while 0 <= other < len(self.blocks):
            block = self.blocks[other]
            if block.rows and block.columns:
                return other, 0 if step > 0 else block.rows - 1, min(column, block.columns - 1)
            other += step
        return index, min(max(row, 0), self.blocks[index].rows - 1), column


def text_of(page: Page) -> str:
    """All lines of a view, also those out of sight, as they are drawn."""
    lines = (page.line(y)[0] for y in range(page.height))
    return "\n".join("".join(text for text, _ in (*line.pinned, *line.pieces)).rstrip() for line in lines)
