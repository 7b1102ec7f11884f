"""Gallery layout: thumbnails of all heads on their grid, and the chosen one in sight."""

import numpy as np
import pytest
from rich.cells import cell_len

from lab.views.blocks import Array, Gallery, Thumbnail
from screens.blocks.gallery_layout import lay_gallery
from screens.colour import MASKED_LEVEL, Heat, level_of
from tests.screens.blocks.conftest import drawn, text_of


def gallery(layers: int = 3, heads: int = 4, size: int = 8, selected: int = 0) -> Gallery:
    thumbnails = []
    for n in range(layers * heads):
        values = np.full((size, size), (n % 4 + 0.5) / 4, dtype=np.float32)
        values[:, -1] = np.nan
        name = f"{n // heads + 1}.{n % heads + 1}"
        thumbnails.append(Thumbnail(name, Array.of(values), "sink 80%", f"head {name} in words", float(n), f"e[{n}]"))
    return Gallery("all", "every query and key", thumbnails, heads, selected)


def test_small_pictures_are_spread_for_their_captions_where_a_layer_still_fits() -> None:
    wide, narrow = (lay_gallery(gallery(2, 2, 4), width) for width in (29, 28))
    assert text_of(wide.below(0)).split() == ["▸1.1", "sink", "80%", "1.2", "sink", "80%"]
    assert text_of(narrow.below(0)).split() == ["▸1.1", "1.2", "sink"]


@pytest.mark.parametrize("width", [12, 30, 52, 83, 148])
@pytest.mark.parametrize(("layers", "heads", "size"), [(3, 4, 8), (12, 12, 9), (2, 5, 6), (1, 1, 2)])
def test_every_thumbnail_stands_where_its_spot_says(width: int, layers: int, heads: int, size: int) -> None:
    made = gallery(layers, heads, size)
    laid = lay_gallery(made, width)
    lines = drawn(laid)
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
            for y in range(laid.tall):
                row_drawn = lines[spot.line + 1 + y][spot.start : spot.start + spot.width].rstrip()
                assert set(row_drawn[: laid.wide * (size - 1)]) <= {"░▒▓█"[index % 4]}
                assert row_drawn[laid.wide * (size - 1) :].strip() == "·"
            assert lines[spot.line + spot.height - 1].strip()
    assert len(found) == layers * heads


def test_a_layer_that_does_not_fit_on_a_line_is_filled_evenly_and_begins_a_new_one() -> None:
    laid = lay_gallery(gallery(2, 12, 8), 52)
    assert (laid.columns, laid.rows) == (4, 6)
    assert [laid.spot(row, 0).label for row in range(6)] == [f"head {i}.{h} in words" for i in (1, 2) for h in (1, 5, 9)]


def test_square_pictures_are_drawn_twice_as_wide_where_there_is_room() -> None:
    assert [lay_gallery(gallery(1, 4, 6), width).wide for width in (50, 51, 40)] == [1, 2, 1]
    assert [lay_gallery(gallery(1, 4, 6), width).tall for width in (50, 51)] == [3, 6]


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("wide", [1, 2])
def test_a_painted_picture_has_every_number_unshrunk(size: int, wide: int) -> None:
    values = np.random.default_rng(0).random((size, size)).astype(np.float32)
    values[np.triu_indices(size, 1)] = np.nan
    made = Gallery("all", "", [Thumbnail("1.1", Array.of(values))] * 2, 2)
    laid = lay_gallery(made, 2 * (wide * size + 1), paints=True)
    assert laid.wide == wide
    for row in range(size):
        line = laid.line(len(laid.head) + 1 + (row if wide == 2 else row // 2))
        kinds = [kind for text, kind in line.pieces for _ in text][: wide * size : wide]
        for column, kind in enumerate(kinds):
            level = level_of(float(values[row, column]))
            if isinstance(kind, Heat):
                assert (kind.below if wide == 1 and row % 2 else kind.level) == level
            else:
                assert level == MASKED_LEVEL


def test_in_glyphs_a_line_is_the_larger_of_two_rows_and_says_so() -> None:
    values = np.array([[0.1, np.nan], [0.9, 0.3]], dtype=np.float32)
    laid = lay_gallery(Gallery("all", "", [Thumbnail("1.1", Array.of(values))], 1), 4)
    assert (laid.wide, laid.tall) == (2, 2)
    narrow = lay_gallery(Gallery("all", "", [Thumbnail("1.1", Array.of(values))] * 3, 3), 12)
    assert (narrow.wide, narrow.tall) == (1, 1)
    assert text_of(narrow.below(1)).startswith("█▒")
    assert "larger of 2 rows" in " ".join(text_of(line) for line in narrow.head)


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


@pytest.mark.parametrize("paints", [True, False])
def test_a_thumbnail_that_is_off_is_crossed_out(paints: bool) -> None:
    values = Array.of(np.full((4, 4), 0.5))
    made = Gallery("all", "", [Thumbnail("1.1", values), Thumbnail("1.2", values, "off", is_off=True)], 2)
    laid = lay_gallery(made, 30, paints)
    lines = drawn(laid)
    head = next(y for y, line in enumerate(lines) if "1.1" in line)
    assert "✗1.2 off" in lines[head]
    crossed = [line[laid.across + 1 :].rstrip() for line in lines[head + 1 : head + 1 + laid.tall]]
    assert [line.find("╲") for line in crossed] == sorted(line.find("╲") for line in crossed)
    assert [line.find("╱") for line in crossed] == sorted((line.find("╱") for line in crossed), reverse=True)
    assert all("╲" in line or "╳" in line for line in crossed)
    assert all("╲" not in line[: laid.across] for line in lines)


def test_several_layers_take_smaller_numbers_where_larger_ones_would_leave_some_out_of_sight() -> None:
    def layers(count: int) -> Gallery:
        picture = Array.of(np.ones((11, 11), dtype=np.float32))
        return Gallery("heads", "", [Thumbnail(str(index), picture, "", "", 0.0, "") for index in range(4 * count)], 4, 0)

    assert lay_gallery(layers(1), 150, True).wide == 2
    assert lay_gallery(layers(3), 150, True).wide == 2
    four = lay_gallery(layers(4), 150, True)
    assert (four.wide, four.rows) == (1, 4)
    assert four.height <= 44
