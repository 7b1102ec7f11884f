"""Keys of the user's own: they work, and every place that shows keys shows them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from screens.action_index import all_actions
from screens.app import LabApp
from screens.base_screen import LabScreen
from screens.command_palette import LabCommands
from screens.help_screen import sections_of
from screens.terminal.textual_internals import own_keys
from screens.widgets.key_bar import KeyBar
from tests.fixture_types import Until

pytestmark = pytest.mark.usefixtures("fixed_machine")

CONFIG = """
theme = "nord"
[keys]
mode.data = "f2"
"app.help" = "f1"
home.filter = "z"
app.quit = "not a key"
"""


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    own_keys.clear()
    all_actions.cache_clear()


def bar_of(app: LabApp) -> str:
    return "".join(segment.text for segment in app.screen.query_one(KeyBar).render_line(0))


async def test_a_key_of_ones_own_works_in_a_mode_and_is_shown_everywhere(home: Path, until: Until) -> None:
    (home / "config.toml").write_text(CONFIG)
    app = LabApp(preload=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "home.filter" in own_keys)
        assert app.theme == "nord"
        screen = app.screen
        assert isinstance(screen, LabScreen)
        assert "there is no key 'not a key'" in " ".join(notice.message for notice in app._notifications)
        assert "z find" in bar_of(app)
        assert "f1 help" in bar_of(app)
        assert "q quit" in bar_of(app)
        rows = {row.words: row.keys for _, rows in sections_of(screen) for row in rows}
        assert "f2" in rows["Home, Data, Tokens, Train, Inspect, Learn"].split()
        helps = [hit.help async for hit in LabCommands(screen).discover() if "Find" in str(hit.text)]
        assert "key z" in helps
        await pilot.press("2")
        assert app.current_mode == "home"
        await pilot.press("f2")
        await until(pilot, lambda: app.current_mode == "data")
        assert "f2" in "".join(segment.text for segment in app.screen.query_one("ModeBar").render_line(0))
