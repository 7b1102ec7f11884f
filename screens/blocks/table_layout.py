"""Layout of tables, of grids of texts, and of an interval bar: parts end to end from 0 to 1, a caret where a number falls."""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from lab.core.number_format import probability
from lab.views.blocks import Cell, IntervalBar, Table, TextGrid
from screens.blocks.block_layout import Laid, Line, Spot, bar, eighths_up, heading, merged, signed_bar
from screens.colour import LEAST_INK, LEAST_SIGNED_INK, MASKED_LEVEL, ColouredPiece, Heat, heat, legend_bar, level_of
from screens.widgets.text_fitting import Piece, fit

BAR_WIDTHS = (4, 28)
"""Shortest and longest bar."""
SIGNED_BAR_WIDTHS = (9, 41)
"""Shortest and longest bar with an axis in the middle."""
GAPS = (2, 1)
"""Empty cells between two columns, and where it is narrow."""
LABEL_SHARE = 0.4
"""Fraction of the width for row labels before they are shortened."""


@dataclass
class LaidTable(Laid):
    table: Table
    shown: list[int]
    """Indices of the columns that are drawn, in order."""
    widths: list[int]
    bar_widths: list[int]
    """Width of the bar after each column's text; 0 where the column has none."""
    room: int
    """Width of the view in columns."""
    hidden: int = 0
    gap: int = GAPS[0]

    @cached_property
    def signed(self) -> frozenset[int]:
        """Indices of the columns whose bars grow to both sides of an axis."""
        return _signed(self.table)

    @cached_property
    def head(self) -> list[Line]:
        mark = f"… {self.hidden} more column{'s' if self.hidden > 1 else ''} on a wider screen" if self.hidden else ""
        lines = heading(self.table.title, mark, self.room)
        if any(column.title for column in self.table.columns):
            cells = [Cell(self.table.columns[index].title) for index in self.shown]
            lines.append(self._line(cells, "head", "  " if self.gutter else ""))
        return lines

    @property
    def plain_bars(self) -> dict[str, int]:
        """Widths of the bars without an axis by the title of their column."""
        titles = [self.table.columns[index].title for index in self.shown]
        signed = [index in self.signed for index in self.shown]
        return {title: bar for title, bar, axis in zip(titles, self.bar_widths, signed, strict=True) if bar and not axis}

    @property
    def gutter(self) -> int:
        return 2 if self.table.selected is not None else 0

    def _line(self, cells: list[Cell], kind: str, mark: str) -> Line:
        pinned: list[ColouredPiece] = [(mark, "mark")] if mark else []
        pieces: list[ColouredPiece] = []
        for place, (cell, width, bar_width) in enumerate(zip(cells, self.widths, self.bar_widths, strict=True)):
            column = self.table.columns[self.shown[place]]
            text = fit(cell.text, width, column.align)
            target = pinned if place == 0 else pieces
            target.append((text, kind or cell.style or "cell"))
            if bar_width:
                draw = signed_bar if self.shown[place] in self.signed else bar
                drawn = "" if cell.bar is None else draw(cell.bar, bar_width)
                target.append((" " + fit(drawn, bar_width), self._bar_kind(cell.bar, self.shown[place])))
            if place < len(cells) - 1:
                target.append((" " * self.gap, ""))
        return Line(tuple(pieces), tuple(pinned))

    def _bar_kind(self, fraction: float | None, column: int) -> str | Heat:
        """The colour of a bar: by its length, and of a column with an axis by its sign too."""
        if fraction is None:
            return "bar"
        level = level_of(fraction)
        if column in self.signed:
            return Heat("diverging", max(level, LEAST_SIGNED_INK) if level > 0 else min(level, -LEAST_SIGNED_INK), MASKED_LEVEL)
        return Heat("sequential", max(level, LEAST_INK), MASKED_LEVEL)

    def below(self, row: int) -> Line:
        if row < len(self.table.rows):
            chosen = row == self.table.selected
            mark = ("▸ " if chosen else "  ") if self.gutter else ""
            cells = self.table.rows[row]
            return self._line([cells[index] for index in self.shown], "selected" if chosen else "", mark)
        if row == len(self.table.rows):
            return Line((("─" * self.width, "dim"),))
        assert self.table.total is not None
        return self._line([self.table.total[index] for index in self.shown], "strong", "  " if self.gutter else "")

    def spot(self, row: int, column: int) -> Spot:
        is_total = row >= len(self.table.rows)
        cells = (self.table.total or []) if is_total else self.table.rows[row]
        start = self.gutter
        for place in range(column):
            start += self.widths[place] + (1 + self.bar_widths[place] if self.bar_widths[place] else 0) + self.gap
        cell = cells[self.shown[column]]
        title = self.table.columns[self.shown[column]].title
        label = cells[self.shown[0]].text.strip()
        words = " · ".join(word for word in (label if column else "", title) if word)
        line = len(self.head) + row + (1 if is_total else 0)
        masked = "masked" if cell.style == "masked" else ""
        return Spot(line, start, self.widths[column], words, cell.ref, cell.value, masked, note=cell.note)

    def start(self) -> tuple[int, int]:
        row = self.table.selected or 0
        cells = self.table.rows[row] if self.table.rows else self.table.total or []
        numbers = [place for place, index in enumerate(self.shown) if cells[index].value is not None]
        return (row, numbers[-1] if numbers else 0)


