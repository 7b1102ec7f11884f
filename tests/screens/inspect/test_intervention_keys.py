"""Intervention keys, over the fake engine."""

from collections.abc import Callable
from typing import Any

import pytest
from textual.widgets import Input, Static

from lab.inspect.interventions import Intervention, Source
from screens.blocks.block_view import BlockView
from screens.inspect.widgets.inspect_columns import InterventionList
from screens.widgets.prompt_input import PromptInput
from screens.widgets.token_strip import TokenStrip
from tests.screens.inspect.conftest import InspectPilot, Open, size_of, to_stage
from tests.screens.pilot_waits import rows_of, settle

HEAD = Intervention(part="attn.z", how="off", layer=0, head=0)
TO_SCORES = to_stage("scores")


def made(pilot: InspectPilot) -> tuple[Intervention, ...]:
    return pilot.screen.selection.interventions


def words(pilot: InspectPilot) -> list[str]:
    return [each.description for each in made(pilot)]


def listed(pilot: InspectPilot) -> InterventionList:
    return pilot.screen.query_one(InterventionList)


async def test_x_switches_off_what_the_step_is_about_says_what_that_does_and_switches_it_on_again(
    inspect: Open, engine: Any
) -> None:
    async with inspect() as pilot:
        strip = pilot.strip

        def struck() -> list[str]:
            return [segment.text for segment in strip.render_line(0) if segment.style is not None and segment.style.strike]

        assert "✗" not in strip.render_line(1).text
        await pilot.go("left", "x")
        assert words(pilot) == ["token 3 “ dog” hidden"]
        assert "only later tokens change" in pilot.status
        assert "✗3290" in strip.render_line(1).text
        assert struck() == []
        await pilot.go("right")
        assert struck() == [" dog"]
        await pilot.go("inspect.all_on")
        assert "✗" not in strip.render_line(1).text
        await pilot.go("left", "left", "x", "right")
        assert words(pilot) == ["token 2 “ big” hidden"]
        assert "only later tokens change" not in pilot.status
        await pilot.go("inspect.all_on", "right")

        await pilot.go(*TO_SCORES)
        assert "x ablates head 1.1" in pilot.status
        assert not listed(pilot).display
        assert not any(pilot.screen.check_action("do", (action,)) for action in ("all_on", "patch"))
        await pilot.go("x")
        assert made(pilot) == (HEAD,)
        assert "head 1.1 off: “ fast” 41.2% → 12.0%, now “.” 30.0%" in pilot.status
        assert "c before and after · u undoes" in pilot.status
        assert "1 intervention on" in pilot.facts
        assert listed(pilot).display
        for method in ("lens", "view", "effect"):
            assert engine.asked(method)[-1]["interventions"] == (HEAD,)
        await pilot.go("left")
        assert "x restores head 1.1 · c before and after" in pilot.status
        await pilot.go("x")
        assert made(pilot) == ()
        assert "intervention" not in pilot.facts
        assert not listed(pilot).display
        assert "x ablates head 1.1" in pilot.status

        for key, said in (("x", "Nothing to ablate at this step"), ("inspect.look_at", "Only a head")):
            await pilot.go("end", key)
            assert pilot.status.startswith(said)


