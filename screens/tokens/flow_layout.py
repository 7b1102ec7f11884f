"""Layout of tokens side by side in rows, with a line above a row that holds a character of several tokens."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Joined:
    """A character that no single token holds, over the tokens [first, end) that do."""

    character: str
    first: int
    end: int


@dataclass(frozen=True)
class FlowLayout:
    """Tokens in rows of at most `room` cells, `gap` cells behind each. A row with joined characters has a line for them above."""

    widths: Sequence[int]
    """Cells of each token, no wider than the room."""
    gap: int
    ends: Sequence[int]
    """Cells of all tokens up to and with each, gaps included."""
    rows: Sequence[int]
    """The first token of each row."""
    lines: Sequence[int]
    """The line of each row's tokens."""
    height: int
    joined: Sequence[Joined]
    joined_ends: Sequence[int]

    def row_at(self, line: int) -> tuple[int, bool]:
        """The row that a line belongs to; True for the row's tokens, False for the line above them."""
        row = bisect_left(self.lines, line)
        return row, row < len(self.lines) and self.lines[row] == line

    def row_of(self, token: int) -> int:
        """The row that holds a token."""
        return bisect_right(self.rows, token) - 1

    def tokens_of(self, row: int) -> range:
        """The tokens of a row."""
        return range(self.rows[row], self.rows[row + 1] if row + 1 < len(self.rows) else len(self.widths))

    def start_of(self, token: int) -> int:
        """The token's first cell in its row."""
        return self._before(token) - self._before(self.rows[self.row_of(token)])

    def _before(self, token: int) -> int:
        return self.ends[token - 1] if token else 0

    def token_at(self, row: int, cell: int) -> int:
        """The token at a cell of a row, or the nearest one in it."""
        tokens = self.tokens_of(row)
        found = bisect_right(self.ends, self._before(tokens.start) + max(0, cell), tokens.start, tokens.stop)
        return min(found, tokens.stop - 1)

    def joined_in(self, row: int) -> Sequence[Joined]:
        """The joined characters that have tokens in a row."""
        tokens = self.tokens_of(row)
        first = bisect_right(self.joined_ends, tokens.start)
        found = []
        while first < len(self.joined) and self.joined[first].first < tokens.stop:
            found.append(self.joined[first])
            first += 1
        return found


def lay_tokens(
    widths: Sequence[int], breaks: Sequence[int], room: int, gap: int = 0, joined: Sequence[Joined] = ()
) -> FlowLayout:
    """Wrap tokens into rows. `breaks` are the tokens after which a row ends, in order: those with a line break.

    The tokens of a joined character stay in one row where they fit; a token wider than the room is as wide as the room.
    """
    most = max(1, room - gap)
    widths = [min(width, most) for width in widths]
    ends = list(accumulate(width + gap for width in widths))
    number = len(widths)
    joined_firsts, joined_ends = [each.first for each in joined], [each.end for each in joined]
    rows: list[int] = []
    start = 0
    while start < number:
        rows.append(start)
        before = ends[start - 1] if start else 0
        end = bisect_right(ends, before + room, start, number)
        if joined:
            end = _whole_characters(start, end, joined_firsts, joined_ends)
        at = bisect_left(breaks, start)
        if at < len(breaks):
            end = min(end, breaks[at] + 1)
        start = max(end, start + 1)
    if not joined:
        return FlowLayout(widths, gap, ends, rows, range(len(rows)), len(rows), (), ())
    lines, line, at = [], 0, 0
    for row, first in enumerate(rows):
        stop = rows[row + 1] if row + 1 < len(rows) else number
        while at < len(joined) and joined_ends[at] <= first:
            at += 1
        line += at < len(joined) and joined_firsts[at] < stop
        lines.append(line)
        line += 1
    return FlowLayout(widths, gap, ends, rows, lines, line, tuple(joined), joined_ends)


def _whole_characters(start: int, end: int, firsts: list[int], ends: list[int]) -> int:
    """`end`, or the first token of the joined character that it would cut, unless that has begun with the row."""
    moved = end
    while (at := bisect_right(ends, moved)) < len(ends) and start < firsts[at] < moved:
        moved = firsts[at]
    return moved
