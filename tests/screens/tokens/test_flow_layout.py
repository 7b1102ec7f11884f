"""Tokens side by side in rows."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from screens.tokens.token_flow import FlowLayout, JoinedCharacters, lay_tokens


def lay(
    widths: list[int], breaks: list[int], room: int, gap: int = 0, joined: tuple[tuple[int, int], ...] = (), below: int = 0
) -> FlowLayout:
    firsts, ends = np.array(joined, np.int64).reshape(-1, 2).T
    return lay_tokens(np.array(widths, np.int64), np.array(breaks, np.int64), room, gap, JoinedCharacters(firsts, ends), below)


def rows_of(layout: FlowLayout) -> list[list[int]]:
    return [list(layout.tokens_of(row)) for row in range(len(layout.rows))]


def test_a_row_ends_where_there_is_no_room_or_the_text_has_a_line_break() -> None:
    layout = lay([3, 4, 1, 3, 50], [2], 12, gap=1)
    assert rows_of(layout) == [[0, 1, 2], [3], [4]]
    assert [layout.start_of(token) for token in range(5)] == [0, 4, 9, 0, 0]
    assert layout.widths[4] == 11, "as wide as the room at most"
    assert (layout.height, layout.lines) == (3, [0, 1, 2])
    assert [layout.token_at(0, cell) for cell in (0, 3, 4, 9, 40)] == [0, 0, 1, 2, 2]


def test_a_character_of_several_tokens_stays_whole_and_stands_above_them() -> None:
    layout = lay([5, 5, 2, 2, 1], [], 12, joined=((1, 4),))
    assert rows_of(layout) == [[0], [1, 2, 3, 4]]
    assert (layout.lines, layout.height) == ([0, 2], 3)
    assert [layout.row_at(line) for line in range(3)] == [(0, 0), (1, -1), (1, 0)]
    roomy = lay([5, 5, 2, 2, 1], [], 12, joined=((1, 4),), below=1)
    assert (roomy.lines, roomy.height) == ([0, 3], 5)
    assert [roomy.row_at(line) for line in range(5)] == [(0, 0), (0, 1), (1, -1), (1, 0), (1, 1)]
    assert list(layout.joined_in(0)) == []
    assert list(layout.joined_in(1)) == [0]


@settings(max_examples=60)
@given(st.lists(st.integers(1, 30), max_size=60), st.sets(st.integers(0, 59)), st.integers(1, 25), st.integers(0, 1), st.data())
def test_every_token_is_in_one_row_that_is_no_wider_than_the_room(
    widths: list[int], breaks: set[int], room: int, gap: int, data: st.DataObject
) -> None:
    room = max(room, gap + 1)
    joined, at = [], 0
    while at + 2 <= len(widths) and data.draw(st.booleans()):
        first = data.draw(st.integers(at, len(widths) - 2))
        end = data.draw(st.integers(first + 2, min(len(widths), first + 4)))
        joined.append((first, end))
        at = end - data.draw(st.integers(0, 1))  # a token may hold the end of one character and the beginning of the next
    layout = lay(widths, sorted(at for at in breaks if at < len(widths)), room, gap, tuple(joined))
    assert [token for row in rows_of(layout) for token in row] == list(range(len(widths)))
    for row, tokens in enumerate(rows_of(layout)):
        assert sum(layout.widths[token] + gap for token in tokens) <= room
        assert not set(tokens[:-1]) & breaks
        assert [layout.token_at(row, layout.start_of(token)) for token in tokens] == tokens
        above = [at for at, (first, end) in enumerate(joined) if first <= tokens[-1] and end > tokens[0]]
        assert list(layout.joined_in(row)) == above
        assert layout.lines[row] - (layout.lines[row - 1] if row else -1) == 1 + bool(above)
