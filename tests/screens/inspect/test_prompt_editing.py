"""The prompt's field: what was asked before, and whatever a terminal may paste into it."""

from typing import Any

import pytest
from textual import events

from lab.core.errors import UserError
from lab.core.preferences import write_preferences
from lab.inspect.prompt_history import last_prompt, read_history, remember
from lab.runs.home_folder import home
from models.config import SamplingSettings
from screens.dialogs.ask import RunChooser
from screens.inspect.widgets.inspect_columns import InterventionList
from screens.inspect.widgets.prompt_bar import SamplingForm
from screens.widgets.key_bar import KeyBar
from screens.widgets.prompt_input import PromptInput, meant, shown
from screens.widgets.status_line import StatusLine
from tests.screens.inspect.conftest import InspectPilot, Open, to_stage
from tests.screens.pilot_waits import settle


async def editing(pilot: InspectPilot) -> PromptInput:
    await pilot.press("e")
    editor = pilot.screen.query_one("#prompt-editor", PromptInput)
    await pilot.until(lambda: editor.has_focus and (editor.history or not read_history(home())))
    return editor


async def test_up_and_down_walk_through_the_prompts_of_before_and_ctrl_k_leaves_what_is_typed(inspect: Open) -> None:
    async with inspect() as pilot:
        for text in ("one", "two\nlines"):
            remember(home(), text)
        editor = await editing(pilot)
        await pilot.press("x", "up")
        assert (editor.value, editor.text) == ("two␊lines", "two\nlines")
        await pilot.press("up", "up")
        assert editor.value == "one"
        await pilot.press("down", "down", "down")
        assert editor.value == "The big dog ranx"
        await pilot.press("home", "ctrl+k")
        await settle(pilot)
        assert editor.text == "The big dog ranx"
        assert pilot.screen.query_one(KeyBar).has_class("-open"), "it shows the keys"


async def test_whatever_is_pasted_is_shown_on_one_line_meant_as_it_was_and_cut_at_the_context_which_is_said(
    inspect: Open, engine: Any
) -> None:
    pasted = ("\x00\x1b[31mred\x7f", "a\tb\nc\r\nd\re", "👩‍👩‍👧 é ﷽ \u202eright", "<|endoftext|>", "[b]not markup[/]")
    async with inspect() as pilot:
        strip = pilot.strip
        for text in (*pasted, "The big dog\n" * 83 + "end!", "The big dog ran. The big dog ran fast."):
            editor = await editing(pilot)
            editor.value = ""
            editor.post_message(events.Paste(text))
            await pilot.until(lambda editor=editor: editor.value)  # type: ignore[misc]
            assert editor.text == text.replace("\r\n", "\n").replace("\r", "\n"), "terminals send line breaks as \\r"
            assert editor.value.isprintable() or "\u202e" in text or "\u200d" in text
            await pilot.go("enter")
            assert not pilot.screen.query_one(PromptInput).has_focus
            assert engine.asked("lens")[-1]["text"] == editor.text
        assert (len(strip.tokens), strip.dropped) == (8, 4)
        assert "context 8 tokens: 4 earlier ones (left of ┆) are cut off" in pilot.status
        assert strip.render_line(strip.above).text.startswith("4 before ┆")
        await pilot.go("space")
        assert (len(strip.tokens), strip.dropped) == (8, 5)
        await pilot.go("u")
        editor = await editing(pilot)
        editor.value = ""
        # The fake engine is not asked: it goes character by character.
        editor.post_message(events.Paste("The big dog\n" * 8_334))
        await pilot.until(lambda: len(editor.text) == 100_008)
        await pilot.press("escape")
        assert not editor.has_focus


async def kept(pilot: InspectPilot, prompt: str) -> None:
    """Waits until a thread has written this prompt, and no other, into the history."""
    await pilot.until(lambda: read_history(home()))
    assert read_history(home()) == [prompt]


async def test_a_prompt_that_was_shown_or_compared_is_in_the_history_and_a_factor_is_not_chosen_from_it(
    inspect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inspect() as pilot:
        await pilot.press("c")
        await settle(pilot)
        await pilot.go("end", "full_stop", "enter")
        await kept(pilot, "The big dog ran.")
        await pilot.go("escape", *to_stage("qkv"))
        await pilot.press("inspect.scale")
        await pilot.until(lambda: isinstance(pilot.app.focused, PromptInput))
        await pilot.press("up")
        assert pilot.app.screen.query_one(PromptInput).value == "0.5"
        await pilot.press("escape")
        await editing(pilot)
        await pilot.go("end", ".", "enter")
        await pilot.until(lambda: last_prompt(home(), "tale") == "The big dog ran.")

        def refuse(*_: object) -> list[str]:
            raise UserError("Cannot write /runs/[Old]/prompts: it is read-only.")

        monkeypatch.setattr("lab.inspect.prompt_history.remember", refuse)
        await editing(pilot)
        await pilot.go("end", ".", "enter")
        await pilot.until(lambda: pilot.app._notifications)
        assert pilot.labels[-1] == ".", "it is shown nevertheless"
        (notice,) = pilot.app._notifications
        assert ("/runs/[Old]/prompts" in notice.message, notice.markup) == (True, False)


def test_half_a_character_becomes_a_replacement_character_and_two_halves_one() -> None:
    assert meant("a\ud83d") == "a�"
    assert meant("\ud83d\ude00") == "😀"
    assert shown("\ud83d") == "�"


@pytest.mark.usefixtures("home")
async def test_the_last_prompt_of_a_run_and_kept_sampling_settings_are_restored_and_undo_leads_to_its_own_prompt(
    request: pytest.FixtureRequest, engine: Any
) -> None:
    sampling = SamplingSettings(temperature=0.5, seed=7)
    write_preferences(home(), sampling=sampling)
    remember(home(), "The old cat", "tale")
    remember(home(), "of another run", "demo")
    async with request.getfixturevalue("inspect")() as pilot:  # reads them
        screen = pilot.app.screen
        assert engine.asked("lens")[-1]["sampling"] == sampling
        assert screen.selection.prompt.text == "The old cat"
        await pilot.go("u")
        assert screen.selection.prompt.text == "The big dog ran"
        assert not screen.sampling.is_enabled("undo")


async def test_a_click_on_the_settings_or_on_the_run_changes_them_and_one_on_an_intervention_chooses_it(
    inspect: Open, engine: Any
) -> None:
    engine.val_on = " (on 29%)"
    async with inspect(size=(200, 40)) as pilot:
        await pilot.go(*to_stage("scores"))
        for _ in range(2):
            await pilot.go("x", "right_square_bracket")
        made = pilot.screen.query_one(InterventionList)
        assert (len(made.made), made.chosen) == (2, 0)
        await pilot.click(made, offset=(5, 2))
        await settle(pilot)
        assert made.chosen == 1
        await pilot.go("inspect.all_on")

        screen = pilot.app.screen
        facts = screen.query_one("#prompt-facts", StatusLine)
        line = facts.render_line(0).text
        await pilot.click(facts, offset=(line.index("T=1") + 2, 0))
        await settle(pilot)
        assert screen.query_one(SamplingForm).display
        await pilot.press("escape")
        await pilot.click(facts, offset=(line.index("val loss (on 29%) 1.234") + 2, 0))
        await pilot.click(facts, offset=(line.index("position") + 2, 0))
        await settle(pilot)
        assert pilot.app.screen is screen, "the others are no links"
        await pilot.click(facts, offset=(line.index(" step 2,000"), 0))
        await pilot.settle()
        await pilot.until(lambda: isinstance(pilot.app.screen, RunChooser))
