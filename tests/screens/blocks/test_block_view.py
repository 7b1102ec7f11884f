"""The widget of a view: its cursor after a resize, where it opens, and a paint after its removal."""

import numpy as np
import pytest
from textual.geometry import Region

from lab.views.blocks import Array, Cell, Column, Gallery, Matrix, MatrixPanels, Paragraph, Table, Thumbnail, View
from tests.screens.blocks.conftest import shown
from tests.screens.pilot_waits import press, settle


def gallery(side: int, count: int, group: int, chosen: int = 0, sentence: str = "") -> View:
    picture = Array.of(np.full((side, side), 0.5, dtype=np.float32))
    thumbnails = [Thumbnail(f"{n}", picture, "", "a head", float(n), f"e[{n}]") for n in range(count)]
    return View("thumbnails", "all", sentence, [Gallery("all", "", thumbnails, group, chosen)])


async def test_the_cursor_stays_on_its_thumbnail_where_a_wider_screen_has_fewer_lines_of_them() -> None:
    async with shown(gallery(8, 24, 12), 30, 40) as (view, pilot):
        view.focus()
        await press(pilot, *["down"] * 20)
        assert view.spot is not None
        ref = view.spot.ref
        for width in (200, 30, 90):
            await pilot.resize_terminal(width, 40)
            await settle(pilot)
            assert view.spot is not None
            assert view.spot.ref == ref


async def test_the_cursor_leaves_a_column_that_a_narrower_screen_does_not_show() -> None:
    columns = [Column("name"), *(Column(f"a long title {n}", optional=n) for n in range(1, 5))]
    rows = [[Cell("a"), *(Cell(f"{n}", float(n), f"x[{n}]") for n in range(1, 5))]]
    async with shown(View("heads", "", "", [Table(columns, rows)]), 120, 20) as (view, pilot):
        view.focus()
        await press(pilot, "end")
        assert view.spot is not None
        assert view.spot.ref == "x[4]"
        await pilot.resize_terminal(30, 20)
        await settle(pilot)
        assert view.cursor is not None
        assert view.laid.has(view.cursor)


async def test_the_number_under_the_cursor_is_copied_exactly_and_without_a_cursor_the_whole_view() -> None:
    third = float(np.float32(1 / 3))
    rows = [[Cell(f"row {n}"), Cell("0.333", third, f"x[{n}]")] for n in range(40)]
    async with shown(View("heads", "", "In words.", [Table([Column("name"), Column("third")], rows)]), 60, 10) as (view, pilot):
        text = view.text_to_copy()
        assert "In words." in text
        assert "row 39" in text, "also what is out of sight"
        view.focus()
        await press(pilot, "down", "end")
        assert np.float32(view.text_to_copy()) == np.float32(1 / 3)


@pytest.mark.parametrize(
    ("side", "chosen", "lines", "first"), [(12, 1, 18, "head one"), (12, 1, 17, "all"), (4, 2, 18, "head one"), (12, 2, 17, None)]
)
async def test_thumbnails_open_with_the_whole_sentence_or_none_of_it(
    side: int, chosen: int, lines: int, first: str | None
) -> None:
    words = "head one\nis diffuse\nat this token\nof the prompt\nas its\nentropy\nis high"
    async with shown(gallery(side, 6, 2, chosen, words), 30, lines) as (view, _):
        spot = view.laid.spot(view.laid.followed())  # type: ignore[arg-type]
        assert not view.top or view.top <= spot.line < view.top + view.window, "from the top, or the chosen one is in sight"
        assert view.draw(view.top).text.startswith(first) if first else view.top > view.laid.tops[1]


