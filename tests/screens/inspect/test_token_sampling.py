"""Writing with the model: from any place, taken back, by itself; over the fake engine."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from lab.views.blocks import LensPath, Token
from screens.inspect.inspect_screen import InspectScreen
from screens.inspect.selection import Prompt, cut_after, with_token
from screens.inspect.token_sampling import PACES
from screens.widgets.prompt_input import PromptInput
from screens.widgets.status_line import StatusLine
from screens.widgets.token_strip import LEVELS, TokenStrip, level
from tests.fixture_types import Settle

Open = Callable[..., Any]


def screen_of(pilot: Pilot[None]) -> InspectScreen:
    screen = pilot.app.screen
    assert isinstance(screen, InspectScreen)
    return screen


def labels(pilot: Pilot[None]) -> list[str]:
    return [token.label for token in screen_of(pilot).query_one(TokenStrip).tokens]


def line(pilot: Pilot[None], name: str) -> str:
    found = screen_of(pilot).query_one(name, StatusLine)
    return f"{found.left} {'  '.join(found.right)}"


async def press(pilot: Pilot[None], settle: Settle, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


async def test_space_at_an_earlier_token_writes_another_ending_and_u_brings_the_old_one_back(
    inspect: Open, settle: Settle, engine: Any
) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, "left", "left", "space")
        assert labels(pilot) == ["The", " big", " fast"]
        assert engine.asked("sample")[-1]["ids"] == (464, 1263)
        await press(pilot, settle, "space")
        assert labels(pilot) == ["The", " big", " fast", " fast"]
        await press(pilot, settle, "u", "u")
        assert labels(pilot) == ["The", " big", " dog", " ran"]
        assert screen_of(pilot).query_one(TokenStrip).chosen == 1


async def test_n_draws_with_the_next_seed_and_the_seed_is_in_sight(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect() as pilot:
        assert "seed 0" in line(pilot, "#prompt-facts")
        await press(pilot, settle, "n", "n", "space")
        assert [call["sampling"].seed for call in engine.asked("sample")] == [1, 2, 2]
        assert "seed 2" in line(pilot, "#prompt-facts")
        assert len(labels(pilot)) == 7


class Tokens:
    """A tokenizer that only counts."""

    def encode(self, text: str) -> list[int]:
        return []

    def decode(self, ids: tuple[int, ...]) -> str:
        return f"<{len(ids)} tokens>"


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.runs.load_tokenizer.tokenizer_of", lambda run: Tokens())


@pytest.mark.usefixtures("tokens")
async def test_a_prompt_that_was_cut_is_edited_as_it_stands_not_as_it_was_typed(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, "left", "left", "space")
        prompt = screen_of(pilot).selection.prompt
        assert (prompt.ids, prompt.appended, prompt.is_cut) == ((464, 1263, 3049), 1, True)
        await pilot.press("e")
        async with asyncio.timeout(30):
            while not pilot.app.screen.query_one(PromptInput).value:
                await pilot.pause(0.01)
        assert pilot.app.screen.query_one(PromptInput).value == "<3 tokens>"


async def test_it_writes_by_itself_until_the_key_is_pressed_again(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect() as pilot:
        await pilot.press(*["plus"] * len(PACES))
        await pilot.press("A")
        assert "generating 8 tokens/s" in line(pilot, "#inspect-status")
        async with asyncio.timeout(30):
            while len(engine.asked("sample")) < 3:
                await asyncio.sleep(0.01)
        await pilot.press("j")
        assert screen_of(pilot).sampling.is_writing
        await pilot.press("A")
        await settle(pilot)
        drawn = len(engine.asked("sample"))
        assert drawn >= 3
        assert "writing" not in line(pilot, "#inspect-status")
        await asyncio.sleep(0.3)
        assert len(engine.asked("sample")) == drawn


@pytest.mark.usefixtures("tokens")
async def test_whatever_changes_the_prompt_or_the_place_stops_the_writing(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect() as pilot:
        await pilot.press(*["plus"] * len(PACES))
        screen = screen_of(pilot)
        for key, *back in (["left"], ["u"], ["escape"], ["e", "escape"], ["2", "5"]):
            drawn = len(engine.asked("sample"))
            await pilot.press("A")
            async with asyncio.timeout(30):
                while len(engine.asked("sample")) == drawn:
                    await asyncio.sleep(0.01)
                await settle(pilot)
                await pilot.press(key)
                while screen.sampling.is_writing:
                    await asyncio.sleep(0.01)
            await pilot.press(*back)
            await settle(pilot)


async def test_writing_ends_with_a_sentence_when_the_engine_says_no(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect() as pilot:
        engine.refuses["sample"] = "The logits are not numbers."
        await pilot.press("A")
        await settle(pilot)
        assert not screen_of(pilot).sampling.is_writing
        assert line(pilot, "#inspect-status").startswith("The logits are not numbers.")


async def test_written_tokens_are_marked_by_height_and_typed_ones_are_not(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        strip = screen_of(pilot).query_one(TokenStrip)
        before = "".join(segment.text for segment in strip.render_line(1))
        assert not set(before) & set(LEVELS)
        await press(pilot, settle, "space")
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
