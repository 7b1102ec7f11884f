"""Layout of tokens side by side in rows, with a line above a row that holds a character of several tokens."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lab.tokenization.token_alignment import Ints, wrap_rows

NO_TOKENS = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Joined:
    """A character that no single token holds, over the tokens [first, end) that do."""

    character: str
    first: int
    end: int


@dataclass(frozen=True, eq=False)
class JoinedCharacters:
    """All characters that no single token holds, in order."""

    firsts: Ints
    ends: Ints
    label_of: Callable[[int], str] = str
    """The label of the character with that number, asked for where it is in sight."""


NONE_JOINED = JoinedCharacters(NO_TOKENS, NO_TOKENS)


@dataclass(frozen=True, eq=False)
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
    joined: JoinedCharacters
    joined_firsts: Sequence[int]
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

    def joined_in(self, row: int) -> list[Joined]:
        """The joined characters that have tokens in a row."""
        if not self.joined_ends:
            return []
        tokens = self.tokens_of(row)
        first, end = bisect_right(self.joined_ends, tokens.start), bisect_left(self.joined_firsts, tokens.stop)
        return [Joined(self.joined.label_of(at), self.joined_firsts[at], self.joined_ends[at]) for at in range(first, end)]


def lay_tokens(widths: Ints, breaks: Ints, room: int, gap: int = 0, joined: JoinedCharacters = NONE_JOINED) -> FlowLayout:
    """Wrap tokens into rows. `breaks` are the tokens after which a row ends, in order: those with a line break.

    The tokens of a joined character stay in one row where they fit; a token wider than the room is as wide as the room.
    """
    widths = np.minimum(widths, max(1, room - gap))
    ends = np.cumsum(widths + gap)
    if not len(joined.firsts):
        rows = wrap_rows(ends, breaks, room)
        return FlowLayout(widths.tolist(), gap, ends.tolist(), rows, range(len(rows)), len(rows), joined, (), ())
    joined_firsts, joined_ends = joined.firsts.tolist(), joined.ends.tolist()

    def whole_characters(start: int, end: int) -> int:
        """`end`, or the first token of the joined character that it would cut, unless that has begun with the row."""
        moved = end
        while (at := bisect_right(joined_ends, moved)) < len(joined_ends) and start < joined_firsts[at] < moved:
            moved = joined_firsts[at]
        return moved

    rows = wrap_rows(ends, breaks, room, whole_characters)
    starts = np.array(rows)
    first_joined = np.searchsorted(joined.ends, starts, "right")
    has_joined = np.append(joined.firsts, len(widths))[first_joined] < np.append(starts[1:], len(widths))
    lines = (np.arange(len(rows)) + np.cumsum(has_joined)).tolist()
    return FlowLayout(widths.tolist(), gap, ends.tolist(), rows, lines, lines[-1] + 1, joined, joined_firsts, joined_ends)
