"""Writing with the model: from any place, taken back, by itself; over the fake engine."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from lab.engine.method_registry import SAMPLE
from lab.views.blocks import LensPath, Token
from models.config import SamplingSettings
from screens.dialogs.ask import AskText, RunChooser
from screens.inspect.selection import Prompt, cut_after, with_token
from screens.inspect.token_sampling import PACES
from screens.widgets.prompt_input import PromptInput
from screens.widgets.token_strip import LEVELS, level
from tests.screens.inspect.conftest import Open, to_stage
from tests.screens.pilot_waits import poll


async def test_space_writes_at_the_end_or_another_ending_u_takes_it_back_and_the_seed_is_in_sight(
    inspect: Open, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inspect() as pilot:

        def marks() -> list[str]:
            return [char for segment in pilot.strip.render_line(1) for char in segment.text if char in LEVELS]

        assert not marks()
        await pilot.go("space")
        assert marks() == [level(Token(0, "", 0.1))], "written tokens are marked by height, typed ones are not"
        await pilot.go("space")
        assert pilot.labels == ["The", " big", " dog", " ran", " fast", " fast"]
        assert engine.asked("lens")[-1]["ids"] == (464, 1263, 3290, 4966, 3049, 3049)
        assert "position 6/6" in pilot.facts
        await pilot.go("u", "u")
        assert pilot.labels == ["The", " big", " dog", " ran"]
        assert engine.asked("lens")[0]["ids"] is None

        await pilot.go("left", "left", "space")
        assert pilot.labels == ["The", " big", " fast"]
        assert engine.asked("sample")[-1]["ids"] == (464, 1263)
        await pilot.go("space")
        assert pilot.labels == ["The", " big", " fast", " fast"]
        await pilot.go("u", "u")
        assert pilot.labels == ["The", " big", " dog", " ran"]
        assert pilot.strip.chosen == 1

        assert "seed 0" in pilot.facts
        drawn = len(engine.asked("sample"))
        await pilot.go("right", "right", "inspect.next_seed", "inspect.next_seed", "space")
        assert [call["sampling"].seed for call in engine.asked("sample")[drawn:]] == [1, 2, 2]
        assert "seed 2" in pilot.facts
        assert len(pilot.labels) == 7
        await pilot.press("s")
        await pilot.until(lambda: isinstance(pilot.app.screen, RunChooser))
        assert "T=1 k=- p=- seed 2" in pilot.text
        assert "at 2 tokens/s (+ and -)" in pilot.text
        await pilot.go("down", "down", "enter")
        assert engine.asked("sample")[-1]["sampling"].seed == 3
        assert "seed 3" in pilot.facts

        screen, gate, labels = pilot.screen, asyncio.Event(), pilot.labels
        call, drawn = engine.call, len(engine.asked("sample"))

        async def slowly(method: Any, params: Any) -> Any:
            if method is SAMPLE:
                await gate.wait()
            return await call(method, params)

        monkeypatch.setattr(engine, "call", slowly)
        await pilot.press("space", "left")
        gate.set()
        await pilot.until(lambda: all(worker.group != "sample" for worker in pilot.app.workers))
        assert (pilot.labels, len(engine.asked("sample"))) == (labels, drawn + 1), "dropped: the place has changed meanwhile"
        await pilot.go("right")
        screen.selection = replace(screen.selection, prompt=Prompt("The big"))
        screen.sampling.do_sample()
        await pilot.settle()
        assert (pilot.labels, len(engine.asked("sample"))) == (["The", " big"], drawn + 1), "its path had not come"

        engine.refuses["sample"] = "The logits are not numbers."
        await pilot.go("inspect.auto")
        assert not pilot.screen.sampling.is_writing
        assert pilot.status.startswith("The logits are not numbers.")


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
async def test_a_prompt_is_edited_or_compared_as_it_stands_not_as_it_was_typed(inspect: Open) -> None:
    async with inspect() as pilot:
        await pilot.go("space")
        await pilot.press("c")
        await pilot.until(lambda: isinstance(pilot.app.screen, AskText))
        field = pilot.app.screen.query_one(PromptInput)
        assert (field.value, field.selected_text) == ("The big dog ran<1 tokens>", "")
        await pilot.press("ctrl+u", "c")
        assert field.value == "c"
        await pilot.go("enter")
        await pilot.press("e")
        await pilot.until(lambda: isinstance(pilot.app.screen, AskText))
        assert pilot.app.screen.query_one(PromptInput).value == "c", "e edits the prompt that is compared"
        await pilot.go("ctrl+u", "enter")
        assert pilot.screen.selection.second is None
        await pilot.go("u", "left", "left", "space")
        prompt = pilot.screen.selection.prompt
        assert (prompt.ids, prompt.appended, prompt.is_cut) == ((464, 1263, 3049), 1, True)
        await pilot.press("e")
        await pilot.until(lambda: pilot.screen.query_one(PromptInput).value)
        assert pilot.screen.query_one(PromptInput).value == "<3 tokens>"


@pytest.mark.usefixtures("tokens")
async def test_a_prompt_that_was_opened_and_not_changed_keeps_its_tokens(inspect: Open) -> None:
    async with inspect() as pilot:
        await pilot.go("left", "space", "space")
        before = pilot.screen.selection.prompt
        assert before.ids is not None
        for keys, after in (([], before), (["x", "backspace"], before), (["x"], Prompt("<5 tokens>x"))):
            await pilot.press("e")
            await pilot.until(lambda: pilot.screen.query_one(PromptInput).value)
            await pilot.go(*keys, "enter")
            assert pilot.screen.selection.prompt == after


async def test_the_drawn_token_is_told_with_the_probability_that_it_was_drawn_with(inspect: Open) -> None:
    async with inspect(size=(120, 40)) as pilot:
        for sampling, told in (
            (SamplingSettings(min_p=0.3, repetition_penalty=1.5), "drawn at random: “ fast” had 58.0%"),
            (SamplingSettings(greedy=True), "only “ fast” could be drawn: the model gives it 41.2%"),
        ):
            pilot.screen.selection = replace(pilot.screen.selection, sampling=sampling)
            await pilot.go("space")
            assert told in pilot.status
            await pilot.go("u")


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
        assert not pilot.screen.check_action("do", ("undo",))


@pytest.mark.usefixtures("tokens")
async def test_it_writes_by_itself_until_the_key_is_pressed_again_or_the_prompt_or_the_place_changes(
    inspect: Open, engine: Any
) -> None:
    async with inspect() as pilot:
        screen = pilot.screen
        await pilot.press("inspect.auto", *["plus"] * len(PACES))
        assert "generating 8 tokens/s" in pilot.status
        await pilot.until(lambda: len(engine.asked("sample")) >= 3)
        await pilot.press("j")
        assert screen.sampling.is_writing
        await pilot.go("space")
        drawn = len(engine.asked("sample"))
        assert "writing" not in pilot.status
        await asyncio.sleep(0.3)
        assert len(engine.asked("sample")) == drawn
        for key, *back in (["left"], ["u"], ["escape"], ["e", "escape"], ["2", "5"]):
            drawn = len(engine.asked("sample"))
            await pilot.press("inspect.auto")
            await poll(pilot, lambda drawn=drawn: len(engine.asked("sample")) != drawn)
            await pilot.settle()
            await pilot.press(key)
            await poll(pilot, lambda: not screen.sampling.is_writing)
            await pilot.go(*back)


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
