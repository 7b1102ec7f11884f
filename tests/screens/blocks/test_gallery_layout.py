"""Gallery layout: thumbnails of all heads on their grid, and the chosen one in sight."""

import numpy as np
import pytest
from rich.cells import cell_len

from lab.views.blocks import Array, Gallery, Thumbnail, View
from screens.blocks.block_layout import Line
from screens.blocks.gallery_layout import lay_gallery
from screens.blocks.view_layout import lay_view


def text_of(line: Line) -> str:
    return "".join(text for text, _ in (*line.pinned, *line.pieces))


def gallery(layers: int = 3, heads: int = 4, shape: tuple[int, int] = (4, 8), selected: int = 0) -> Gallery:
    thumbnails = []
    for n in range(layers * heads):
        values = np.full(shape, (n % 4 + 0.5) / 4, dtype=np.float32)
        values[:, -1] = np.nan
        name = f"{n // heads + 1}.{n % heads + 1}"
        thumbnails.append(Thumbnail(name, Array.of(values), "sink 80%", f"head {name} in words", float(n), f"e[{n}]"))
    return Gallery("all", "░▒▓█ 0 to 1", thumbnails, heads, selected)


@pytest.mark.parametrize("width", [12, 30, 52, 83, 148])
@pytest.mark.parametrize(("layers", "heads", "shape"), [(3, 4, (4, 8)), (12, 12, (5, 9)), (2, 5, (6, 6)), (1, 1, (2, 2))])
def test_every_thumbnail_stands_where_its_spot_says(width: int, layers: int, heads: int, shape: tuple[int, int]) -> None:
    made = gallery(layers, heads, shape)
    laid = lay_gallery(made, width)
    lines = [text_of(laid.line(y)) for y in range(laid.height)]
    assert all(cell_len(line) <= width for line in lines)
    found = {}
    for row in range(laid.rows):
        for column in range(laid.columns):
            spot = laid.spot(row, column)
            found[spot.ref] = spot
            caption = lines[spot.line][spot.start : spot.start + spot.width]
            index = int(spot.ref[2:-1])
            assert caption.lstrip("▸").startswith(made.thumbnails[index].label)
            assert ("▸" in caption) == (index == made.selected)
            for y in range(shape[0]):
                drawn = lines[spot.line + 1 + y][spot.start : spot.start + spot.width].rstrip()
                numbers = set(drawn[: laid.wide * (shape[1] - 1)])
                assert numbers <= {"░▒▓█"[index % 4]}
                assert drawn[laid.wide * (shape[1] - 1) :].strip() == "·"
            assert lines[spot.line + spot.height - 1].strip()
    assert len(found) == layers * heads


def test_a_layer_that_does_not_fit_on_a_line_is_filled_evenly_and_begins_a_new_one() -> None:
    laid = lay_gallery(gallery(2, 12, (4, 8)), 52)
    assert (laid.columns, laid.rows) == (4, 6)
    assert [laid.spot(row, 0).label for row in range(6)] == [f"head {i}.{h} in words" for i in (1, 2) for h in (1, 5, 9)]


def test_square_pictures_are_drawn_twice_as_wide_where_there_is_room() -> None:
    assert [lay_gallery(gallery(1, 4, (6, 6)), width).wide for width in (50, 51, 40)] == [1, 2, 1]
    assert lay_gallery(gallery(1, 4, (3, 6)), 200).wide == 1


def test_the_chosen_one_is_in_sight_and_is_where_the_cursor_lands() -> None:
    page = lay_view(View("thumbnails", "", "A sentence.", [gallery(selected=6)]), 52)
    followed = page.followed()
    assert followed is not None
    assert page.spot(followed).ref == "e[6]"
    assert page.first() == followed


@pytest.mark.parametrize("width", [12, 30, 83])
def test_a_click_finds_the_thumbnail_that_is_drawn_there(width: int) -> None:
    laid = lay_gallery(gallery(), width)
    for row in range(laid.rows):
        for column in range(laid.columns):
            spot = laid.spot(row, column)
            for line, x in ((spot.line, spot.start), (spot.line + spot.height - 1, spot.start + spot.width - 1)):
                assert laid.at(line, x) is not None
                assert laid.spot(*laid.at(line, x)).ref == spot.ref  # type: ignore[misc]
            assert laid.at(spot.line + spot.height, spot.start) is None
    assert laid.at(0, 0) is None
