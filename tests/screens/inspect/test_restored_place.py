"""States of Inspect that are shown again: from no screen at all, from another run, from the same one."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.inspect.stages.stage_registry import STAGES
from lab.runs.run_control import inspect_lock_is_held
from lab.views.screen_state import ScreenState
from models.config import SamplingSettings
from models.tokenizers.tokenizer import Tokenizer
from screens.app import LabApp
from screens.command_palette import LabCommands
from screens.engine_notices import PENDING_AFTER
from screens.inspect.inspect_part import Loading, Starting
from screens.inspect.places import ASIDES, restored, state_of
from screens.inspect.run_hold import FirstPrompt, RunHold, RunRead
from screens.inspect.selection import Prompt, Selection, within
from screens.messages import ModeChosen, OpenState, RunChosen
from screens.widgets.forward_pass_list import ForwardPassList
from screens.widgets.status_line import StatusLine
from tests.screens.inspect.conftest import HEADS, LAYERS, FakeEngine, InspectPilot, Open, to_stage, way_through

PLACE = ScreenState(mode="inspect", run="tale", prompt="The old dog", stage="matrix", layer=1, head=2, position=1)

number = st.integers(0, 9)
selections = st.builds(
    Selection,
    run=st.just("tale"),
    checkpoint=st.sampled_from(["best", "last", "250"]),
    prompt=st.builds(Prompt, text=st.text(min_size=1)),
    position=st.none() | number,
    stage=st.sampled_from(list(STAGES)),
    layer=number,
    head=number,
    aside=st.sampled_from(["", "attribution", "evidence"]),
)


@given(selections)
def test_a_state_leads_to_the_place_that_it_was_taken_at(selection: Selection) -> None:
    assert restored(Selection("tale"), state_of(selection, Loading())) == selection


def test_names_that_mean_nothing_leave_the_place_as_it_is_and_large_numbers_are_bounded(engine: FakeEngine) -> None:
    start = Selection("tale", prompt=Prompt("The"), stage="scores", sampling=SamplingSettings(temperature=0.5))
    state = ScreenState(
        mode="inspect",
        checkpoint="../../other",
        stage="kitchen",
        layer=70,
        head=70,
        aside="elsewhere",
    )
    found = within(restored(start, state), engine.open("tale", "best"))
    assert found == replace(start, layer=LAYERS - 1, head=HEADS - 1)


@pytest.mark.parametrize("aside", ASIDES)
def test_a_view_in_place_of_the_stage_needs_its_subject(aside: str) -> None:
    found = restored(Selection("tale"), ScreenState(mode="inspect", prompt="The", aside=aside))
    assert found.aside == ("" if aside in ("effect", "compare", "patches") else aside)


def test_ids_come_before_the_text() -> None:
    found = restored(Selection("tale"), ScreenState(mode="inspect", prompt="The", ids=(464, 1263)))
    assert found.prompt == Prompt(ids=(464, 1263), is_cut=True)


def place(pilot: InspectPilot) -> tuple[Any, ...]:
    found = pilot.screen.selection
    return found.run, found.prompt, found.stage, found.layer, found.head, found.position


ASKED = ("tale", Prompt("The old dog"), "matrix", 1, 2, 1)


async def test_the_palette_leads_to_a_stage_by_its_title_at_the_place_in_view(inspect: Open) -> None:
    async with inspect() as pilot:
        await pilot.go(*to_stage("scores"), "left")
        before = pilot.screen.selection
        (command,) = (
            each
            for each in LabCommands(pilot.app.screen)._commands("strongest neurons")
            if each.words == "Stage: strongest neurons"
        )
        command.callback()
        await pilot.until(lambda: pilot.screen.selection.stage == "neurons")
        assert pilot.screen.selection == replace(before, stage="neurons")


async def test_a_state_comes_before_the_first_prompt_of_a_screen_never_opened(
    app: LabApp, inspect: Open, engine: FakeEngine, make_run: Any
) -> None:
    app.FIRST_MODE = "home"  # type: ignore[attr-defined]
    make_run("other")
    engine.opens = asyncio.Event()
    async with inspect(settles=False) as pilot:
        app.post_message(OpenState(PLACE))
        await pilot.until(lambda: app.current_mode == "inspect" and engine.asked("open"))
        await asyncio.sleep(PENDING_AFTER)
        assert pilot.view.view is None
        engine.opens.set()
        await pilot.settle()
        assert place(pilot) == ASKED
        asked = ("text", "stage", "layer", "head", "position")
        assert ["The old dog", "matrix", 1, 2, 1] in [[call[name] for name in asked] for call in engine.asked("view")]

        # From another run, while the model of this one is still being opened, and in the same run.
        await pilot.go(*to_stage("heads", "matrix"), "u")
        app.run_name = "other"
        await pilot.until(lambda: pilot.screen.selection.run == "other")
        await pilot.settle()
        assert place(pilot)[:3] == ("other", Prompt("The big dog ran"), "heads")
        app.post_message(OpenState(PLACE))
        await pilot.until(lambda: pilot.screen.selection.run == "tale")
        await pilot.settle()
        assert place(pilot) == ASKED
        app.post_message(OpenState(msgspec.structs.replace(PLACE, prompt="A", stage="qkv", position=7)))
        await pilot.until(lambda: pilot.screen.selection.stage == "qkv")
        await pilot.settle()
        assert "position 1/1" in pilot.facts
        await pilot.go("u")
        assert place(pilot)[1] == Prompt("The old dog"), "undo leads back to the prompt before"

        before = place(pilot), app.run_name
        app.post_message(OpenState(msgspec.structs.replace(PLACE, run="gone", prompt="A")))
        await pilot.until(lambda: len(app._notifications) == 1)
        assert (place(pilot), app.run_name) == before
        assert "no run called 'gone'" in next(iter(app._notifications)).message

        # A run chosen by hand begins with its own prompt, also the one that a state was of.
        app.run_name = "other"
        await pilot.until(lambda: pilot.screen.selection.run == "other")
        app.run_name = "tale"
        await pilot.until(lambda: pilot.screen.selection.run == "tale")
        await pilot.settle()
        assert place(pilot)[1] == Prompt("The big dog ran")


async def test_before_the_engine_answers_keys_wait_the_tokens_of_a_prompt_or_a_state_are_there_and_the_run_is_held(
    app: LabApp, inspect: Open, engine: FakeEngine, home: Path, monkeypatch: pytest.MonkeyPatch, late_answer: Any
) -> None:
    late = late_answer("screens.inspect.inspect_screen.read_first_prompt", lambda *asked: True)
    monkeypatch.setattr("lab.runs.run_folder.tokenizer_of", lambda run: Tokenizer.bytes_())
    engine.opens = asyncio.Event()

    async with inspect(settles=False) as pilot:
        await pilot.until(late.asked.is_set)
        await pilot.press("j", "]", "left", "x", "space", "a", "t", "e")
        assert isinstance(app.focused, ForwardPassList)
        await pilot.resize_terminal(90, 24)
        assert isinstance(pilot.screen.model, Starting)
        assert engine.calls == []
        await late.come(pilot)
        await pilot.until(lambda: "".join(pilot.labels) == "The␣big␣dog␣ran" and pilot.view.view)
        before = pilot.screen.selection
        await pilot.press("]", "left")
        assert pilot.screen.selection == before, "heads and positions wait for the model"
        view, line = pilot.view.view, pilot.screen.query_one("#inspect-status", StatusLine)
        assert (pilot.strip.chosen, pilot.strip.guess) == (len("The big dog ran") - 1, None)
        assert view is not None
        assert view.sentence == "“n” is token 15 of 15: id 110, a single byte."
        await pilot.until(lambda: line.mark and inspect_lock_is_held(home / "tale"))
        app.post_message(OpenState(PLACE))
        await pilot.until(lambda: "".join(pilot.labels) == "The␣old␣dog")
        assert place(pilot) == ASKED
        app.post_message(OpenState(msgspec.structs.replace(PLACE, ids=(72, 105), prompt="The")))
        await pilot.until(lambda: "".join(pilot.labels) == "Hi")
        app.post_message(OpenState(msgspec.structs.replace(PLACE, ids=(72, 70_000))))
        await pilot.until(lambda: pilot.screen.selection.prompt.ids == (72, 70_000))
        engine.refuses["lens"] = "No path yet."
        engine.opens.set()
        await pilot.settle()
        await pilot.press("]")
        assert place(pilot)[4] == PLACE.head + 1, "heads are known as soon as the model is open"
        engine.refuses.clear()
        await pilot.go("[")
        assert place(pilot)[2:] == ASKED[2:]
        assert pilot.labels == ["H", chr(70_000)], "then the engine's own"
        assert line.mark == ""
        assert not inspect_lock_is_held(home / "tale")  # the fake engine holds nothing


async def test_who_comes_back_has_the_keys_on_the_stages_again(inspect: Open, app: LabApp) -> None:
    async with inspect() as pilot:
        screen = pilot.screen
        for way, into in ((ModeChosen("inspect"), ["enter", "down"]), (RunChosen("tale", "inspect"), ["x", "tab", "tab"])):
            await pilot.go("home", *to_stage("scores"), *into)
            assert not isinstance(app.focused, ForwardPassList)
            await pilot.press("1")
            await pilot.until(lambda: app.current_mode == "home")
            app.post_message(way)
            await pilot.until(lambda: app.screen is screen and isinstance(app.focused, ForwardPassList))
            await pilot.go("j")
            assert pilot.screen.selection.stage == way_through()[len(to_stage("scores")) + 1].stage


@pytest.mark.parametrize(("opened", "is_held"), [("tale", False), ("other", True), ("", True)])
def test_a_run_that_the_engine_has_opened_meanwhile_is_not_held_a_second_time(opened: str, is_held: bool) -> None:
    hold, lock = RunHold(FakeEngine()), os.open(os.devnull, os.O_RDONLY)
    read = RunRead(hold.next_number(), FirstPrompt("tale", Prompt("The"), "The", None, 1, lock, None))
    assert hold.take(read, opened)
    if is_held:
        os.fstat(lock)
        hold.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(lock)
