"""The shell: modes, keys, help, palette, leaving."""

import asyncio
import re
import time
from typing import Any, cast

import pytest
from rich.cells import cell_len
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Input

from lab.inspect.stages.stage_registry import STAGES
from lab.lessons.lesson import lessons
from lab.views.screen_state import ScreenState
from screens.action_index import all_actions
from screens.app import LabApp, run
from screens.base_screen import LabScreen
from screens.command_palette import Command, LabCommands, _focus_holder
from screens.dialogs.ask import AskText, ConfirmDialog
from screens.dialogs.theme_picker import ThemePicker
from screens.help_screen import HelpScreen, KeyList
from screens.home.run_table import RunTable
from screens.learn.live.scaling_widget import ScalingWidget
from screens.messages import OpenState, RunChosen
from screens.widgets.key_bar import KeyBar
from screens.widgets.prompt_input import PromptInput
from screens.widgets.top_bars import ModeBar
from tests.fixture_types import Open, Until
from tests.screens.fake_wire import SilentEngine
from tests.screens.pilot_waits import click_on, paste, press, press_until, resize, rows_of, settle

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


@pytest.fixture
def app() -> LabApp:
    return LabApp(preload=False)


def line_of(pilot: Pilot[None], kind: type[ModeBar] | type[KeyBar]) -> str:
    bar = pilot.app.screen.query_one(kind)
    return bar.render_line(0).text


def palette(app: LabApp) -> list[str]:
    return [each.words for each in LabCommands(app.screen)._commands() if not re.search("· (not possible now|needs )", each.help)]


def found(provider: LabCommands, query: str, commands: list[Command] | None = None) -> list[str]:
    """The commands that the palette lists for what is typed, best first; of these commands, where they are given."""
    matcher = provider.matcher(query)
    scored = [(each.score(query, matcher), each.words) for each in commands or provider._commands(query)]
    return [words for score, words in sorted(scored, key=lambda each: -each[0]) if score > 0]


def choose(app: LabApp, words: str) -> None:
    """Choose the first command of the palette that begins with these words."""
    next(each for each in LabCommands(app.screen)._commands() if each.words.startswith(words)).callback()


def notices(app: LabApp) -> str:
    return "\n".join(str(each.message) for each in app._notifications)


async def test_a_field_has_the_keys_until_escape_and_the_rest_of_the_keys_stands_over_a_view_that_stays(
    app: LabApp, until: Until
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "2", "e")
        field, bar = app.focused, app.screen.query_one(KeyBar)
        assert isinstance(field, Input)
        assert line_of(pilot, KeyBar).endswith("   ^p palette  ^q quit "), "no key that would be typed"
        await press(pilot, "4", "q", "question_mark")
        assert app.current_mode == "data"
        assert app.screen.query_one("#path-input", Input).value == "4q?"
        await until(pilot, lambda: len(app.screen.choose_page._counts) == 2)  # the last of its facts
        await press(pilot, "home")
        body = [each.region for each in app.screen.query("*") if each is not bar]
        await press(pilot, "ctrl+k")
        assert field.value == "4q?", "it shows the keys"
        assert bar.region.height == 2
        assert [each.region for each in app.screen.query("*") if each is not bar] == body, "the view does not move"
        await press_until(pilot, "ctrl+k", lambda: bar.size.height != 2)
        assert app.focused is field
        await press(pilot, "ctrl+k", "escape")
        assert (bar.size.height, app.focused) == (1, field), "opened last, closed first"
        await press(pilot, "escape")
        assert not isinstance(app.focused, Input)
        assert app.current_mode == "data"
        assert "nothing to go back to" not in line_of(pilot, KeyBar)
        await press(pilot, "ctrl+k", "slash", "escape")
        assert not isinstance(app.focused, Input)
        assert bar.size.height == 2, "what was opened later is closed first"
        await press(pilot, "escape")
        assert bar.size.height == 1
        for mode in ("data", "home"):
            await app.action_mode(mode)
            await press(pilot, "escape")
            assert app.current_mode == mode
            assert line_of(pilot, KeyBar).startswith(" nothing to go back to")
            assert ("1 leads to Home" in line_of(pilot, KeyBar)) == (mode != "home")


