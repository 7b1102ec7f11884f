"""States of Inspect that are shown again: from no screen at all, from another run, from the same one."""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.inspect.interventions import Intervention
from lab.inspect.stages.stage_registry import STAGES
from lab.views.screen_state import ScreenState
from models.config import SamplingSettings
from models.tokenizers.tokenizer import Tokenizer
from screens.app import LabApp
from screens.inspect.inspect_part import Loading
from screens.inspect.inspect_screen import InspectScreen
from screens.inspect.places import ASIDES, restored, state_of
from screens.inspect.selection import Prompt, Selection, within
from screens.messages import OpenState
from screens.widgets.token_strip import TokenStrip
from tests.fixture_types import Settle, Until
from tests.screens.inspect.conftest import HEADS, LAYERS, FakeEngine, to_stage

PLACE = ScreenState(mode="inspect", run="tale", prompt="The old dog", stage="matrix", layer=1, head=2, position=1)

number = st.integers(0, 9)
prompts = st.one_of(
    st.builds(Prompt, text=st.text(min_size=1)),
    st.builds(
        lambda ids, earlier: Prompt(ids=ids, earlier=earlier, appended=len(ids) // 2, is_cut=True),
        st.lists(number, min_size=1).map(tuple),
        number,
    ),
)
selections = st.builds(
    Selection,
    run=st.just("tale"),
    checkpoint=st.sampled_from(["best", "last", "250"]),
    prompt=prompts,
    position=st.none() | number,
    sampling=st.builds(SamplingSettings, temperature=st.floats(0, 2), top_k=number, seed=st.integers(0, 2**63)),
    stage=st.sampled_from(list(STAGES)),
    layer=number,
    head=number,
    second=st.none() | st.builds(Prompt, text=st.text(min_size=1)),
    interventions=st.lists(st.builds(Intervention, part=st.just("attn.z"), how=st.just("off"), layer=number), max_size=2).map(
        tuple
    ),
    aside=st.sampled_from(["", "attribution", "evidence"]),
    candidate=st.none() | number,
    against=st.none() | number,
    trail=st.lists(st.text(max_size=9), max_size=2).map(tuple),
)


@given(selections)
def test_a_place_comes_back_from_the_json_that_it_was_kept_as(selection: Selection) -> None:
    kept = msgspec.json.decode(msgspec.json.encode(state_of(selection, Loading())), type=ScreenState)
    assert restored(Selection("tale"), kept) == selection


def test_names_that_mean_nothing_leave_the_place_as_it_is_and_large_numbers_are_bounded(engine: FakeEngine) -> None:
    start = Selection("tale", prompt=Prompt("The"), stage="scores", sampling=SamplingSettings(temperature=0.5))
    state = ScreenState(
        mode="inspect",
        checkpoint="../../other",
        stage="kitchen",
        layer=70,
        head=70,
        interventions=({"part": "the door", "how": "off"},),
        sampling={"temperature": -1},
        aside="elsewhere",
    )
    found = within(restored(start, state), engine.open("tale", "best"))
    assert found == replace(start, layer=LAYERS - 1, head=HEADS - 1)


@pytest.mark.parametrize("aside", ASIDES)
def test_a_view_in_place_of_the_stage_needs_its_subject(aside: str) -> None:
    found = restored(Selection("tale"), ScreenState(mode="inspect", prompt="The", aside=aside))
    assert found.aside == ("" if aside in ("effect", "compare") else aside)


def test_ids_come_before_the_text() -> None:
    found = restored(Selection("tale"), ScreenState(mode="inspect", prompt="The", ids=(464, 1263), sampled=1))
    assert found.prompt == Prompt(ids=(464, 1263), appended=1, is_cut=True)


def inspect(app: LabApp) -> InspectScreen:
    assert isinstance(app.screen, InspectScreen)
    return app.screen


def place(app: LabApp) -> tuple[Any, ...]:
    found = inspect(app).selection
    return found.run, found.prompt, found.stage, found.layer, found.head, found.position


ASKED = ("tale", Prompt("The old dog"), "matrix", 1, 2, 1)


async def test_a_state_comes_before_the_first_prompt_of_a_screen_never_opened(
    app: LabApp, settle: Settle, until: Until, engine: FakeEngine, make_run: Any
) -> None:
    app.DEFAULT_MODE = "home"  # type: ignore[misc]
    make_run("other")
    async with app.run_test(size=(80, 24)) as pilot:
        app.post_message(OpenState(PLACE))
        await until(pilot, lambda: app.current_mode == "inspect")
        await settle(pilot)
        assert place(app) == ASKED
        asked = ("text", "stage", "layer", "head", "position")
        assert ["The old dog", "matrix", 1, 2, 1] in [[call[name] for name in asked] for call in engine.asked("view")]

        # From another run, while the model of this one is still being opened, and in the same run.
        await pilot.press(*to_stage("heads", "matrix"), "u")
        await settle(pilot)
        app.run_name = "other"
        await until(pilot, lambda: inspect(app).selection.run == "other")
        await settle(pilot)
        assert place(app)[:3] == ("other", Prompt("The big dog ran"), "heads")
        app.post_message(OpenState(PLACE))
        await until(pilot, lambda: inspect(app).selection.run == "tale")
        await settle(pilot)
        assert place(app) == ASKED
        app.post_message(OpenState(msgspec.structs.replace(PLACE, prompt="A", stage="qkv", position=7)))
        await until(pilot, lambda: inspect(app).selection.stage == "qkv")
        await settle(pilot)
        assert "position 1/1" in inspect(app).query_one("#prompt-facts").left  # type: ignore[attr-defined]
        await pilot.press("u")
        await settle(pilot)
        assert place(app)[1] == Prompt("The old dog"), "undo leads back to the prompt before"

        before = place(app), app.run_name
        app.post_message(OpenState(msgspec.structs.replace(PLACE, run="gone", prompt="A")))
        await until(pilot, lambda: len(app._notifications) == 1)
        assert (place(app), app.run_name) == before
        assert "no run called 'gone'" in next(iter(app._notifications)).message

        # A run chosen by hand begins with its own prompt, also the one that a state was of.
        app.run_name = "other"
        await until(pilot, lambda: inspect(app).selection.run == "other")
        app.run_name = "tale"
        await until(pilot, lambda: inspect(app).selection.run == "tale")
        await settle(pilot)
        assert place(app)[1] == Prompt("The big dog ran")


async def test_the_tokens_of_a_state_are_there_before_the_engine_answers(
    app: LabApp, settle: Settle, until: Until, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.runs.load_tokenizer.tokenizer_of", lambda run: Tokenizer.bytes_())
    engine.opens = asyncio.Event()

    def tokens() -> str:
        return "".join(token.label for token in inspect(app).query_one(TokenStrip).tokens)

    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: tokens() == "The␣big␣dog␣ran")
        app.post_message(OpenState(PLACE))
        await until(pilot, lambda: tokens() == "The␣old␣dog")
        assert place(app) == ASKED
        app.post_message(OpenState(msgspec.structs.replace(PLACE, ids=(72, 105), prompt="The")))
        await until(pilot, lambda: tokens() == "Hi")
        app.post_message(OpenState(msgspec.structs.replace(PLACE, ids=(72, 70_000))))
        await until(pilot, lambda: inspect(app).selection.prompt.ids == (72, 70_000))
        engine.opens.set()
        await settle(pilot)
        assert place(app)[2:] == ASKED[2:]
