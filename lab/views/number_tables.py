"""Cells, columns of numbers that align, and sums whose printed terms give the printed total."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lab.core.number_format import fixed, probability, significant, whole
from lab.views.blocks import Array, Cell, Column, StackedStrips, Strip, Table
from lab.views.number_refs import product, ref

Numbers = np.ndarray[Any, np.dtype[Any]]
LEFT = Column("", "left")
"""The column of the rows' names."""

DIGITS = 4
"""Significant figures of the largest number of a column."""
MOST_DECIMALS = 9
DIMENSIONS = 64
"""Most dimensions in the table of numbers."""
OPERAND_DIGITS = range(5, 9)
"""Significant figures that the operands of a printed result may have: the fewest with which they reproduce it."""


def decimals_for(*columns: Numbers | Sequence[float] | float, digits: int = DIGITS) -> int:
    """Decimals with which the largest of the numbers has so many significant figures."""
    largest = max((float(np.abs(np.asarray(column)).max(initial=0.0)) for column in columns), default=0.0)
    if largest == 0.0 or not np.isfinite(largest):
        return digits - 1
    exponent = int(f"{largest:.{digits - 1}e}".partition("e")[2])
    return min(max(0, digits - 1 - exponent), MOST_DECIMALS)


def number(value: float, decimals: int, ref: str = "", style: str = "", bar: float | None = None) -> Cell:
    return Cell(fixed(float(value), decimals), value=float(value), ref=ref, style=style, bar=bar)


def figures(value: float, digits: int, ref: str = "") -> Cell:
    return Cell(significant(float(value), digits), value=float(value), ref=ref)


def share(p: float, digits: int = 0, ref: str = "", style: str = "", note: str = "") -> Cell:
    """A share or probability, with a bar as long; `digits` as those of `probability`."""
    return Cell(probability(p, digits=digits), p, ref, p, note, style)


def integer(value: int, bar: float | None = None) -> Cell:
    return Cell(whole(value), value=float(value), bar=bar)


def integers(values: Iterable[int]) -> list[Cell]:
    """Whole numbers with bars; that of the largest is full."""
    shown = list(values)
    return [integer(value, value / (max(shown) or 1)) for value in shown]


def bars(values: Iterable[float], decimals: int, full: float = 0.0) -> list[Cell]:
    """Numbers with bars; that of `full`, or of the largest of them, is full."""
    shown = list(map(float, values))
    most = full or max(shown, default=0.0) or 1.0
    return [number(value, decimals, bar=value / most) for value in shown]


def by_columns(
    title: str,
    *columns: tuple[str | Column, Iterable[str | Cell]],
    total: list[Cell] | None = None,
    selected: int | None = None,
) -> Table:
    """A table from its columns: of each its title, or the column, and its cells or their texts."""
    heads = [Column(head) if isinstance(head, str) else head for head, _ in columns]
    cells = ([Cell(cell) if isinstance(cell, str) else cell for cell in each] for _, each in columns)
    return Table(heads, [list(row) for row in zip(*cells, strict=True)], title, total, selected)


def strip(title: str, values: Numbers, ref: str) -> Strip:
    return Strip(title, Array.of(values), ref)


def stacked(title: str, vectors: Sequence[tuple[str, Numbers, str]], legend: str = "") -> StackedStrips:
    """Vectors under each other, each with its label and name."""
    labels, values, refs = zip(*vectors, strict=True)
    return StackedStrips(title, list(labels), Array.of(np.stack(values)), list(refs), legend)


def dimensions_title(shown: int, size: int) -> str:
    """Title of a table of a vector's first dimensions."""
    return f"all {size} dimensions" if shown == size else f"the first {shown} of {size} dimensions"


def norm(vector: Numbers) -> float:
    return float(np.sqrt(np.square(vector, dtype=np.float64).sum()))


def cosine(a: Numbers, b: Numbers) -> float:
    """Cosine of the angle between two vectors, 0 where one is zero."""
    lengths = norm(a) * norm(b)
    return float(a.astype(np.float64) @ b) / lengths if lengths else 0.0