async def test_help_tells_what_the_screen_is_for_and_every_key_in_a_list_that_fits_the_terminal(app: LabApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "2", "question_mark")
        screen = app.screen
        assert isinstance(screen, HelpScreen)
        assert "Choose the text" in screen._words
        assert "The texts" in screen._words, "the focused widget comes with its own help"
        said = "\n".join(f"{row.keys}  {row.words}" for _, rows in screen._sections for row in rows)
        for words in ("Edit the path of the text", "1 2 3 4 5 6  Home, Data, Tokens, Train, Inspect, Learn", "; quit"):
            assert words in said
        assert "█" in screen._picture, "the split of the text"
        keys, about = screen.query_one(KeyList), screen.query_one("#help-words")
        assert (keys.display, about.display) == (True, False), "the keys first"
        await press(pilot, "tab")
        assert (keys.display, about.display) == (False, True), "the prose is one key further"
        await press(pilot, "escape")
        assert isinstance(app.screen, LabScreen)
        await press(pilot, "question_mark")
        for size in ((140, 24), (60, 24)):
            await resize(pilot, *size)
            widths = [sum(map(cell_len, (text for text, _ in pieces))) for row, pieces in keys._lines if row is not None]
            assert max(widths) + 2 <= keys.room
            assert keys.window <= size[1]
        for width in (23, 4):
            await resize(pilot, width, 10)


FILTERED = {
    "^t": "Choose the theme: the lab's colours",
    "dark": "Choose the theme: the lab's colours",  # a synonym
    "nex": "Next run",
}
"""Typed in the help of Home, and the line that answers best."""


async def test_help_begins_with_the_first_keys_of_the_bar_is_narrowed_by_typing_and_enter_does_what_is_chosen(
    app: LabApp, listed: Open, make_run: Any, until: Any
) -> None:
    make_run("one")
    app._engine = SilentEngine()
    async with listed(size=(120, 40)) as pilot:
        bar = line_of(pilot, KeyBar)
        await press(pilot, "question_mark")
        help = app.screen
        assert isinstance(help, HelpScreen)
        title, first = help._sections[0]
        assert title == "To know first"
        assert len(first) == 5
        assert bar.split()[::2][:5] == [row.keys for row in first]
        every = [row.words for _, rows in help._sections for row in rows]
        assert len(every) == len(set(every)), "each stands there once"
        keys, all_rows = help.query_one(KeyList), len(help.query_one(KeyList).rows)
        for query, words in FILTERED.items():
            await paste(pilot, query)
            assert keys.rows[keys.cursor].words == words
            assert len(keys.rows) < len([row for _, rows in help._sections for row in rows])
            await press(pilot, "escape")
            assert app.screen is help, "it clears the filter"
            assert len(keys.rows) == all_rows
        await paste(pilot, "nats")
        assert "natural logarithm" in keys.rows[-1].words, "a term of the glossary is explained"
        assert "Esc clear" in str(help.query_one("#help").border_subtitle)
        await press(pilot, "escape")
        await paste(pilot, "zzzz")
        await press(pilot, "enter")
        assert "No key of this screen does that" in "\n".join(rows_of(pilot))
        assert app.screen is help
        await press(pilot, "escape", *"rename", "enter")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        await app.action_mode("data")
        await press(pilot, "question_mark")
        await paste(pilot, "all rules")
        await press(pilot, "enter")
        await until(pilot, lambda: app.screen.page == "clean")  # an action of a page that was not open
        await press(pilot, "question_mark", "question_mark")
        assert isinstance(app.screen, LabScreen)
        await press(pilot, "question_mark")
        await paste(pilot, "theme")
        await click_on(pilot, "Choose the theme")
        await until(pilot, lambda: isinstance(app.screen, ThemePicker))


CANNOT = {
    "train": (("p", "p pause: needs a run that trains"), ("i", "i inspect: needs a run in view")),
    "data": (("x", "x unmark: needs a marked file"),),
    "home": (("x", "x delete: needs a run under the cursor"), ("c", "c compare: needs a run under the cursor")),
}
"""Keys that can do nothing where there is no run and no text, and what the key bar says."""


