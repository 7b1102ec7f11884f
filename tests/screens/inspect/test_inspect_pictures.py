"""Pictures of Inspect at the two sizes that it is made for, and on a large screen."""

from collections.abc import Callable

import pytest

from tests.screens.inspect.conftest import SIZES, to_stage

TO_SCORES, MATRIX_WITH_CURSOR = to_stage("scores"), [*to_stage("matrix"), "enter", "down"]
KEYS = {
    "embed": to_stage("embed"),
    "scores": TO_SCORES,
    "scores-of-the-second": [*TO_SCORES, "left", "left"],
    "matrix-with-cursor": MATRIX_WITH_CURSOR,
    "all-heads": ["v", "right_curly_bracket", "right_square_bracket"],
    "last": ["end"],
}


@pytest.mark.parametrize("size", SIZES, ids=SIZES)
@pytest.mark.parametrize("name", KEYS)
def test_picture(name: str, size: str, picture: Callable[..., None]) -> None:
    picture(KEYS[name], SIZES[size])


@pytest.mark.parametrize("keys", [MATRIX_WITH_CURSOR, ["left", "inspect.shading"]], ids=["matrix-with-cursor", "received"])
def test_picture_on_a_large_screen(keys: list[str], picture: Callable[..., None]) -> None:
    picture(keys, (200, 60))


@pytest.mark.parametrize("keys", [["e"], ["s", "enter"]], ids=["prompt", "sampling"])
def test_picture_of_editing(keys: list[str], picture: Callable[..., None]) -> None:
    picture(keys, (80, 24))
