"""Writing with the model: from any place, taken back, by itself; over the fake engine."""

import asyncio
from typing import Any

import pytest

from lab.views.blocks import LensPath, Token
from screens.dialogs.ask import AskText, RunChooser
from screens.inspect.selection import Prompt, cut_after, with_token
from screens.inspect.token_sampling import PACES
from screens.widgets.prompt_input import PromptInput
from screens.widgets.token_strip import LEVELS, level
from tests.screens.inspect.conftest import Open, to_stage


async def test_space_at_an_earlier_token_writes_another_ending_and_u_brings_the_old_one_back(inspect: Open, engine: Any) -> None:
    async with inspect() as pilot:
        await pilot.walk("left", "left", "space")
        assert pilot.labels == ["The", " big", " fast"]
        assert engine.asked("sample")[-1]["ids"] == (464, 1263)
        await pilot.walk("space")
        assert pilot.labels == ["The", " big", " fast", " fast"]
        await pilot.walk("u", "u")
        assert pilot.labels == ["The", " big", " dog", " ran"]
        assert pilot.strip.chosen == 1


async def test_n_draws_with_the_next_seed_and_the_seed_is_in_sight(inspect: Open, engine: Any) -> None:
    async with inspect() as pilot:
        assert "seed 0" in pilot.facts
        await pilot.walk("inspect.next_seed", "inspect.next_seed", "space")
        assert [call["sampling"].seed for call in engine.asked("sample")] == [1, 2, 2]
        assert "seed 2" in pilot.facts
        assert len(pilot.labels) == 7


class Tokens:
    """A tokenizer that only counts."""

    def encode(self, text: str) -> list[int]:
        return []

    def decode(self, ids: tuple[int, ...]) -> str:
        return f"<{len(ids)} tokens>"


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.runs.run_folder.tokenizer_of", lambda run: Tokens())


@pytest.mark.usefixtures("tokens")
async def test_a_prompt_that_was_cut_is_edited_as_it_stands_not_as_it_was_typed(inspect: Open) -> None:
    async with inspect() as pilot:
        await pilot.walk("left", "left", "space")
        prompt = pilot.screen.selection.prompt
        assert (prompt.ids, prompt.appended, prompt.is_cut) == ((464, 1263, 3049), 1, True)
        await pilot.press("e")
        await pilot.until(lambda: pilot.screen.query_one(PromptInput).value)
        assert pilot.screen.query_one(PromptInput).value == "<3 tokens>"


@pytest.mark.usefixtures("tokens")
async def test_the_second_prompt_starts_from_the_prompt_in_view_selected(inspect: Open) -> None:
    async with inspect() as pilot:
        await pilot.walk("space")
        await pilot.press("c")
        await pilot.until(lambda: isinstance(pilot.app.screen, AskText))
        field = pilot.app.screen.query_one(PromptInput)
        assert (field.value, field.selected_text) == ("The big dog ran<1 tokens>", "The big dog ran<1 tokens>")
        await pilot.press("c")
        assert field.value == "c"
        await pilot.go("enter")
        await pilot.press("e")
        await pilot.until(lambda: isinstance(pilot.app.screen, AskText))
        assert pilot.app.screen.query_one(PromptInput).value == "c", "e edits the prompt that is compared"
        await pilot.go("ctrl+u", "enter")
        assert pilot.screen.selection.second is None


async def test_undo_takes_back_the_latest_whatever_it_was(inspect: Open) -> None:
    async with inspect() as pilot:

        def state() -> tuple[int, int]:
            return len(pilot.labels), len(pilot.screen.selection.interventions)

        states = [state()]
        for keys in (["space"], ["left", "x"], ["right", "space"], [*to_stage("scores"), "x"], ["inspect.all_on"]):
            await pilot.go(*keys)
            states.append(state())
        assert states == [(4, 0), (5, 0), (5, 1), (6, 1), (6, 2), (6, 0)]
        for before in reversed(states[:-1]):
            await pilot.go("u")
            assert state() == before
        assert not pilot.screen.check_action("undo", ())


async def test_the_menu_of_sampling_says_what_is_set_and_does_what_is_chosen(inspect: Open, engine: Any) -> None:
    async with inspect() as pilot:
        await pilot.press("s")
        await pilot.until(lambda: isinstance(pilot.app.screen, RunChooser))
        assert "T=1 k=- p=- seed 0" in pilot.text
        assert "at 2 tokens/s (+ and -)" in pilot.text
        await pilot.go("down", "down", "enter")
        assert engine.asked("sample")[-1]["sampling"].seed == 1
        assert "seed 1" in pilot.facts


