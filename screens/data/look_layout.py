"""Layout of the page Look: panels with bars in as many columns as fit, the map of repeats, and a sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size

from lab.core.number_format import probability, whole
from lab.data.statistics import statistics_view
from lab.data.statistics.text_profile import TextProfile, TextSample
from lab.views.blocks import Table
from screens.blocks.block_layout import eighths_up
from screens.blocks.table_layout import lay_table
from screens.colour import ColouredPiece
from screens.widgets.piece_lines import wrap_pieces
from screens.widgets.text_fitting import fit, wrap

LookLine = Sequence[ColouredPiece]

NARROWEST_COLUMN = 36
"""Least width of a column of panels: a name, a count, a share and a short bar."""
GAP = 3
HIGHEST_PANEL = 14
"""Rows of a panel, but for a summary of the rest."""


@dataclass
class LookPicture:
    """The lines, and what a click on some of them stands for."""

    lines: list[LookLine] = field(default_factory=list)
    map_lines: range = range(0)
    map_cells: range = range(0)
    """Character cells of the map: the whole text, from its beginning to its end."""
    passages: dict[int, int] = field(default_factory=dict)
    """Line and number of the passage on it."""

    def place_at(self, line: int, x: int) -> float | None:
        """The place in the text, 0 to 1, that a click leads to."""
        if line in self.map_lines and x in self.map_cells:
            return (x - self.map_cells.start) / len(self.map_cells)
        return None


def lay_profile(profile: TextProfile, width: int) -> LookPicture:
    """All statistics of a text on lines of `width` cells: facts, map, panels in columns, repeated lines and passages."""
    picture = LookPicture()
    found = profile.statistics
    picture.lines += flowing(statistics_view.profile_facts(profile), width)
    picture.lines.append([])
    _add_map(picture, profile, width)
    picture.lines.append([])
    tables = [statistics_view.files_table(profile, HIGHEST_PANEL)] if len(profile.files) > 1 else []
    tables += [
        statistics_view.scripts_table(found, HIGHEST_PANEL),
        statistics_view.words_table(found, HIGHEST_PANEL),
        statistics_view.line_lengths_table(found.lengths),
        statistics_view.characters_table(found, HIGHEST_PANEL),
        statistics_view.languages_table(found, HIGHEST_PANEL),
        statistics_view.characters_table(found, HIGHEST_PANEL, rare=True),
    ]
    number, room = columns_of(width)
    tables.append(statistics_view.lines_table(found, HIGHEST_PANEL, max(8, room - 20)))
    picture.lines += in_columns([table for table in tables if table.rows], number, room)
    passages = statistics_view.passages_table(found, shown=max(8, width - 50))
    if passages.rows:
        drawn = table_lines(passages, width)
        first = len(picture.lines) + 1 + len(drawn) - len(passages.rows)
        picture.passages = {first + number: number for number in range(len(passages.rows))}
        picture.lines += [[], *drawn]
    if found.rare_words:
        picture.lines += [[], [("some words that occur once", "title")]]
        picture.lines += [[(line, "cell")] for line in wrap("  ".join(found.rare_words), width)]
    return picture


def _add_map(picture: LookPicture, profile: TextProfile, width: int) -> None:
    """The share of repeated text along the text: a bar for each part of it, as high as the share."""
    found = profile.statistics
    words = "share of repeated text, from the beginning to the end of the text"
    picture.lines.append(cropped([("repeats", "title"), (f"  {words}", "dim")], width))
    if found.repeats is None:
        picture.lines.append([("mapped once all of the text has been read", "dim")])
    else:
        cells = max(8, width - 2)
        bars = "".join(map(eighths_up, resampled(found.repeats.density, cells)))
        picture.map_lines = range(len(picture.lines), len(picture.lines) + 1)
        picture.map_cells = range(1, 1 + cells)
        picture.lines.append([("▕", "dim"), (bars, "bar"), ("▏", "dim")])
    picture.lines += [[(line, "cell")] for line in wrap(statistics_view.describe_repeats(found), width)]


def resampled(shares: Sequence[float], cells: int) -> list[float]:
    """Shares of equal parts of a text as shares of so many parts; where several fall into one, their mean."""
    total = len(shares)
    found = []
    for cell in range(cells):
        first = cell * total // cells
        last = max(first + 1, (cell + 1) * total // cells)
        found.append(sum(shares[first:last]) / (last - first))
    return found


def columns_of(width: int) -> tuple[int, int]:
    number = max(1, min((width + GAP) // (NARROWEST_COLUMN + GAP), 4))
    return number, (width - GAP * (number - 1)) // number


def flowing(facts: Sequence[tuple[str, str]], width: int) -> list[LookLine]:
    """Facts, label and value, one after another on as few lines as they need."""
    lines: list[list[ColouredPiece]] = []
    room = 0
    for label, value in facts:
        size = cell_len(label) + 1 + cell_len(value)
        if lines and size + GAP <= room:
            lines[-1] += [(" " * GAP, ""), (label, "dim"), (f" {value}", "cell")]
            room -= size + GAP
            continue
        first, *rest = wrap(value, max(8, width - cell_len(label) - 1))
        lines.append([(label, "dim"), (f" {first}", "cell")])
        lines += [[(line, "cell")] for line in rest]
        room = width - size if not rest else width - cell_len(rest[-1])
    return [*lines]


def in_columns(tables: Sequence[Table], number: int, room: int) -> list[LookLine]:
    """Tables in columns of one width, each put under the column that is shortest."""
    columns: list[list[LookLine]] = [[] for _ in range(number)]
    for table in tables:
        shortest = min(columns, key=len)
        if shortest:
            shortest.append([])
        shortest += table_lines(table, room)
    lines: list[LookLine] = []
    for y in range(max(map(len, columns), default=0)):
        line: list[ColouredPiece] = []
        for at, column in enumerate(columns):
            cell = column[y] if y < len(column) else []
            used = sum(cell_len(text) for text, _ in cell)
            line += cell if at == number - 1 else [*cell, (" " * (room - used + GAP), "")]
        lines.append(line)
    return lines


def table_lines(table: Table, width: int) -> list[LookLine]:
    """A table with its title on lines of at most `width` cells."""
    laid = lay_table(table, width)
    lines = (laid.line(y) for y in range(laid.height))
    return [cropped((*line.pinned, *line.pieces), width) for line in lines]


def cropped(pieces: Iterable[ColouredPiece], width: int) -> list[ColouredPiece]:
    """The pieces on at most `width` cells, with an ellipsis where they are cut."""
    found: list[ColouredPiece] = []
    used = 0
    for text, kind in pieces:
        size = cell_len(text)
        if used + size > width:
            rest = width - used
            cut = set_cell_size(text, rest - 1) if rest > 1 else ""
            found += [(cut, kind), ("…", "dim")] if text.strip() and rest > 0 else [(" " * rest, "")]
            break
        found.append((text, kind))
        used += size
    return found


def lay_sample(sample: TextSample, width: int) -> list[LookLine]:
    cells = max(8, width - 2)
    at = min(cells - 1, sample.start * cells // max(1, sample.total))
    share = probability(sample.start / max(1, sample.total))
    words = f"from character {whole(sample.start + 1)} of {whole(sample.total)}, {share}"
    lines: list[LookLine] = [
        [("▕", "dim"), ("─" * at, "dim"), ("●", "mark"), ("─" * (cells - at - 1), "dim"), ("▏", "dim")],
        [(fit(words, width), "dim")],
        [],
    ]
    beginning = "…" if sample.start else ""
    end = "…" if sample.start + len(sample.text) < sample.total else ""
    return [*lines, *wrap_pieces([(beginning, "dim"), (sample.text, "cell"), (end, "dim")], width)]
