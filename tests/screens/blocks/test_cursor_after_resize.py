"""The cell cursor of a view that has fewer places after a change of its width: on its number, else on one in sight."""

import numpy as np
from textual.app import App, ComposeResult

from lab.views.blocks import Array, Cell, Column, Gallery, Table, Thumbnail, View
from screens.blocks.block_view import BlockView


class ViewApp(App[None]):
    def compose(self) -> ComposeResult:
        yield BlockView()


def gallery(layers: int, heads: int) -> View:
    picture = Array.of(np.full((8, 8), 0.5, dtype=np.float32))
    thumbnails = [Thumbnail(f"{n}", picture, "", "a head", float(n), f"e[{n}]") for n in range(layers * heads)]
    return View(stage="thumbnails", title="all", sentence="", blocks=[Gallery("all", "", thumbnails, heads)])


async def test_the_cursor_stays_on_its_thumbnail_where_a_wider_screen_has_fewer_lines_of_them() -> None:
    app = ViewApp()
    async with app.run_test(size=(30, 40)) as pilot:
        view = app.query_one(BlockView)
        view.show(gallery(2, 12))
        view.focus()
        await pilot.press(*["down"] * 20)
        assert view.spot is not None
        ref = view.spot.ref
        for width in (200, 30, 90):
            await pilot.resize_terminal(width, 40)
            await pilot.pause()
            assert view.spot is not None
            assert view.spot.ref == ref


async def test_the_cursor_leaves_a_column_that_a_narrower_screen_does_not_show() -> None:
    columns = [Column("name"), *(Column(f"a long title {n}", optional=n) for n in range(1, 5))]
    rows = [[Cell("a"), *(Cell(f"{n}", float(n), f"x[{n}]") for n in range(1, 5))]]
    app = ViewApp()
    async with app.run_test(size=(120, 20)) as pilot:
        view = app.query_one(BlockView)
        view.show(View(stage="heads", title="", sentence="", blocks=[Table(columns, rows)]))
        view.focus()
        await pilot.press("end")
        assert view.spot is not None
        assert view.spot.ref == "x[4]"
        await pilot.resize_terminal(30, 20)
        await pilot.pause()
        assert view.cursor is not None
        assert view.laid.has(view.cursor)