async def test_it_writes_by_itself_until_the_key_is_pressed_again(inspect: Open, engine: Any) -> None:
    async with inspect() as pilot:
        await pilot.press("inspect.auto", *["plus"] * len(PACES))
        assert "generating 8 tokens/s" in pilot.status
        await pilot.until(lambda: len(engine.asked("sample")) >= 3)
        await pilot.press("j")
        assert pilot.screen.sampling.is_writing
        await pilot.go("space")
        drawn = len(engine.asked("sample"))
        assert drawn >= 3
        assert "writing" not in pilot.status
        await asyncio.sleep(0.3)
        assert len(engine.asked("sample")) == drawn


@pytest.mark.usefixtures("tokens")
async def test_whatever_changes_the_prompt_or_the_place_stops_the_writing(inspect: Open, engine: Any) -> None:
    async with inspect() as pilot:
        await pilot.press("s", "down", "enter", *["plus"] * len(PACES))
        screen = pilot.screen
        await pilot.go("space")
        for key, *back in (["left"], ["u"], ["escape"], ["e", "escape"], ["2", "5"]):
            drawn = len(engine.asked("sample"))
            await pilot.press("inspect.auto")
            async with asyncio.timeout(30):
                while len(engine.asked("sample")) == drawn:
                    await asyncio.sleep(0.01)
                await pilot.settle()
                await pilot.press(key)
                while screen.sampling.is_writing:
                    await asyncio.sleep(0.01)
            await pilot.go(*back)


async def test_writing_ends_with_a_sentence_when_the_engine_says_no(inspect: Open, engine: Any) -> None:
    async with inspect() as pilot:
        engine.refuses["sample"] = "The logits are not numbers."
        await pilot.go("inspect.auto")
        assert not pilot.screen.sampling.is_writing
        assert pilot.status.startswith("The logits are not numbers.")


async def test_written_tokens_are_marked_by_height_and_typed_ones_are_not(inspect: Open) -> None:
    async with inspect() as pilot:
        strip = pilot.strip
        before = "".join(segment.text for segment in strip.render_line(1))
        assert not set(before) & set(LEVELS)
        await pilot.walk("space")
        after = "".join(segment.text for segment in strip.render_line(1))
        assert [char for char in after if char in LEVELS] == [level(Token(0, "", 0.1))]


@pytest.mark.parametrize(("p", "block"), [(0.0, "▁"), (0.12, "▁"), (0.13, "▂"), (0.5, "▅"), (0.99, "█"), (1.0, "█")])
def test_a_block_stands_as_many_eighths_high_as_the_token_was_probable(p: float, block: str) -> None:
    assert level(Token(1, "a", p)) == block


def way_of(ids: list[int], dropped: int = 0) -> LensPath:
    return LensPath([Token(id_, "x") for id_ in ids], [], len(ids) - 1, dropped, [])


def test_cutting_keeps_the_place_of_the_next_draw() -> None:
    """The place of a draw is earlier + ids, whatever the window is."""
    typed = Prompt("text")
    assert cut_after(typed, way_of([1, 2, 3]), None) == typed
    assert cut_after(typed, way_of([1, 2, 3]), 2) == typed
    cut = cut_after(typed, way_of([4, 5, 6], dropped=3), 0)
    assert (cut.ids, cut.earlier, cut.appended, cut.is_cut) == ((4,), 3, 0, True)
    written = Prompt("text", (1, 2, 3, 4, 5, 6), 10, 3)
    shorter = cut_after(written, way_of([3, 4, 5, 6], dropped=2), 1)
    assert (shorter.ids, shorter.earlier, shorter.appended, shorter.is_cut) == ((1, 2, 3, 4), 10, 1, False)
    assert cut_after(written, way_of([3, 4, 5, 6], dropped=2), 0).appended == 0
    assert not cut_after(written, way_of([3, 4, 5, 6], dropped=2), 0).is_cut
    grown = with_token(shorter, way_of([3, 4, 5, 6], dropped=2), 9)
    assert (grown.ids, grown.appended) == ((1, 2, 3, 4, 9), 2)