async def test_a_head_is_ablated_to_its_mean_scaled_or_made_to_look_and_what_names_a_place_goes_with_its_token(
    inspect: Open,
) -> None:
    async with inspect() as pilot:
        await pilot.go(*TO_SCORES, "x", "inspect.mean")
        assert words(pilot) == ["head 1.1 mean-ablated"]
        await pilot.go("inspect.mean")
        assert words(pilot) == ["head 1.1 off"]
        await pilot.go("]", "inspect.mean", "x")
        assert words(pilot) == ["head 1.1 off", "head 1.2 mean-ablated"]
        await pilot.go("inspect.all_on", "[", "inspect.scale")
        assert isinstance(pilot.app.focused, Input)
        await pilot.press("x", "enter")  # instead of what stood there, which was selected
        assert isinstance(pilot.app.focused, Input), "no number: it asks again"
        await pilot.go("ctrl+u", "-", "0", ",", "5", "enter")
        assert words(pilot) == ["head 1.1 × −0.5"]
        await pilot.go("inspect.scale")
        await pilot.go("ctrl+u", "1", "enter")
        assert words(pilot) == []
        await pilot.go("inspect.scale", "escape")
        assert words(pilot) == []

        await pilot.go("left", "inspect.look_at")
        assert words(pilot) == ["head 1.1 attends only to 3 “ dog”"]
        await pilot.go("right", "]", *to_stage("matrix", "scores"), "enter", "down", "inspect.look_at")
        looks, spot = made(pilot)[-1], pilot.view.spot
        assert looks.how == "attend"
        assert spot is not None
        assert looks.position == int(spot.ref.rstrip("]").split(",")[-1]), "at the key under the cursor"

        await pilot.go("inspect.all_on", "escape", "home", "left", "x", *TO_SCORES, "x")
        hidden = ["token 3 “ dog” hidden", "head 1.2 mean-ablated"]
        assert words(pilot) == hidden
        for key in ("space", "u"):
            await pilot.go(key)
            assert words(pilot) == hidden
        await pilot.go("e")
        await pilot.press("x")
        await pilot.go("enter")
        assert words(pilot) == ["head 1.2 mean-ablated"]
        await pilot.go("home", "left", "x", "right")
        assert words(pilot) == ["head 1.2 mean-ablated", "token 4 “ ran” hidden"]
        await pilot.go(*["space"] * 4)
        assert words(pilot) == ["head 1.2 mean-ablated"], "the window has slid"


async def test_several_are_listed_changed_and_taken_back_and_before_and_after_is_shown_until_c_escape_or_a_step(
    inspect: Open, engine: Any
) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await pilot.go(*TO_SCORES, "x")
        known = {each.binding.id: each.binding for each in pilot.screen.active_bindings.values()}
        for name in ("switch", "effect", "mean", "scale", "look_at", "all_on", "compare"):
            binding = known[f"inspect.{name}"]
            assert binding.description
            assert binding.tooltip, "the help tells it"
        await pilot.go("]", "x", *to_stage("neurons", "scores"), "x")
        assert words(pilot) == ["head 1.1 off", "head 1.2 off", "mlp 1 off"]
        assert "3 interventions on" in pilot.facts
        await pilot.go("tab")
        assert pilot.app.focused is listed(pilot)
        await pilot.go("j", "delete")
        assert words(pilot) == ["head 1.1 off", "mlp 1 off"]
        await pilot.go("enter")
        for name in ("Effect", "Zero/mean", "Scale", "Force", "Undo all"):
            assert name in pilot.text
        assert "Patch" not in pilot.text, "there is no second prompt"
        await pilot.go("down", "enter")
        assert words(pilot) == ["head 1.1 off", "mlp 1 mean-ablated"]
        await pilot.go("x", "inspect.all_on")
        assert words(pilot) == []
        assert pilot.app.focused is not listed(pilot)

        await pilot.go("home", *TO_SCORES, "[", "x", "c")
        view = pilot.view
        assert view.view is not None
        assert view.view.stage == "effect"
        assert "instead of “ fast” (41.2% before, now 12.0%)" in view.view.sentence
        await pilot.go("]", "x")
        assert "Head 1.1 mean-ablated and head 1.2 mean-ablated" in view.view.sentence
        await pilot.go("left")
        assert engine.asked("effect")[-1]["position"] == 2
        for leave in ("c", "escape", "j"):
            await pilot.go(leave)
            assert view.view.stage != "effect"
            await pilot.go("c")
            assert view.view.stage == "effect"
        await pilot.go("inspect.all_on")
        assert view.view.stage != "effect", "there is nothing to compare any more"


async def ask_second(pilot: InspectPilot, key: str, *typed: str) -> None:
    await pilot.press(key)
    await settle(pilot)
    await pilot.go(*typed, "enter")


