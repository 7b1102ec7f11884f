"""Wrapping of thousands of parts of a text, such as its tokens, into rows of so many cells."""

from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np

Ints = np.ndarray[Any, np.dtype[np.int64]]


def wrap_rows(ends: Ints, breaks: Ints, room: int, end_of_row: Callable[[int, int], int] | None = None) -> list[int]:
    """The first part of each row. `ends` are the cells of all parts up to and with each, `breaks` the parts after which a row
    ends, in order.

    Lines that fit into the room are wrapped all at once. In a longer one `end_of_row`, asked with a row's first part and the one
    that does not fit any more, may end the row sooner. A part wider than the room is a row.
    """
    number = len(ends)
    lines = np.concatenate((np.zeros(1, np.int64), breaks + 1))
    lines = lines[lines < number]
    stops = np.append(lines[1:], number)
    befores = np.append(np.zeros(1, np.int64), ends)[lines]
    rows: list[int] = lines.tolist()
    long = np.flatnonzero(ends[stops - 1] - befores > room).tolist() if number else []
    if not long:
        return rows
    all_ends = ends.tolist()
    found: list[int] = []
    at = 0
    for line in long:
        found += rows[at:line]
        at = line + 1
        start, stop = rows[line], int(stops[line])
        while start < stop:
            found.append(start)
            end = min(stop, bisect_right(all_ends, (all_ends[start - 1] if start else 0) + room, start, number))
            if end < stop and end_of_row:
                end = end_of_row(start, end)
            start = max(end, start + 1)
    return found + rows[at:]
