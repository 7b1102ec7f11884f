"""Pictures of heatmaps, thumbnails and strips where the terminal has 16 colours or none: glyphs say the numbers."""

from collections.abc import Callable

import pytest
from rich.color import ColorSystem

from screens.app import LabApp
from tests.screens.emitted_cells import PLAIN, SIXTEEN, codes_of, emitted_cells, without_ascii_mark
from tests.screens.inspect.conftest import to_stage


@pytest.mark.parametrize("colours", ["16", "none"])
@pytest.mark.parametrize(
    "keys", [to_stage("embed"), [*to_stage("matrix"), "enter", "down"], ["v"]], ids=["embed", "matrix", "all-heads"]
)
def test_picture(keys: list[str], colours: str, monkeypatch: pytest.MonkeyPatch, picture: Callable[..., None]) -> None:
    if colours == "none":
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.setattr("rich.console.Console._detect_color_system", lambda console: ColorSystem.STANDARD)

    def check(app: LabApp) -> None:
        cells = emitted_cells(app)
        assert codes_of(cells) <= (PLAIN if colours == "none" else PLAIN | SIXTEEN)
        assert not without_ascii_mark(cells)

    picture(keys, (80, 24), check)