async def test_a_head_is_built_by_hand_and_e_edits_it(inspect: Open, engine: Any) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await pilot.press("inspect.build")
        await settle(pilot)
        assert "position, position before, token" in str(pilot.app.screen.query_one("#ask-text-words", Static).content)
        await pilot.go("ctrl+u", *"token > tokn", "enter")
        assert "Write a head as in position before → position × 8" in str(
            pilot.app.screen.query_one("#ask-text-error", Static).content
        )
        await pilot.go("ctrl+u", *"token > token", "enter")
        assert "tokn" not in str(engine.asked("experiment"))
        asked = engine.asked("experiment")[-1]
        assert (asked["name"], asked["inputs"], asked["text"]) == ("built_head", {"head": "token > token"}, "The big dog ran")
        assert pilot.view.view is not None
        assert pilot.view.view.sentence == "Built: token > token."
        assert "e edits the head" in pilot.status
        await pilot.press("e")
        await settle(pilot)
        await pilot.go(*" x 3", "enter")
        assert engine.asked("experiment")[-1]["inputs"] == {"head": "token > token x 3"}
        await pilot.go("escape")
        assert pilot.screen.selection.aside == ""


async def test_every_field_opens_with_its_text_and_the_cursor_at_the_end_of_it(inspect: Open) -> None:
    async with inspect(size=(120, 40)) as pilot:
        for key in ("e", "c", "inspect.build"):
            await pilot.press(key)
            await pilot.until(lambda: isinstance(pilot.app.focused, PromptInput))
            field = pilot.app.focused
            assert isinstance(field, PromptInput)
            before = field.value
            await pilot.press("x")
            assert field.value == f"{before}x" != "x", key
            await pilot.press("ctrl+u")
            assert field.value == ""
            assert "Ctrl+U clears" in "\n".join(rows_of(pilot)), key
            await pilot.press("escape")
            await pilot.settle()


async def test_every_patch_says_how_far_it_has_come_and_e_chooses_the_two_tokens(inspect: Open, engine: Any) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await ask_second(pilot, "c", "end", "full_stop")
        assert not pilot.screen.check_action("do", ("metric",))
        engine.partial = ["1 of 10 patches", "5 of 10 patches"]
        shown: list[str] = []
        show = pilot.view.show
        pilot.view.show = lambda view: (shown.append(view.sentence), show(view))  # type: ignore[method-assign]
        await pilot.go("c")
        assert shown == ["5 of 10 patches", "1 of 10 patches", "From The big dog ran., for None"]
        assert "e chooses the two tokens" in pilot.status
        for tokens in (("enter", "enter"), ("down", "enter", "escape"), ("down", "enter", "enter")):
            await pilot.press("e")
            await settle(pilot)
            await pilot.go(*tokens)
            asked = engine.asked("patches")[-1]
            if "escape" not in tokens:
                first, second = (3049, 13) if "down" not in tokens else (13, 3049)
                assert (asked["candidate"], asked["against"]) == (first, second)
                assert pilot.screen.selection.aside == "patches"


