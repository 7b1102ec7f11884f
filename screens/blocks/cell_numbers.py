"""Formats of the numbers in the cells of a matrix, the most exact first: shares of 1 in percent, others in decimals."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lab.core.number_format import fixed, significant


@dataclass
class NumberFormat:
    """A way to write the numbers of a matrix in its cells."""

    texts: list[list[str]]
    width: int
    """Least width of a cell."""
    words: str = ""
    """Explanation in the legend."""


def short(value: float) -> str:
    """`value` in few characters: two decimals below 10, fewer above."""
    size = abs(value)
    if value == 0:
        return "0"
    if size < 100:
        return fixed(value, 2 if size < 9.995 else 1)
    return fixed(value, 0) if size < 9_999.5 else significant(value, 1)


def share_formats(values: NDArray[np.float32]) -> list[NumberFormat]:
    """Shares of 1 in percent, to one decimal or none."""
    # Only shares of 100% have three digits, and in a row that sums to 1 nothing stands beside such a one.
    exact = _format(values, lambda share: "" if share < 0.0005 else "100" if share >= 0.9995 else f"{share * 100:.1f}", 4)
    whole = _format(values, lambda share: "" if share < 0.005 else f"{share * 100:.0f}", 2)
    return [replace(exact, words="in %, blank below 0.05"), replace(whole, words="in %, blank below 0.5")]


def decimal_formats(values: NDArray[np.float32]) -> list[NumberFormat]:
    """Values to two decimals, or to one."""
    largest = float(np.nanmax(np.abs(values), initial=0))
    found = [_format(values, short)]
    return [*found, _format(values, lambda value: fixed(value, 1))] if 1 <= largest < 100 else found


def _format(values: NDArray[np.float32], write: Callable[[float], str], longest: int | None = None) -> NumberFormat:
    texts = [["" if value != value else write(value) for value in row] for row in values.tolist()]
    return NumberFormat(texts, (longest or max((len(text) for row in texts for text in row), default=1)) + 1)