def _signed(table: Table) -> frozenset[int]:
    columns = range(len(table.columns))
    return frozenset(index for index in columns if any((row[index].bar or 0) < 0 for row in table.rows))


def lay_table(table: Table, width: int, beside: Table | None = None, longest_bar: int = BAR_WIDTHS[1]) -> LaidTable:
    """Natural widths, of this table and one `beside` it, so that both show the same columns; if those are too wide, optional
    columns go (in their turn), then bars, then labels shrink, then it scrolls sideways.

    `longest_bar`: width of a full bar at most.
    """
    everything = [*table.rows, *([table.total] if table.total else [])]
    if beside is not None and [each.title for each in beside.columns] != [each.title for each in table.columns]:
        beside = None
    both = [*everything, *(beside.rows if beside else []), *([beside.total] if beside and beside.total else [])]

    def natural(index: int) -> int:
        return max([cell_len(table.columns[index].title), *(cell_len(row[index].text) for row in both)], default=0)

    widths = {index: natural(index) for index in range(len(table.columns))}
    has_bar = {index: any(row[index].bar is not None for row in both) for index in widths}
    signed = _signed(table)
    room = {index: SIGNED_BAR_WIDTHS if index in signed else (BAR_WIDTHS[0], longest_bar) for index in widths}
    gutter = 2 if table.selected is not None or (beside is not None and beside.selected is not None) else 0

    def needed(shown: list[int], gap: int = GAPS[0]) -> int:
        bars = sum(1 + room[index][0] for index in shown if has_bar[index])
        return gutter + sum(widths[index] for index in shown) + gap * (len(shown) - 1) + bars

    shown = list(widths)
    droppable = [index for index in reversed(shown) if table.columns[index].optional]
    for index in sorted(droppable, key=lambda index: table.columns[index].optional):
        if needed(shown) > width:
            shown.remove(index)
    if needed(shown) > width:
        has_bar = dict.fromkeys(widths, False)
    gap = GAPS[needed(shown) > width]
    over = needed(shown, gap) - width
    if shown and over > 0:
        shortest = max(6, int(width * LABEL_SHARE))
        widths[shown[0]] = max(min(widths[shown[0]], shortest), widths[shown[0]] - over)
    bars = [index for index in shown if has_bar[index]]
    spare = max(0, width - needed(shown)) // max(1, len(bars))
    laid = LaidTable(
        table=table,
        shown=shown,
        widths=[widths[index] for index in shown],
        bar_widths=[min(room[index][1], room[index][0] + spare) if has_bar[index] else 0 for index in shown],
        room=width,
        hidden=len(table.columns) - len(shown),
        gap=gap,
    )
    laid.rows, laid.columns = len(everything), len(shown)
    laid.width = gutter + sum(laid.widths) + gap * (len(shown) - 1) + sum(1 + each for each in laid.bar_widths if each)
    laid.pinned = (gutter + laid.widths[0] + (1 + laid.bar_widths[0] if laid.bar_widths[0] else 0) + gap) if shown else 0
    laid.height = len(laid.head) + len(table.rows) + (2 if table.total else 0)
    taken = (width + (1 + bar if bar else 0) + gap for width, bar in zip(laid.widths[1:], laid.bar_widths[1:], strict=True))
    laid.cuts = (0, *accumulate(taken))
    return laid