def around(count: int, centre: int, limit: int) -> range:
    """At most `limit` indices of `count`, those nearest to `centre`."""
    start = max(0, min(centre - limit // 2, count - limit))
    return range(start, min(count, start + limit))


@dataclass(frozen=True)
class Series:
    """A column of numbers over the rows of a table."""

    title: str
    values: Numbers
    ref: Callable[[int], str]
    """Name of the number in row i."""


def series_table(
    label_title: str, labels: Sequence[str], series: Sequence[Series], decimals: Sequence[int], title: str = ""
) -> Table:
    """One row for each label, one column for each series with its number of decimals."""
    rows = [
        [Cell(label), *(number(each.values[row], places, each.ref(row)) for each, places in zip(series, decimals, strict=True))]
        for row, label in enumerate(labels)
    ]
    return Table([Column(label_title, align="left"), *(Column(each.title) for each in series)], rows, title=title)


def vectors_table(vectors: Sequence[tuple[str, Numbers, str]], position: int) -> Table:
    """The first dimensions of vectors side by side, each with its title and the name of its values at all positions."""
    size = len(vectors[0][1])
    first = min(DIMENSIONS, size)
    series = [Series(title, vector[:first], partial(ref, name, position)) for title, vector, name in vectors]
    decimals = [decimals_for(*(each.values for each in series))] * len(series)
    labels = [str(dimension + 1) for dimension in range(first)]
    return series_table("dimension", labels, series, decimals, title=dimensions_title(first, size))


def rounded(values: Numbers | float, decimals: int) -> Numbers:
    """The numbers as they are printed."""
    return np.round(np.asarray(values, dtype=np.float64), decimals)


def reproduces(computed: Numbers, result: Numbers | float, decimals: int) -> bool:
    """True if the results computed from printed operands agree with the printed ones to one in the last digit."""
    return bool(np.all(np.abs(computed - rounded(result, decimals)) <= 1.0000001 * 10.0**-decimals))


def to_figures(values: Numbers, digits: int) -> Numbers:
    """The numbers as `significant` prints them with so many figures."""
    return np.array([float(f"{value:.{digits - 1}e}") for value in np.asarray(values, dtype=np.float64).tolist()])


def term_decimals(terms: Numbers, total: float, decimals: int) -> int:
    """Decimals for the terms of a sum, at least one more than its total's: as printed, they add up to the printed total."""
    places = range(decimals + 1, decimals + 6)
    return next((each for each in places if reproduces(rounded(terms, each).sum(), total, decimals)), places[-1])


def factor_digits(left: Numbers, right: Numbers, decimals: int) -> int:
    """Significant figures for the factors with which their products give the printed ones."""
    results = left.astype(np.float64) * right

    def enough(digits: int) -> bool:
        return reproduces(to_figures(left, digits) * to_figures(right, digits), results, decimals)

    return next((digits for digits in OPERAND_DIGITS if enough(digits)), OPERAND_DIGITS[-1])


def dot_table(
    title: str,
    left: Series,
    right: Series,
    total: str,
    total_ref: str,
    bias: float | None = None,
    bias_ref: str = "",
    shown: int = 8,
    label: Callable[[int], str] = lambda index: str(index + 1),
) -> Table:
    """A dot product written out by dimension: `left` × `right`, the biggest first; the rest in one row, a bias, and the total."""
    terms = left.values.astype(np.float64) * right.values
    order = np.argsort(-np.abs(terms), kind="stable")
    top, rest = order[:shown], order[shown:]
    extra = [float(terms[rest].sum())] * (len(rest) > 0) + ([] if bias is None else [bias])
    result = float(terms.sum()) + (bias or 0.0)
    decimals = decimals_for(terms, result, digits=3)
    places = term_decimals(np.append(terms[top], extra), result, decimals)
    digits = factor_digits(left.values[top], right.values[top], places)
    rows = [
        [
            Cell(label(index)),
            figures(left.values[index], digits, left.ref(index)),
            figures(right.values[index], digits, right.ref(index)),
            number(terms[index], places, product(left.ref(index), right.ref(index))),
        ]
        for index in top.tolist()
    ]
    if len(rest):
        rows.append([Cell(f"{len(rest)} others", style="dim"), Cell(""), Cell(""), number(extra[0], places, style="dim")])
    if bias is not None:
        rows.append([Cell("bias"), Cell(""), Cell(""), number(bias, places, bias_ref)])
    columns = [Column("dimension", align="left"), Column(left.title), Column(right.title), Column("product")]
    sum_row = [Cell(total), Cell(""), Cell(""), number(result, decimals, total_ref)]
    return Table(columns, rows, title=title, total=sum_row)
