"""Pictures of Inspect, each at a size that it is made for, on a large screen, and where the terminal has 16 colours or none."""

from collections.abc import Callable

import pytest

from screens.app import LabApp
from tests.screens.emitted_cells import PLAIN, SIXTEEN, codes_of, emitted_cells, without_ascii_mark
from tests.screens.inspect.conftest import size_of, to_stage

TO_SCORES, MATRIX_WITH_CURSOR = to_stage("scores"), [*to_stage("matrix"), "enter", "down"]
KEYS = {
    "embed-80x24": to_stage("embed"),
    "scores-of-the-second-80x24": [*TO_SCORES, "left", "left"],
    "matrix-with-cursor-120x40": MATRIX_WITH_CURSOR,
    "all-heads-120x40": ["v", "right_curly_bracket", "right_square_bracket"],
}


@pytest.mark.parametrize("name", KEYS)
def test_picture(name: str, picture: Callable[..., None]) -> None:
    picture(KEYS[name], size_of(name))


@pytest.mark.parametrize("keys", [["left", "inspect.shading"]], ids=["received"])
def test_picture_on_a_large_screen(keys: list[str], picture: Callable[..., None]) -> None:
    picture(keys, (200, 60))


@pytest.mark.parametrize("keys", [["e"], ["s", "enter"]], ids=["prompt", "sampling"])
def test_picture_of_editing(keys: list[str], picture: Callable[..., None]) -> None:
    picture(keys, (80, 24))


IN_FEW_COLOURS = {
    "embed-none": (to_stage("embed"), "none"),
    "matrix-16": (MATRIX_WITH_CURSOR, "16"),
    "all-heads-16": (["v"], "16"),
    "all-heads-none": (["v"], "none"),
}


@pytest.mark.parametrize(("keys", "colours"), IN_FEW_COLOURS.values(), ids=IN_FEW_COLOURS)
def test_picture_in_few_colours(
    keys: list[str], colours: str, monkeypatch: pytest.MonkeyPatch, picture: Callable[..., None]
) -> None:
    """Glyphs say the numbers of heatmaps, thumbnails and strips."""
    if colours == "none":
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.setenv("TERM", "xterm-16color")
        monkeypatch.delenv("COLORTERM")

    def check(app: LabApp) -> None:
        cells = emitted_cells(app)
        assert codes_of(cells) <= (PLAIN if colours == "none" else PLAIN | SIXTEEN)
        assert not without_ascii_mark(cells)

    picture(keys, (80, 24), check)