LABEL_WIDTH = 14
"""Longest label of a row before it is shortened."""
MARK = 2
"""Room for the mark of the selected row."""
NARROWEST, NARROW, WIDEST = 6, 8, 18
"""Character cells of a cell: the level, the token, a space; where there is room the number in place of the level. The least that
fits a grid whole, the least of one that scrolls, and the most."""
NUMBER = 5
"""Room for a percentage and a space before it."""


@dataclass
class LaidTextGrid(Laid):
    follows: bool = field(init=False, default=True)
    grid: TextGrid
    values: NDArray[np.float32]
    room: int
    """Width of the view in columns."""
    label_width: int = 1
    cell_width: int = NARROW
    numbers: bool = False
    paints: bool = True
    """True where the paper shows the probability; else the level does, where there is no room for the number."""

    @cached_property
    def head(self) -> list[Line]:
        """Title, legend, and the labels of the columns."""
        scale: list[ColouredPiece] = [(f"{self.grid.title}   ", "title")]
        if self.paints:
            scale += legend_bar("sequential", "0%", "100%", 12)
        elif not self.numbers:
            scale.append((f"blank 0%  {eighths_up(0.5)} 50%  {eighths_up(1.0)} 100%", "dim"))
        words = "   ".join(filter(None, (self.grid.legend, self.grid.marked_legend)))
        labels = self.grid.column_labels
        if any(cell_len(label) + 2 > self.cell_width for label in labels):
            labels = ["".join(filter(str.isdecimal, label)) or label for label in labels]
        columns = "".join(fit(" " + label, self.cell_width) for label in labels)
        pinned = ((" " * self.pinned, ""),)
        return [Line(tuple(scale)), *heading("", words, self.room), Line(((columns, "head"),), pinned)]

    def below(self, row: int) -> Line:
        chosen = self.grid.selected is not None and row == self.grid.selected[0]
        label = fit(self.grid.row_labels[row].rstrip(), self.label_width)
        pinned = (("▸ " if chosen else "  ", "mark"), (label + " ", "selected" if chosen else "head"))
        pieces: list[ColouredPiece] = []
        for column, (text, value) in enumerate(zip(self.grid.texts[row], self.values[row].tolist(), strict=True)):
            plain = heat("sequential", value)
            marked = bool(self.grid.marked) and self.grid.marked[row][column]
            words = text.strip() or text
            shown = fit(words, min(cell_len(words), self.cell_width - 2))
            rest = self.cell_width - 1 - cell_len(shown)
            pieces += [
                (" " if self.numbers or self.paints else eighths_up(value), plain),
                (shown, plain._replace(role="selected") if marked else plain),
                (fit(probability(value, 0), rest - 1, "right") + " " if self.numbers else " " * rest, plain),
            ]
        return Line(tuple(pieces), pinned)

    def spot(self, row: int, column: int) -> Spot:
        value = float(self.values[row, column])
        place = f"{self.grid.row_labels[row].strip()} · {self.grid.column_labels[column]}"
        label = f"{place} → “{self.grid.texts[row][column]}” {probability(value)} · Enter goes there"
        start = self.pinned + column * self.cell_width
        to = self.grid.destinations[column]
        to = type(to)(to.stage, to.layer, self.grid.first_position + row)
        return Spot(len(self.head) + row, start, self.cell_width, label, "", None, destination=to)

    def start(self) -> tuple[int, int]:
        return self.grid.selected or (0, 0)


