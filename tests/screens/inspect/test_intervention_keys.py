"""Intervention keys, over the fake engine."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from lab.inspect.interventions import Intervention, Source
from screens.blocks.block_view import BlockView
from screens.inspect.inspect_screen import InspectScreen
from screens.inspect.widgets.intervention_list import InterventionList
from screens.widgets.status_line import StatusLine
from screens.widgets.token_strip import TokenStrip

Open = Callable[..., Any]
Settle = Callable[[Pilot[None]], Awaitable[None]]

HEAD = Intervention(part="attn.z", how="off", layer=0, head=0)
TO_SCORES = ["j"] * 4


def screen_of(pilot: Pilot[None]) -> InspectScreen:
    screen = pilot.app.screen
    assert isinstance(screen, InspectScreen)
    return screen


def made(pilot: Pilot[None]) -> tuple[Intervention, ...]:
    return screen_of(pilot).selection.interventions


def words(pilot: Pilot[None]) -> list[str]:
    return [each.in_words for each in made(pilot)]


def status(pilot: Pilot[None]) -> str:
    return screen_of(pilot).query_one("#inspect-status", StatusLine).left


def facts(pilot: Pilot[None]) -> str:
    return screen_of(pilot).query_one("#prompt-facts", StatusLine).left


def listed(pilot: Pilot[None]) -> InterventionList:
    return screen_of(pilot).query_one(InterventionList)


async def press(pilot: Pilot[None], settle: Settle, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
    await settle(pilot)


async def test_x_switches_the_head_off_says_what_that_does_and_switches_it_on_again(
    inspect: Open, settle: Settle, engine: Any
) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, *TO_SCORES)
        assert "x ablates head 1.1" in status(pilot)
        assert not listed(pilot).display
        await press(pilot, settle, "x")
        assert made(pilot) == (HEAD,)
        assert "head 1.1 off: “ fast” 41.2% → 12.0%, now “.” 30.0%" in status(pilot)
        assert "b effect" in status(pilot)
        assert "1 intervention on" in facts(pilot)
        assert listed(pilot).display
        for method in ("lens", "view", "effect"):
            assert engine.asked(method)[-1]["interventions"] == (HEAD,)
        await press(pilot, settle, "x")
        assert made(pilot) == ()
        assert "intervention" not in facts(pilot)
        assert not listed(pilot).display
        assert "x ablates head 1.1" in status(pilot)


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["j"] * 4 + ["]"], "head 1.2 off"),
        (["j"] * 9, "attention 1 off"),
        (["j"] * 12, "mlp 1 off"),
        (["j"] * 4 + ["right_curly_bracket"], "head 2.1 off"),
        (["left", "left"], "token 2 “ big” hidden"),
        (["j", "left"], "token 3 “ dog” hidden"),
        (["j"] * 4 + ["enter"], "head 1.1 off"),
    ],
)
async def test_x_is_about_the_step(keys: list[str], name: str, inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, *keys, "x")
        assert words(pilot) == [name]


async def test_a_hidden_token_is_said_to_be_missed_by_later_ones_only(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, "left", "x")
        assert "only later tokens change" in status(pilot)
        await press(pilot, settle, "X", "right", "left", "left", "x", "right")
        assert "only later tokens change" not in status(pilot)


async def test_where_there_is_nothing_to_switch_off_it_says_so(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, "G", "x")
        assert status(pilot).startswith("Nothing to ablate at this step")
        await press(pilot, settle, "b")
        assert status(pilot).startswith("No interventions yet")
        await press(pilot, settle, "f")
        assert status(pilot).startswith("Only a head")


async def test_m_goes_from_zero_to_the_mean(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, *TO_SCORES, "x", "m")
        assert words(pilot) == ["head 1.1 mean-ablated"]
        await press(pilot, settle, "m")
        assert words(pilot) == ["head 1.1 off"]
        await press(pilot, settle, "]", "m", "x")
        assert words(pilot) == ["head 1.1 off", "head 1.2 mean-ablated"]


async def test_a_factor_is_asked_for(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, *TO_SCORES, "asterisk")
        assert isinstance(pilot.app.focused, Input)
        await pilot.press("x", "enter")  # instead of what stood there, which was selected
        assert isinstance(pilot.app.focused, Input), "no number: it asks again"
        await pilot.press("ctrl+u", "-", "0", ",", "5", "enter")
        await press(pilot, settle)
        assert words(pilot) == ["head 1.1 × −0.5"]
        await press(pilot, settle, "asterisk")
        await pilot.press("ctrl+u", "1", "enter")
        await press(pilot, settle)
        assert words(pilot) == []
        await press(pilot, settle, "asterisk", "escape")
        assert words(pilot) == []


async def test_f_makes_a_head_look_at_the_chosen_token_or_at_the_key_under_the_cursor(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, *TO_SCORES, "left", "f")
        assert words(pilot) == ["head 1.1 attends only to 3 “ dog”"]
        await press(pilot, settle, "right", "]", "j", "enter", "down", "f")
        made_so_far = made(pilot)
        assert made_so_far[-1].how == "attend"
        spot = screen_of(pilot).query_one(BlockView).spot
        assert spot is not None
        assert made_so_far[-1].position == int(spot.ref.rstrip("]").split(",")[-1])


async def test_several_are_listed_and_taken_back_one_by_one_or_all(inspect: Open, settle: Settle) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await press(pilot, settle, *TO_SCORES, "x", "]", "x", *["j"] * 9, "x")
        assert words(pilot) == ["head 1.1 off", "head 1.2 off", "mlp 1 off"]
        assert "3 interventions on" in facts(pilot)
        await press(pilot, settle, "tab")
        assert pilot.app.focused is listed(pilot)
        await press(pilot, settle, "j", "delete")
        assert words(pilot) == ["head 1.1 off", "mlp 1 off"]
        await press(pilot, settle, "x", "X")
        assert words(pilot) == []
        assert pilot.app.focused is not listed(pilot)


async def test_b_shows_before_and_after_until_b_or_escape_or_a_step(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await press(pilot, settle, *TO_SCORES, "x", "b")
        view = screen_of(pilot).query_one(BlockView)
        assert view.view is not None
        assert view.view.stage == "effect"
        assert "instead of “ fast” (41.2% before, now 12.0%)" in view.view.sentence
        await press(pilot, settle, "]", "x")
        assert "Head 1.1 off and head 1.2 off" in view.view.sentence
        await press(pilot, settle, "left")
        assert engine.asked("effect")[-1]["position"] == 2
        for leave in ("b", "escape", "j"):
            await press(pilot, settle, leave)
            assert view.view.stage != "effect"
            await press(pilot, settle, "b")
            assert view.view.stage == "effect"
        await press(pilot, settle, "X")
        assert view.view.stage != "effect", "there is nothing to compare any more"


async def test_what_names_a_place_goes_with_its_token_and_the_rest_stays(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, "left", "x", "j", "j", "j", "j", "x")
        assert words(pilot) == ["token 3 “ dog” hidden", "head 1.1 off"]
        await press(pilot, settle, "space")
        assert words(pilot) == ["token 3 “ dog” hidden", "head 1.1 off"]
        await press(pilot, settle, "u")
        assert words(pilot) == ["token 3 “ dog” hidden", "head 1.1 off"]
        await press(pilot, settle, "e")
        await pilot.press("x")
        await press(pilot, settle, "enter")
        assert words(pilot) == ["head 1.1 off"]


async def ask_second(pilot: Pilot[None], settle: Settle, key: str, *typed: str) -> None:
    await pilot.press(key)
    await pilot.pause()
    await pilot.press(*typed, "enter")
    await settle(pilot)


async def test_a_second_prompt_stands_beside_the_first(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await press(pilot, settle, *TO_SCORES)
        await ask_second(pilot, settle, "C", "end", "full_stop")
        second = screen_of(pilot).query_one("#second-tokens", TokenStrip)
        assert [token.label for token in second.tokens] == ["The", " big", " dog", " ran", "."]
        asked = engine.asked("compare")[-1]
        assert (asked["text"], asked["second_text"]) == ("The big dog ran", "The big dog ran.")
        assert not screen_of(pilot).query_one("#inspect-beside").display
        await press(pilot, settle, "C", "left")
        assert screen_of(pilot).query_one("#inspect-beside").display
        shown = screen_of(pilot).query_one("#second-view", BlockView).view
        assert shown is not None
        assert (shown.stage, shown.sentence) == ("scores", "Seen from ran at position 4.")
        assert second.chosen == 3
        first = screen_of(pilot).query_one("#inspect-view", BlockView)
        beside = screen_of(pilot).query_one("#second-view", BlockView)
        assert first.region.right <= beside.region.x
        assert beside.beside is first.view
        assert first.beside is beside.view
        await ask_second(pilot, settle, "E", "ctrl+u")
        assert not screen_of(pilot).query_one("#inspect-second").display
        assert not screen_of(pilot).query_one("#inspect-beside").display
        assert first.beside is None


async def test_on_a_narrow_screen_one_of_the_two_views_is_shown_at_full_height(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, *TO_SCORES)
        await ask_second(pilot, settle, "C", "end", "full_stop")
        await press(pilot, settle, "C")
        first = screen_of(pilot).query_one("#inspect-view", BlockView)
        beside = screen_of(pilot).query_one("#second-view", BlockView)
        whole = first.region
        assert not beside.is_on_screen
        assert "S shows prompt 2" in status(pilot)
        await press(pilot, settle, "S")
        assert (first.is_on_screen, beside.region) == (False, whole)
        assert "S shows prompt 1" in status(pilot)
        assert str(beside.border_title).startswith("prompt 2 · ")
        await press(pilot, settle, "enter")  # numbers are explained of the first
        assert (first.has_focus, beside.is_on_screen) == (True, False)
        await press(pilot, settle, "escape", "S", "j")
        assert beside.is_on_screen
        await press(pilot, settle, "C")
        assert first.is_on_screen


async def test_a_hidden_token_is_marked_where_the_prompt_stands(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        strip = screen_of(pilot).query_one("#prompt-tokens", TokenStrip)
        assert "✗" not in strip.render_line(1).text
        await press(pilot, settle, "left", "x")
        assert "✗3290" in strip.render_line(1).text
        labels = strip.render_line(0)
        assert [segment.text for segment in labels if segment.style is not None and segment.style.strike] == []
        await press(pilot, settle, "right")
        struck = [segment.text for segment in strip.render_line(0) if segment.style is not None and segment.style.strike]
        assert struck == [" dog"]
        await press(pilot, settle, "X")
        assert "✗" not in strip.render_line(1).text


async def test_p_takes_over_from_the_place_as_far_from_the_end(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, *TO_SCORES)
        await ask_second(pilot, settle, "C", "end", "full_stop")
        await press(pilot, settle, "C", "left", "p")
        source = Source(text="The big dog ran.", position=3, token=" ran")
        expected = Intervention(part="attn.z", how="patch", layer=0, head=0, position=2, token=" dog", source=source)
        assert made(pilot) == (expected,)
        assert words(pilot) == ["head 1.1 at 3 “ dog” from prompt 2, 4 “ ran”"]
        assert engine.asked("effect")[-1]["interventions"] == (expected,)
        await press(pilot, settle, *["j"] * 10, "p")
        assert words(pilot)[1] == "stream after mlp 1 at 3 “ dog” from prompt 2, 4 “ ran”"


async def test_every_key_is_told_in_the_help(inspect: Open, settle: Settle) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await press(pilot, settle, *TO_SCORES, "x")
        known = {each.binding.id: each for each in screen_of(pilot).active_bindings.values()}
        for name in ("switch", "effect", "mean", "scale", "look_at", "all_on", "compare"):
            binding = known[f"inspect.{name}"].binding
            assert binding.description
            assert binding.tooltip