async def test_a_second_prompt_stands_beside_the_first_and_on_a_narrow_screen_in_its_place(inspect: Open, engine: Any) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await pilot.go(*TO_SCORES)
        await ask_second(pilot, "c", "end", "full_stop")
        second = pilot.screen.query_one("#second-tokens", TokenStrip)
        assert [token.label for token in second.tokens] == ["The", " big", " dog", " ran", "."]
        asked = engine.asked("compare")[-1]
        assert (asked["text"], asked["second_text"]) == ("The big dog ran", "The big dog ran.")
        assert not pilot.screen.query_one("#inspect-beside").display
        await pilot.go("c")
        assert engine.asked("patches")[-1]["second_text"] == "The big dog ran."
        await pilot.go("c", "left")
        assert pilot.screen.query_one("#inspect-beside").display
        shown = pilot.screen.query_one("#second-view", BlockView).view
        assert shown is not None
        assert (shown.stage, shown.sentence) == ("scores", "Seen from ran at position 4.")
        assert second.chosen == 3
        first = pilot.view
        beside = pilot.screen.query_one("#second-view", BlockView)
        assert first.region.right <= beside.region.x
        assert beside.beside is first.view
        assert first.beside is beside.view
        await ask_second(pilot, "inspect.second", "ctrl+u")
        assert not pilot.screen.query_one("#inspect-second").display
        assert not pilot.screen.query_one("#inspect-beside").display
        assert first.beside is None

        await pilot.resize_terminal(80, 24)
        await pilot.go("right")
        await ask_second(pilot, "c", "end", "full_stop")
        await pilot.go("escape")
        whole = first.region
        assert not beside.is_on_screen
        assert "v shows prompt 2" in pilot.status
        await pilot.go("v")
        assert (first.is_on_screen, beside.region) == (False, whole)
        assert "v shows prompt 1" in pilot.status
        assert str(beside.border_title).startswith("prompt 2 · ")
        await pilot.go("enter")  # numbers are explained of the first
        assert (first.has_focus, beside.is_on_screen) == (True, False)
        await pilot.go("escape", "left", "inspect.patch")
        source = Source(text="The big dog ran.", position=3, token=" ran")
        expected = Intervention(part="attn.z", how="patch", layer=0, head=0, position=2, token=" dog", source=source)
        assert made(pilot) == (expected,)
        assert words(pilot) == ["head 1.1 at 3 “ dog” from prompt 2, 4 “ ran”"]
        assert engine.asked("effect")[-1]["interventions"] == (expected,)
        await pilot.go(*to_stage("resid_post", "scores"), "inspect.patch")
        assert words(pilot)[1] == "stream after mlp 1 at 3 “ dog” from prompt 2, 4 “ ran”"
        await pilot.go("v", "k")
        assert beside.is_on_screen
        await pilot.go("c")
        assert first.is_on_screen

        await pilot.go("c", "inspect.all_on", "home", *TO_SCORES)
        await pilot.resize_terminal(80, 16)
        await pilot.go("v")
        for key, is_down in (("pagedown", True), ("pageup", False)):
            await pilot.go(key)
            assert (beside.is_on_screen, beside.top > 0) == (True, is_down)


PICTURES = {
    "list-80x24": ["left", "x", *TO_SCORES, "x", *to_stage("neurons", "scores"), "x", "tab"],
    "before-and-after-80x24": [*TO_SCORES, "x", *to_stage("tokens", "scores"), *TO_SCORES, "c"],
    "two-prompts-120x40": [*TO_SCORES, "c", "end", "full_stop", "enter", "escape"],
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name: str, picture: Callable[..., None]) -> None:
    picture(PICTURES[name], size_of(name))


async def test_a_direction_is_asked_for_with_its_strength_and_stands_in_the_list(inspect: Open, engine: Any) -> None:
    async with inspect() as pilot:
        await pilot.go("inspect.steer", "enter")  # what stands there
        assert words(pilot) == ["steered by “happy” − “sad” × 0.5 after layer 1"]
        assert "“ fast” 41.2% → 12.0%" in pilot.status
        await pilot.go("-", "-", "-")
        assert words(pilot) == ["steered by “happy” − “sad” × −0.25 after layer 1"]
        await pilot.go("+", "+", "+", "+")
        assert words(pilot) == ["steered by “happy” − “sad” × 0.75 after layer 1"]
        assert "loss 0.50 → 1.25, by chance 1.50–2.50" in " ".join(listed(pilot).text_to_copy().split())
        await pilot.go(*to_stage("resid_post"), "inspect.scale")
        await pilot.go("ctrl+u", "-", "2", "enter")
        assert words(pilot) == ["steered by “happy” − “sad” × −2 after layer 1"]
        await pilot.go("inspect.steer", "ctrl+u", *"without", "space", *"token", "space", "a", "enter")
        assert words(pilot) == ["without token a after layer 1"], "of two on one stream the newer one counts"
        await pilot.go("u")
        assert words(pilot) == ["steered by “happy” − “sad” × −2 after layer 1"]
        await pilot.go("inspect.steer", "ctrl+u", "enter")
        assert words(pilot) == []
        await pilot.go("inspect.steer", *"token", "space", "a", "enter")
        assert words(pilot) == ["steered by token a × 0.5 after layer 1"], "what is typed replaces the example"


async def test_a_direction_that_the_engine_refuses_changes_nothing(inspect: Open, engine: Any) -> None:
    async with inspect() as pilot:
        engine.refuses["effect"] = "demo has no features."
        await pilot.go("inspect.steer", "ctrl+u", *"feature", "space", "3", "enter")
        assert words(pilot) == []
        assert "demo has no features." in pilot.status
