"""One map of keys: what each means everywhere, and how many a person sees at once."""

from pathlib import Path

import pytest

from screens.about_key import KEY_MAP, KEYLESS, key_table
from screens.action_index import all_actions, page_actions
from screens.app import LabApp
from screens.base_screen import LabScreen
from screens.blocks.block_view import BlockView
from screens.data.choose_inputs import SizeSlider
from screens.help_screen import sections_of
from screens.plot.plot_widget import LinePlot
from screens.widgets.choice import Choice
from screens.widgets.top_bars import MODES
from tests.screens.fake_wire import SilentEngine
from tests.screens.pilot_waits import settle

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")

MOST_ROWS = 15
"""Lines of the help on one place: six modes have at most ninety."""

OWN_KEYS = 8
"""Keys of a place besides those of the map."""

MOVES = {*"hjklHJKLG", "home", "end", "pagedown", "pageup", "ctrl+d", "ctrl+u", "ctrl+f", "ctrl+b", "tab", "backspace"}
"""Keys that move, besides the arrows."""

LETTERS = {key: shared for shared in KEY_MAP if shared.verbs for key in shared.keys}


def test_a_key_of_the_map_means_the_same_everywhere() -> None:
    others = {}
    for action in all_actions():
        shared = LETTERS.get(action.binding.key)
        if shared is not None and not action.words.startswith(shared.verbs):
            others[action.id] = f"{action.binding.key}: {action.words}"
    assert others == {}


def test_a_place_has_at_most_eight_keys_of_its_own() -> None:
    of_the_map = {key for shared in KEY_MAP for key in shared.keys}
    own: dict[tuple[str, str, str], set[str]] = {}
    for action in all_actions():
        key = action.binding.key
        if key not in of_the_map | MOVES and not key.startswith(KEYLESS):
            own.setdefault((action.mode, action.screen, action.holder), set()).add(key)
    assert {place: keys for place, keys in own.items() if len(keys) > OWN_KEYS} == {}


WITHOUT_ACTIONS = {LinePlot, BlockView, SizeSlider, Choice}
"""Parts of pages with nothing but keys that move."""


async def test_the_help_of_a_place_has_at_most_fifteen_lines_and_the_actions_of_pages_that_are_not_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lab.engine.client.EngineClient", SilentEngine)
    app = LabApp(preload=False)
    async with app.run_test(size=(120, 40)) as pilot:
        for mode in MODES:
            await app.action_mode(mode)
            screen = app.screen
            assert isinstance(screen, LabScreen)
            for page in [*screen.PAGES] or [None]:
                if page is not None:
                    await app.run_action(f"page('{page.LINK.name}')", screen)
                await settle(pilot)
                if page is not None and mode in ("data", "tokens"):
                    inside = screen.query_one(page.__name__).walk_children(with_self=True)
                    parts = {type(each) for each in inside if each.can_focus or each.children}  # others never have the keys
                    held = {each for each in parts if "BINDINGS" in each.__dict__ and each.__module__.startswith("screens.")}
                    assert held - WITHOUT_ACTIONS <= {page, *page.PARTS}
                    said = "\n".join(row.words for _, rows in sections_of(screen) for row in rows).lower()
                    assert [action.words for action in page_actions(type(screen)) if action.words.lower() not in said] == []
                rows = [row.words for _, rows in sections_of(screen) for row in rows if row.is_listed]
                assert len(rows) <= MOST_ROWS, (mode, page, rows)


def test_the_readme_has_the_map() -> None:
    assert key_table() in (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
