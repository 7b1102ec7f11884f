"""Actions of pages and of screens over a mode: the palette leads to them from anywhere, the help names them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from textual._callback import invoke
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widget import Widget

from screens.about_key import KEYLESS, about, synonyms_of
from screens.action_index import MOVES, all_actions, bindings_of, score_of
from screens.app import LabApp
from screens.base_screen import LabScreen
from screens.command_palette import LabCommands
from screens.dialogs.ask import AskText, Choices, RunChooser
from screens.help_screen import lines_of
from screens.home.import_dialog import FolderInput
from screens.home.pipeline_map import PIPELINE, PipelineMap
from screens.home.run_table import RunTable
from screens.inspect.widgets.inspect_columns import InterventionList
from screens.inspect.widgets.time_slider import TimeSlider
from screens.tokens.bpe_page import BpePage
from screens.tokens.strip_page import StripPage
from screens.train.compare_screen import CompareScreen
from screens.train.run_form import Offers
from screens.widgets.guess_view import GuessView
from screens.widgets.prompt_input import PromptInput
from tests.screens.pilot_waits import press, settle

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")

T = TypeVar("T")

DEMO = Path(__file__).parents[2] / "checkpoints" / "demo"

# Typed anywhere: the mode and the page that it leads to, and a fact there once it is done.
SENT: dict[str, tuple[str, str, Callable[[LabScreen], object]]] = {
    "merge ten pairs": ("tokens", "bpe", lambda screen: (state := screen.query_one(BpePage).state) and len(state.merges) == 10),
    "hex": ("tokens", "strip", lambda screen: screen.query_one(StripPage).view == "bytes"),
    "emoji": ("tokens", "strip", lambda screen: "example 1 of" in str(screen.query_one("#tokens-text").border_title)),
    "filter names": ("data", "choose", lambda screen: getattr(screen.focused, "id", "") == "filter"),
    "save the cleaned text": ("data", "clean", lambda screen: isinstance(screen.app.screen, AskText)),
}


# In a mode: an action of it that is among the first three for what a newcomer types into `?`.
ASKED = {
    "train": {
        "stop training": "stop",
        "compare two runs": "compare",
        "other learning rate": "new",
        "train longer": "new",
        "number of steps": "new",
        "list of runs": "older",
        "fine-tune": "base",
        "look inside": "inspect",
    },
    "home": {
        "delete a run": "delete",
        "rename": "rename",
        "compare two runs": "compare",
        "train longer": "clone",
        "same settings": "clone",
        "stop training": "watch",
        "export": "watch",
        "look inside": "inspect",
    },
    "data": {"my own file": "type", "rule by rule": "clean"},
    "tokens": {"other tokenizer": "tokenizer"},
}


@pytest.mark.parametrize(("mode", "typed"), [(mode, typed) for mode, asked in ASKED.items() for typed in asked])
def test_what_a_newcomer_types_finds_the_action(mode: str, typed: str) -> None:
    scores = {
        action.id: score_of(typed, action.words, synonyms_of(action.binding), 0.0)
        for action in all_actions()
        if action.mode == mode
    }
    found = sorted((id for id in scores if scores[id]), key=lambda id: -scores[id])
    assert f"{mode}.{ASKED[mode][typed]}" in found[:3]


async def test_the_palette_leads_to_an_action_of_a_page_and_does_it(home: Path, until: Any) -> None:
    text = home / "text.txt"
    text.write_text("the big dog ran and the big cat sat on the mat\n" * 40)
    (home / "tale").symlink_to(DEMO)
    app = LabApp(run="tale", text=str(text), preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for query, (mode, page, is_done) in SENT.items():
            commands = list(LabCommands(app.screen)._commands(query))
            best = max(commands, key=lambda each: each.weight * score_of(query, each.words, each.synonyms, 0.0))
            await invoke(best.callback)
            await until(pilot, lambda: app.current_mode == mode and is_done(app.screen_stack[0]))  # noqa: B023
            assert app.screen_stack[0].page == page
        assert not app._notifications


async def test_a_step_on_home_leads_to_its_page_and_escape_goes_back_one_place_in_the_mode(until: Any) -> None:
    pages = {(action.mode, action.page) for action in all_actions()}
    assert {(stop.key.split()[1].lower(), stop.page) for stop in PIPELINE} <= pages
    app = LabApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.click(PipelineMap, offset=(30, 2))
        await until(pilot, lambda: getattr(app.screen, "page", "") == "clean")
        for _ in range(2):
            await press(pilot, "escape")
            assert (app.current_mode, app.screen.page) == ("data", "choose")
        await press(pilot, *["right_square_bracket"] * 3)  # quickly: no page waits for the one before
        await until(pilot, lambda: getattr(app.screen, "page", "") == "split")


async def test_a_key_of_compare_is_found_anywhere_and_asks_for_the_other_run(
    make_run: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        make_run(name, step=100, steps=100).tokenizer_path.write_text("{}")
    app = LabApp(preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: len(app.runs) == 2)
        words = "Train · compare: A cursor on the curves: every run's losses there"
        command = next(each for each in LabCommands(app.screen)._commands() if each.words == words)
        command.callback()
        await until(pilot, lambda: isinstance(app.screen, RunChooser))
        with monkeypatch.context() as patch:
            patch.setattr("screens.command_palette.SECONDS_WHEN_SETTLED", 0.0)
            await press(pilot, "escape")
            await until(pilot, lambda: not [worker for worker in app.workers if worker.group == "palette"])
        assert not app._notifications
        command.callback()
        await until(pilot, lambda: isinstance(app.screen, RunChooser) and app.focused)
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.cursor is not None)


KEYS_OF_A_PART: set[type[Widget]] = {Offers, RunTable, FolderInput, TimeSlider, InterventionList, GuessView, PromptInput}
"""Parts whose keys mean something only while the part is there and in focus; the palette has them then."""


def test_every_key_outside_of_dialogs_has_an_id_and_a_tooltip_and_is_in_the_palette() -> None:
    known = {action.id for action in all_actions()} | {each.id for each in LabScreen.BINDINGS if isinstance(each, Binding)}
    ids: list[str | None] = []
    missing = {}
    for kind in {kind for kind in subclasses_of(DOMNode) if kind.__module__.startswith("screens.")}:
        if issubclass(kind, ModalScreen) or kind is Choices:
            continue
        own = [each for each in kind.__dict__.get("BINDINGS", ()) if isinstance(each, Binding)]
        with_key = [each for each in own if not each.key.startswith(KEYLESS)]
        assert [each for each in with_key if not (each.id and each.description and each.tooltip)] == []
        acting = [each for each in own if not MOVES & set(each.key.split(","))]
        ids += [each.id for each in acting if each.id not in {id for base in kind.__bases__ for id in bindings_of(base)}]
        if issubclass(kind, Widget) and kind not in (LabScreen, *KEYS_OF_A_PART):
            missing |= {each.id: each.key for each in acting if each.id not in known}
    assert not missing
    assert len(ids) == len(set(ids))


def test_keys_on_one_line_of_the_help_are_of_one_part_and_stand_there_alone() -> None:
    headings: set[str] = set()
    for kind in subclasses_of(DOMNode):
        keys = {id: about(bindings[0]) for id, bindings in bindings_of(kind).items()}
        headings |= {key.description for key in keys.values()}
        for key in keys.values():
            assert set(key.also) <= set(keys)
            assert all(not keys[id].description or keys[id] == key for id in key.also)
    assert all(set(kind.HEADINGS) <= headings for kind in subclasses_of(LabScreen))


def subclasses_of(kind: type[T]) -> Iterator[type[T]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses_of(each)


def test_two_opposite_keys_are_one_line_of_the_help_and_no_other_ones() -> None:
    down = Binding("j", "down", "Note", id="down", key_display="j/k", tooltip="The next note")
    up = Binding("k", "up", "Previous", id="up", show=False, tooltip="The previous note")
    edit = Binding("e", "edit", "Edit", id="edit", tooltip="Change the note")
    hidden = Binding("g", "first", "First", id="first", show=False, tooltip="The first note")
    both = (("down", "up"), "The next note; the previous note")
    assert lines_of([down, up, edit, hidden]) == (both, (("edit",), ""), (("first",), ""))
    assert lines_of([down, edit]) == ((("down",), ""), (("edit",), ""))
    assert lines_of([up, down]) == ((("up",), ""), (("down",), ""))
    assert lines_of([]) == ()
