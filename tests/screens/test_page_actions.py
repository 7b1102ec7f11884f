"""Actions of pages: the palette leads to them from anywhere, the help names them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual._callback import invoke

from screens.action_index import all_actions, page_actions, score_of
from screens.app import LabApp
from screens.base_screen import LabScreen
from screens.blocks.block_view import BlockView
from screens.command_palette import LabCommands
from screens.data.size_slider import SizeSlider
from screens.dialogs.ask_text import AskText
from screens.help_screen import sections_of
from screens.home.pipeline_map import PIPELINE, PipelineMap
from screens.plot.line_plot import LinePlot
from screens.tokens.bpe_page import BpePage
from screens.tokens.strip_page import StripPage
from screens.tokens.vocabulary_page import VocabularyPage
from screens.widgets.choice import Choice

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")

DEMO = Path(__file__).parents[2] / "checkpoints" / "demo"

# Typed anywhere: the mode and the page that it leads to, and a fact there once it is done.
SENT: dict[str, tuple[str, str, Callable[[LabScreen], object]]] = {
    "merge ten pairs": ("tokens", "bpe", lambda screen: (state := screen.query_one(BpePage).state) and len(state.merges) == 10),
    "zipf": ("tokens", "vocabulary", lambda screen: screen.query_one(VocabularyPage).plotted),
    "hex": ("tokens", "strip", lambda screen: screen.query_one(StripPage).view == "bytes"),
    "emoji": ("tokens", "strip", lambda screen: "example 1 of" in str(screen.query_one("#tokens-text").border_title)),
    "filter names": ("data", "choose", lambda screen: getattr(screen.focused, "id", "") == "filter"),
    "save the cleaned text": ("data", "clean", lambda screen: isinstance(screen.app.screen, AskText)),
}


async def test_the_palette_leads_to_an_action_of_a_page_and_does_it(home: Path, until: Any) -> None:
    text = home / "text.txt"
    text.write_text("the big dog ran and the big cat sat on the mat\n" * 40)
    (home / "tale").symlink_to(DEMO)
    app = LabApp(run="tale", text=str(text), preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        for query, (mode, page, is_done) in SENT.items():
            commands = list(LabCommands(app.screen)._commands())
            best = max(commands, key=lambda each: each.weight * score_of(query, each.words, each.synonyms, 0.0))
            await invoke(best.callback)
            await until(pilot, lambda: app.current_mode == mode and is_done(app.screen_stack[0]))  # noqa: B023
            assert app.screen_stack[0].page == page
        assert not app._notifications


async def test_the_help_and_the_index_hold_the_actions_of_pages_that_are_not_open() -> None:
    app = LabApp(preload=False)
    shared = {LinePlot, BlockView, SizeSlider, Choice}
    """Parts with nothing but keys that move."""
    async with app.run_test(size=(120, 40)) as pilot:
        for mode in ("data", "tokens"):
            await app.action_mode(mode)
            screen = app.screen
            assert isinstance(screen, LabScreen)
            for link, page in screen.page_classes():
                await app.run_action(f"page('{link.name}')", screen)
                await pilot.pause()
                parts = {type(each) for each in screen.query_one(page.__name__).walk_children(with_self=True)}
                held = {each for each in parts if "BINDINGS" in each.__dict__ and each.__module__.startswith("screens.")}
                assert held - shared <= {page, *page.PARTS}
            words = {line for _, lines in sections_of(screen) for _, line in lines}
            assert {action.words for action in page_actions(type(screen))} <= words


async def test_a_step_on_home_leads_to_its_page_and_escape_goes_back_one_place_in_the_mode(until: Any) -> None:
    app = LabApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.click(PipelineMap, offset=(30, 2))
        await until(pilot, lambda: getattr(app.screen, "page", "") == "clean")
        for places in (["choose", "choose"], ["choose"]):
            for page in places:
                await pilot.press("escape")
                assert (app.current_mode, app.screen.page) == ("data", page)
            await pilot.press("s", "o", "e", "s")  # quickly: no page waits for the one before
            await until(pilot, lambda: getattr(app.screen, "page", "") == "split")
        await app.action_mode("tokens")
        await pilot.press("escape", "b", "v", "c", "b", "v", "slash", "t", "escape")
        assert app.screen.page == "vocabulary"
        for _ in range(6):
            await pilot.press("escape")
            assert app.current_mode == "tokens"


def test_every_step_on_home_names_a_page_of_its_mode() -> None:
    pages = {(action.mode, action.page) for action in all_actions()}
    assert {(stop.key.split()[1].lower(), stop.page) for stop in PIPELINE} <= pages