async def test_a_key_that_cannot_act_says_why_in_the_bar_and_in_the_help(app: LabApp) -> None:
    async with app.run_test(size=(100, 30)) as pilot:
        for mode, keys in CANNOT.items():
            await app.action_mode(mode)
            for key, said in keys:
                await press(pilot, key)
                assert line_of(pilot, KeyBar).startswith(f" {said}")
        await press(pilot, "question_mark")
        title, rows = cast(HelpScreen, app.screen)._sections[-1]
        assert title == "Not now", "behind what can be done"
        reasons = {key: row.why_not for row in rows for key in row.keys.split()}
        assert all(said.partition(": ")[2] in reasons[key] for key, said in CANNOT["home"])
        await press(pilot, "x", "enter")
        assert isinstance(app.screen, HelpScreen), "it has nothing to do"
        assert "needs a run under the cursor" in notices(app)


async def test_the_palette_offers_what_is_possible_now_and_shows_brackets_in_a_name(
    app: LabApp, listed: Open, make_run: Any, until: Any
) -> None:
    make_run("[Old] tale", text="[b]ook.txt")
    async with listed() as pilot:
        provider = LabCommands(app.screen)
        for hits in (provider.discover(), provider.search("tale")):
            # as Textual's palette makes its lines
            shown = [(Content.from_markup(hit.prompt).plain, Content.from_markup(hit.help).plain) async for hit in hits]
            assert ("Delete [Old] tale", "asks first") in shown
            assert ("Watch the run [Old] tale", "[b]ook.txt, finished") in shown
        await app.run_action("choose('train')", app.screen)
        await until(pilot, lambda: app.screen.query_one("#run").watched)
        assert "Pause the training" not in palette(app)
        assert "New run: its settings" in palette(app)
        assert "Inspect the model of [Old] tale" in palette(app)
        assert "Export [Old] tale as a folder for transformers" in found(LabCommands(app.screen), "export")


SOFTMAX = next(f"Lesson {lesson.number}: Softmax" for lesson in lessons() if lesson.name == "softmax")
WORDS_PEOPLE_TYPE = {
    "temperature": "Inspect: Temperature, top-k, top-p and seed",
    "attribution": "Inspect: Direct logit attribution of the predicted token",
    "make it brighter": "Choose the theme",
    "what is softmax": SOFTMAX,
    "ablate": "Inspect: Ablate the head",
    "rename": "Home: Rename this run",
    "clean": "Data: Clean the text",
    "glitch": "Tokens · vocabulary: All tokens, never-used ones, glitch",
    "tiktokenizer": "Glossary: Tiktokenizer",
    "bbycroft": "Glossary: LLM Visualization",
    "weeks or months": "Claim: Training a language model takes weeks or months",
}