async def test_a_wide_table_scrolls_sideways_to_the_cursor_and_thumbnails_stay_in_place_under_a_longer_sentence() -> None:
    columns = [Column("key", "left"), *(Column(f"column {n}") for n in range(12))]
    row = [Cell("row"), *(Cell("0.123456", 0.1, f"x[{n}]") for n in range(12))]
    async with shown(View("scores", "", "", [Table(columns, [row])]), 40, 12) as (view, pilot):
        view.focus()
        await press(pilot, "home")
        lefts = []
        for key in [*["right"] * 8, *["left"] * 8]:
            await press(pilot, key)
            lefts.append(view.left)
        assert lefts[0] == lefts[-1] == 0
        assert 0 < max(lefts) == lefts[7]
        assert (lefts[:8], lefts[8:]) == (sorted(lefts[:8]), sorted(lefts[8:], reverse=True))
        places = []
        for sentence in ("Short.", "A sentence\nof three\nlines."):
            view.show(gallery(8, 24, 12, 20, sentence))
            places.append(view.laid.spot(view.laid.followed()).line - view.top)  # type: ignore[arg-type]
        assert view.top > 0
        assert places[0] == places[1]


@pytest.mark.parametrize("lines", [8, 12])
async def test_matrices_open_with_their_sentence_wherever_the_selected_row_is(lines: int) -> None:
    view = seeded(1)
    assert isinstance(view.blocks[0], Matrix)
    view.blocks[0].selected = (11, 0)
    view.blocks[0] = MatrixPanels([view.blocks[0]], 0)
    async with shown(View("before", "", "Another stage.", []), 50, lines) as (shown_view, _):
        shown_view.show(view)
        assert shown_view.top == 0
        assert "Made of seed 1." in shown_view.draw(0).text


async def test_the_selected_row_stays_in_sight_where_the_sentence_grows_or_there_is_less_room() -> None:
    def pattern(tokens: int, sentence: str) -> View:
        matrix = seeded(1, tokens).blocks[0]
        assert isinstance(matrix, Matrix)
        matrix.selected = (tokens - 1, 0)
        return View("matrix", "m", sentence, [MatrixPanels([matrix], 0), Paragraph("More.")])

    async with shown(pattern(8, "Short."), 50, 16) as (view, pilot):

        def has_row() -> bool:
            return any("▸" in view.render_line(y).text for y in range(view.window))

        assert (view.top, has_row()) == (0, True)
        for tokens, sentence, lines in ((8, "Of\nfive\nlines\nnow.", 16), (8, "Short.", 16), (8, "Short.", 12), (9, "Short.", 9)):
            view.show(pattern(tokens, sentence))
            await pilot.resize_terminal(50, lines)
            await settle(pilot)
            assert has_row(), (tokens, sentence, lines)


def seeded(seed: int, tokens: int = 12) -> View:
    numbers = np.random.default_rng(seed).random((tokens, tokens), dtype=np.float32)
    labels = [f"token {n}" for n in range(tokens)]
    table = Table([Column("n"), Column("x")], [[Cell(str(n)), Cell(f"{seed}.{n}", seed + n, f"x[{n}]")] for n in range(tokens)])
    blocks = [Matrix("m", labels, labels, Array.of(numbers), ref="m[:,:]"), table]
    return View("matrix", f"seed {seed}", f"Made of seed {seed}.", blocks)


async def test_a_view_that_is_painted_once_more_after_its_removal_is_blank() -> None:
    """As happens while another one is mounted in its place."""
    async with shown(View("stage", "title", "", [Paragraph("words")]), 80, 24) as (view, _):
        assert "words" in "".join(strip.text for strip in view.render_lines(Region(0, 0, 20, 4)))
        view.notify_style_update()
        await view.remove()
        assert [strip.text for strip in view.render_lines(Region(0, 0, 20, 4))] == [" " * 20] * 4


async def test_a_window_is_filled_with_as_many_rows_as_it_has_room_for_or_with_none() -> None:
    rows = [[Cell(f"row {n}"), Cell("1", 1.0, f"x[{n}]")] for n in range(20)]
    table = Table([Column("name"), Column("one")], rows, "most")
    above = Table(table.columns, [[Cell("above"), Cell("1", 1.0, "y")]])
    async with shown(View("tokens", "", "In words.", [above], fill=table), 60, 40) as (view, pilot):
        for height, count in ((40, 20), (20, 11), (13, 0), (14, 5), (4, 0), (60, 20)):
            await pilot.resize_terminal(60, height)
            await settle(pilot)
            shown_rows = view.text_to_copy().count("row ")
            assert shown_rows == count, (height, view.window, view.extent)
            assert view.extent[0] <= view.window or not count, "nothing of it is out of sight"
