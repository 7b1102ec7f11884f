"""Curves and tables of a study: those of all recorded seeds, or those of here beside them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from lab.core.number_format import fixed, whole
from lab.core.visible_text import visible
from lab.studies.study_job import CellValue, Plot, Rows
from lab.views.blocks import Cell, Column, Table, View
from screens.plot.figure import RUN_ROLES, Figure, Series

DASHES = (None, (2, 2), (5, 2), (1, 2), (7, 3))
"""Dashes of the curves of one plot, which tell them apart without colour."""

MOST_DECIMALS = 2
"""Decimals of a number in a table: those that it was recorded with, such as 47 of 100, and no more than these."""


def title_of(plot: Plot) -> str:
    """The title with the words of the y axis: the legend has no room for these."""
    return visible(f"{plot.title} · y: {plot.y}")


def figure_of(
    plot: Plot, curves: Mapping[str, list[tuple[float, float]]], seeds: Sequence[Mapping[str, list[tuple[float, float]]]] = ()
) -> Figure:
    """The curves of a plot, each in a colour and with dashes of its own, and the points of each recorded seed as dots."""
    series = list[Series]()
    for at, (name, points) in enumerate(curves.items()):
        words, role = visible(name), RUN_ROLES[at % len(RUN_ROLES)]
        series.append(Series(words, words, "marked", role, *_columns(points), dashes=DASHES[at % len(DASHES)]))
        dots = [each[name] for each in seeds if each.get(name)]
        series += [Series(words, words, "dots", role, *_columns(each), in_legend=False) for each in dots]
    window = (plot.low, plot.high) if plot.low is not None and plot.high is not None else None
    version = (plot, sum(map(len, curves.values())), tuple(points[-1] for points in curves.values()))
    return Figure(tuple(series), version, x_label=visible(plot.x), y_window=window, empty="Nothing measured yet.")


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """From the lowest x up: a plot draws its curves so, and a measured x, such as a KL divergence, does not only rise."""
    in_order = sorted(points)
    return [x for x, _ in in_order], [y for _, y in in_order]


def table_view(rows: Rows, seeds: Sequence[Rows], title: str) -> View:
    """A table of a study: words to the left, numbers to the right, below each row the lowest and the highest of `seeds`."""
    columns = list(zip(*(row for table in (rows, *seeds) for row in table.rows), strict=True))
    decimals = [_decimals(column) for column in columns]
    cells = list[list[Cell]]()
    for at, row in enumerate(rows.rows):
        cells.append([_cell(value, most) for value, most in zip(row, decimals, strict=True)])
        if len(seeds) > 1:
            of_seeds = zip(*(table.rows[at][1:] for table in seeds), strict=True)
            cells.append([Cell(f"  {len(seeds)} seeds"), *map(_ends, of_seeds, decimals[1:])])
    first = rows.rows[0] if rows.rows else ()
    columns_shown = [
        Column(visible(name), "left" if at < len(first) and isinstance(first[at], str) else "right")
        for at, name in enumerate(rows.columns)
    ]
    return View("study", visible(title), "", [Table(columns_shown, cells)])


def _decimals(column: Sequence[CellValue]) -> int:
    """The decimals that a column is shown with: those of its number that was recorded with most."""
    recorded = (f"{Decimal(repr(value)):f}".rstrip("0") for value in column if isinstance(value, float))
    return min(MOST_DECIMALS, max((len(number.partition(".")[2]) for number in recorded), default=0))


def _ends(column: tuple[Any, ...], decimals: int) -> Cell:
    """The lowest and the highest number of a column of seeds."""
    if isinstance(column[0], str):
        return Cell("")
    low, high = (_cell(end(column), decimals).text for end in (min, max))
    return Cell(f"{low}–{high}" if low != high else low)


def _cell(value: CellValue, decimals: int) -> Cell:
    if isinstance(value, str):
        return Cell(visible(value))
    return Cell(whole(value) if isinstance(value, int) else fixed(value, decimals), value=float(value))