async def test_the_palette_holds_every_action_of_every_mode_and_finds_it_by_the_words_people_type(app: LabApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        offered = [each.words for each in LabCommands(app.screen)._commands()]
        listed = [hit.text or "" async for hit in LabCommands(app.screen).discover()]
        assert listed == offered
        for action in all_actions():
            assert any(words.endswith(action.words) for words in listed), action.id
        assert {action.mode for action in all_actions()} == {"home", "data", "train", "tokens", "inspect", "learn"}
        await press(pilot, "6")
        provider = LabCommands(app.screen)
        for query, words in WORDS_PEOPLE_TYPE.items():
            assert found(provider, query)[0].startswith(words), (query, found(provider, query)[:3])
        typed = list(provider._commands("stage"))
        for stage in STAGES.values():
            found_first = found(provider, stage.title, typed)[:5]
            assert stage.name == "tokens" or f"Stage: {stage.title}" in found_first, "that is a mode, too"
        assert found(provider, "why there")[0] == "Stage: why there"
        assert any(words.endswith(": Attention") for words in found(provider, "what does attention", typed)[:6])
        assert found(provider, "what is softmax?") == found(provider, "what is softmax") != []


async def test_an_action_of_another_mode_goes_there_and_does_it_or_says_why_not_and_one_of_a_lesson_opens_that(
    app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        choose(app, "Data: Edit the path of the text")
        await until(pilot, lambda: app.current_mode == "data" and isinstance(app.focused, Input))
        await press(pilot, "escape")
        monkeypatch.setattr("screens.command_palette.SECONDS_WHEN_SETTLED", 0.01)
        choose(app, "Train: Pause the training")
        await until(pilot, lambda: "Not possible now: Pause the training" in notices(app))
        assert app.current_mode == "train"
        choose(app, "Learn · lessons: Loss over compute, over parameters, the numbers")
        await until(pilot, lambda: "The lesson says what" in notices(app))
        await until(pilot, lambda: app.screen.query(ScalingWidget))
        choose(app, SOFTMAX)
        await until(pilot, lambda: not app.screen.query(ScalingWidget))


async def test_an_action_that_is_not_possible_leaves_the_focus_to_whoever_goes_on(
    app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screens.command_palette.SECONDS_WHEN_SETTLED", 60.0)
    monkeypatch.setattr("screens.command_palette.SECONDS_UNTIL_POSSIBLE", 60.0)
    looks: list[bool] = []
    monkeypatch.setattr("screens.command_palette._focus_holder", lambda *where: looks.append(_focus_holder(*where)) or looks[-1])
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "4", "n")
        choose(app, "Pause the training")
        await until(pilot, lambda: any(looks) or len(looks) > 2)
        app.screen.query_one("#name", Input).focus()
        await until(pilot, lambda: app._notifications)
        assert getattr(app.focused, "id", "") == "name"


async def test_q_asks_once_when_work_would_be_lost_naming_it_and_the_runs_that_go_on_and_answers_are_links(
    app: LabApp, listed: Open, make_run: Any, until: Any
) -> None:
    make_run("busy", phase="training", step=10)
    done = make_run("done")
    async with listed(2) as pilot:
        await press(pilot, "4")
        await press(pilot, "n")
        app.screen.query_one("#name", Input).value = "tale"
        await press(pilot, "1")
        await until(pilot, lambda: app.current_mode == "home")
        await press(pilot, "q")
        assert isinstance(app.screen, ConfirmDialog)
        assert app.screen._words == "This would be lost: the changed settings of a new run. busy keeps training."
        await press(pilot, "escape")
        assert not app._exit
        app.screen.query_one(RunTable).show_run("done")
        await press(pilot, "x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        asked = app.screen
        await press(pilot, "ctrl+q")
        await until(pilot, lambda: app._exit or app.screen is not asked)
        assert not app._exit, "another question is not taken for the one before quitting"
        assert isinstance(app.screen, ConfirmDialog)
        assert app.screen._words.startswith("This would be lost: the changed settings of a new run.")
        await press(pilot, "escape", "escape")
        for answer in ("Esc cancel", "x again delete"):
            await press(pilot, "x")
            await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
            await settle(pilot)
            assert done.path.exists()
            await click_on(pilot, answer)
            await until(pilot, lambda: not isinstance(app.screen, ConfirmDialog))
        await until(pilot, lambda: not done.path.exists())
        await press(pilot, "q", "q")
        assert app._exit


async def test_the_rest_of_the_keys_stand_on_two_lines_until_the_last_page_or_escape(app: LabApp) -> None:
    async with app.run_test(size=(60, 24)) as pilot:
        await press(pilot, "4", "n")
        bar = app.screen.query_one(KeyBar)
        assert "…" not in line_of(pilot, KeyBar)
        await press(pilot, "5")
        bar = app.screen.query_one(KeyBar)
        assert "^k …" in line_of(pilot, KeyBar)
        closed = [each.text for each in bar._laid()[0].left]
        seen: list[str] = []
        pages: list[str] = []
        for _ in range(10):
            await press(pilot, "ctrl+k")
            if bar.size.height == 1:
                break
            assert bar.size.height == 2
            seen += [each.text for row in bar._laid() for each in row.left if each.key != "^k"]
            pages += [each.text for row in bar._laid() for each in row.left if each.key == "^k"]
        assert set(closed) - {"…"} < set(seen)
        assert len(seen) == len(set(seen))
        assert seen == [each.text for each in bar._keys()]
        assert pages == [f"{at}/{len(pages)}" for at in range(1, len(pages) + 1)]
        await press(pilot, "ctrl+k")
        await press(pilot, "escape")
        assert bar.size.height == 1
        await press(pilot, "ctrl+k", "ctrl+k")
        assert "2/" in bar.render_line(1).text
        await press(pilot, "6", "5", "ctrl+k")
        assert "1/" in bar.render_line(1).text, "each visit begins with the first page"


async def test_the_key_bar_never_cuts_the_way_to_help(listed: Open, make_run: Any) -> None:
    make_run("done")
    async with listed(size=(60, 24)) as pilot:
        for width in (40, 60, 80, 120):
            await resize(pilot, width, 24)
            line = line_of(pilot, KeyBar)
            assert line.endswith("? help  ^p palette  q quit ")
            assert len(line) == width
            assert ("…" in line) == any(key not in line for key in ("n new run", "r rename", "D delete"))


async def test_under_a_dialog_and_in_a_field_the_key_bar_offers_only_the_keys_that_work_there_and_help_is_of_its_form(
    app: LabApp,
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        bar = app.screen.query_one(KeyBar)
        before = bar.render_line(0).text
        await press(pilot, "ctrl+o")
        assert isinstance(app.focused, PromptInput)
        assert bar.render_line(0).text.strip() == "^p palette  ^q quit"
        await press(pilot, "escape")
        assert bar.render_line(0).text == before
        await press(pilot, "4", "n")
        app.screen.query_one("#name", Input).focus()
        await settle(pilot)
        assert line_of(pilot, KeyBar).endswith("   ? help  ^p palette  ^q quit "), "in a field of numbers ? is no text"
        await press(pilot, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        assert app.screen._words.strip().startswith("**A new run.**")
        assert app.screen._words.count("**Watching a run.**") == 1


async def test_clicks_on_a_mode_a_key_and_the_run_that_trains_and_q_leaves_that_at_once_and_says_so(
    app: LabApp, make_run: Any, until: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run("busy", phase="training", step=240)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "● busy 12%" in line_of(pilot, ModeBar))
        bar = line_of(pilot, ModeBar)
        await pilot.click(ModeBar, offset=(bar.index("Data"), 0))
        await until(pilot, lambda: app.current_mode == "data")
        keys = line_of(pilot, KeyBar)
        await pilot.click(KeyBar, offset=(keys.index("find"), 0))
        await until(pilot, lambda: getattr(app.focused, "id", "") == "filter")  # the key of a page, which has not the focus
        await press(pilot, "escape")
        await pilot.click(KeyBar, offset=(keys.index("help"), 0))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await press(pilot, "escape", "6")
        await pilot.click(ModeBar, offset=(bar.index("busy") - 6, 0))
        await settle(pilot)
        assert app.current_mode == "learn", "the room before it is no link"
        await pilot.click(ModeBar, offset=(bar.index("busy") + 1, 0))
        await until(pilot, lambda: app.current_mode == "train")
        assert app.run_name == "busy"
        await press(pilot, "q")
        assert app._exit
    assert "busy keeps training" in capsys.readouterr().err


async def test_a_word_told_right_after_another_stands_its_own_time(app: LabApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        bar = app.screen.query_one(KeyBar)
        for trips in range(8):
            monkeypatch.setattr("screens.widgets.key_bar.SECONDS_TOLD", 0.01)
            bar.tell("first")
            await asyncio.sleep(0)
            time.sleep(0.02)  # the time of the first is over, and its timer's event somewhere on its way
            for _ in range(trips):
                await asyncio.sleep(0)
            monkeypatch.setattr("screens.widgets.key_bar.SECONDS_TOLD", 60.0)
            bar.tell("second")
            await settle(pilot)
            assert line_of(pilot, KeyBar).startswith(" second")


async def test_escape_leads_back_to_a_lesson_only_from_what_was_opened_there(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "6")
        for chosen in (False, True):
            app.post_message(OpenState(ScreenState(mode="tokens")))
            await until(pilot, lambda: app.current_mode == "tokens" and app.opened_from == "learn")
            if chosen:
                app.post_message(RunChosen("demo", "train"))
                await until(pilot, lambda: app.current_mode == "train")
            await press(pilot, "escape", "escape")
            await until(pilot, lambda: app.current_mode == ("tokens" if chosen else "learn"))  # noqa: B023
        assert app.opened_from == ""


@pytest.mark.parametrize("code", [0, 1])
def test_a_fault_of_the_lab_is_an_exit_code(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(app: LabApp) -> None:
        if code:
            app._handle_exception(RuntimeError("a fault"))

    monkeypatch.setattr(LabApp, "run", end)
    monkeypatch.setattr(LabApp, "panic", lambda *_: None)
    monkeypatch.setattr(LabApp, "_fatal_error", lambda *_: None)
    assert run() == code