def lay_text_grid(grid: TextGrid, width: int, paints: bool = True) -> LaidTextGrid:
    """Lay out cells as wide as fit, from `NARROWEST` to the longest token; wider ones scroll by whole cells."""
    values = grid.values.numpy()
    rows, columns = values.shape
    label_width = min(LABEL_WIDTH, max((cell_len(label.rstrip()) for label in grid.row_labels), default=0))
    longest = max((cell_len(text.strip() or text) for texts in grid.texts for text in texts), default=1)
    label = max((cell_len(each.removeprefix("layer ")) for each in grid.column_labels), default=1)
    pinned = MARK + label_width + 1
    least = NARROWEST if pinned + columns * NARROWEST <= width else NARROW
    cell_width = max(least, min(longest + 2 + NUMBER, WIDEST, (width - pinned) // max(1, columns)))
    numbers = cell_width >= longest + 2 + NUMBER
    cell_width = cell_width if numbers else min(cell_width, max(least, longest + 2, label + 2))
    laid = LaidTextGrid(grid, values, width, label_width, cell_width, numbers, paints)
    laid.pinned, laid.rows, laid.columns = pinned, rows, columns
    laid.height, laid.width = len(laid.head) + rows, pinned + columns * cell_width
    laid.cuts = tuple(range(0, columns * cell_width + 1, cell_width))
    return laid


GLYPHS = "█▓"
"""Alternate, so that borders show without colour."""
OTHERS = "░"
SHORTEST_LABEL = 3
"""Least character cells of a part with a label."""


@dataclass
class LaidIntervalBar(Laid):
    block: IntervalBar
    room: int
    """Width of the view in columns."""

    @cached_property
    def head(self) -> list[Line]:
        return heading(self.block.title, "", self.room)

    @cached_property
    def edges(self) -> list[int]:
        """Character cell at which each part begins, and where the last one ends."""
        return [round(part.low * self.room) for part in self.block.parts] + [round(self.block.parts[-1].high * self.room)]

    @property
    def caret(self) -> int:
        """Character cell of the number, within the selected part."""
        low, high = self.edges[self.block.selected], self.edges[self.block.selected + 1]
        place = min(int(self.block.mark * self.room), self.room - 1)
        return min(max(place, low), high - 1) if high > low else min(low, self.room - 1)

    def _kind(self, index: int) -> str:
        return "selected" if index == self.block.selected else "dim" if not self.block.parts[index].ref else "bar"

    def _names(self) -> tuple[ColouredPiece, ...]:
        pieces: list[Piece] = []
        for index, part in enumerate(self.block.parts):
            width = self.edges[index + 1] - self.edges[index]
            named = width >= SHORTEST_LABEL
            text = fit(part.label.strip() or part.label, width - 1) + " " if named else " " * width
            pieces.append((text, "head" if self._kind(index) == "bar" else self._kind(index)))
        return merged(pieces)

    def _bar(self) -> tuple[ColouredPiece, ...]:
        pieces: list[Piece] = []
        for index, part in enumerate(self.block.parts):
            glyph = GLYPHS[index % 2] if part.ref else OTHERS
            pieces.append((glyph * (self.edges[index + 1] - self.edges[index]), self._kind(index)))
        return merged(pieces)

    def _caret(self) -> tuple[ColouredPiece, ...]:
        part = self.block.parts[self.block.selected]
        words = f"{self.block.mark_label}: {part.label.strip() or part.label}"
        at, length = self.caret, cell_len(words)
        if at + 2 + length <= self.room:
            return ((" " * at + "▲ " + words, "mark"),)
        return ((fit(words, max(0, at - 1), "right") + (" " if at else "") + "▲", "mark"),)

    def below(self, y: int) -> Line:
        return Line((self._names, self._bar, self._caret)[y]())

    def spot(self, row: int, column: int) -> Spot:
        part = self.block.parts[column]
        start = min(self.edges[column], self.room - 1)
        words = f"{part.label.strip() or part.label} · from {part.low:.4f} to {part.high:.4f}"
        width = max(1, self.edges[column + 1] - start)
        return Spot(len(self.head) + 1, start, width, words, part.ref, part.high - part.low)

    def start(self) -> tuple[int, int]:
        return 0, self.block.selected


def lay_interval_bar(block: IntervalBar, width: int) -> LaidIntervalBar:
    laid = LaidIntervalBar(block, max(8, width))
    laid.rows, laid.columns = 1, len(block.parts)
    laid.height, laid.width = len(laid.head) + 3, laid.room
    return laid
