"""The tour of the forward pass: its stops, its sentences, and the keys that end it."""

from typing import Any

import pytest
from msgspec import structs

from lab.inspect.interventions import Intervention
from lab.inspect.stages.stage_registry import STAGES, stage_entries
from lab.views.blocks import Prediction
from screens.inspect.selection import Selection
from screens.inspect.tour import tour_sentence, tour_stops
from screens.widgets.forward_pass_list import ForwardPassList
from screens.widgets.status_line import StatusLine
from tests.screens.inspect.conftest import InspectPilot, Open


def test_a_tour_shows_one_layer_in_full_and_of_the_others_what_they_add() -> None:
    steps = stage_entries(3)
    stops = [steps[index] for index in tour_stops(steps, 0)]
    assert [step.stage for step in stops if step.layer == 0] == [step.stage for step in steps if step.layer == 0]
    assert [(step.layer, step.stage) for step in stops if step.layer] == [
        (layer, stage) for layer in (1, 2) for stage in ("resid_mid", "resid_post")
    ]
    assert [step.stage for step in stops if step.layer is None] == [step.stage for step in steps if step.layer is None]


def test_a_tour_begins_at_the_chosen_stage() -> None:
    steps = stage_entries(3)
    first = next(index for index, step in enumerate(steps) if step.stage == "values" and step.layer == 1)
    stops = [(steps[index].layer, steps[index].stage) for index in tour_stops(steps, first)]
    assert stops[:3] == [(1, "values"), (1, "attn_out"), (1, "resid_mid")]
    assert (0, "resid_mid") not in stops


def test_every_stage_has_a_sentence_and_one_that_is_changed_says_so(engine: Any) -> None:
    facts, path = engine.open("tale", "best"), engine.lens("The big dog ran", None, None)
    written = {step.stage: step for step in path.steps}
    for step in stage_entries(2):
        step.lens, step.added = Prediction(3049, " fast", 0.4), 7.2
        assert tour_sentence(step, Selection("tale"), facts, path).endswith("."), step
        step.lens = None
        assert bool(tour_sentence(step, Selection("tale"), facts, path)) is ("{prediction}" not in STAGES[step.stage].tour), step
    off = Selection("tale", interventions=(Intervention(part="attn.z", how="off", layer=0, head=1),))
    assert tour_sentence(written["scores"], off, facts, path) != "Changed here: head 1.2 off."
    first = next(step for step in path.steps if step.stage == "scores" and step.layer == 0)
    assert tour_sentence(first, off, facts, path) == "Changed here: head 1.2 off."
    added = next(step for step in path.steps if step.stage == "resid_mid" and step.layer == 1)
    assert tour_sentence(added, Selection("tale"), facts, path) == (
        "Layer 2's attention adds a vector of norm 7.20; if the model stopped here, it would predict “ fast” (40.0%)."
    )


async def test_the_keys_that_a_stage_names_are_those_of_the_screen(inspect: Open) -> None:
    async with inspect() as pilot:
        ids = {each.binding.id for each in pilot.app.screen.active_bindings.values()}
        assert {f"inspect.{action}" for stage in STAGES.values() for action in stage.keys} <= ids


def test_a_changed_stage_names_only_what_changes_it(engine: Any) -> None:
    facts, path = engine.open("tale", "best"), engine.lens("The big dog ran", None, None)
    made = (
        Intervention(part="attn.z", how="off", layer=0, head=1),
        Intervention(part="mlp_out", how="off", layer=1),
        Intervention(part="resid_post", how="scale", factor=0.5, layer=0),
    )

    def said(stage: str, layer: int) -> str:
        step = next(step for step in path.steps if (step.stage, step.layer) == (stage, layer))
        return tour_sentence(step, Selection("tale", interventions=made), facts, path)

    assert said("scores", 0) == "Changed here: head 1.2 off."
    assert said("mlp", 1) == "Changed here: mlp 2 off."
    assert said("mlp", 0).startswith("The MLP goes from"), "the stream after it is changed, not the MLP"
    assert said("resid_post", 0) == "Changed here: stream after mlp 1 × 0.5."


def test_the_sentence_on_the_tokens_counts_those_before_the_context_too(engine: Any) -> None:
    facts, path = engine.open("tale", "best"), engine.lens("The big dog ran", None, None)
    longer = structs.replace(path, dropped=300)
    assert tour_sentence(path.steps[0], Selection("tale"), facts, longer) == (
        "The prompt is cut into 304 tokens out of a vocabulary of 50,257; the model sees the last 4."
    )


def test_the_sentence_on_the_logit_lens_names_its_rows_and_columns_as_they_are_drawn(engine: Any) -> None:
    facts, path = engine.open("tale", "best"), engine.lens("The big dog ran", None, None)
    sentence = tour_sentence(next(step for step in stage_entries(2) if step.stage == "lens"), Selection("tale"), facts, path)
    assert sentence.startswith("Every row is a token; each column")


def stage_of(pilot: InspectPilot) -> str:
    steps = pilot.screen.query_one(ForwardPassList)
    return steps.steps[steps.current].stage


async def test_t_plays_the_forward_pass_to_its_end(inspect: Open, monkeypatch: pytest.MonkeyPatch, steps: list[Any]) -> None:
    monkeypatch.setattr("screens.inspect.tour.SECONDS_A_STAGE", (0.0,) * 4)
    async with inspect() as pilot:
        screen = pilot.screen
        await pilot.press("p")
        await pilot.until(lambda: not screen._tour.is_playing)
        await pilot.settle()
        assert stage_of(pilot) == steps[-1].stage
        assert "stops" not in screen.query_one("#inspect-status", StatusLine).left


async def test_any_key_stops_the_tour_and_does_nothing_else(inspect: Open) -> None:
    async with inspect() as pilot:
        screen = pilot.screen
        status = screen.query_one("#inspect-status", StatusLine)
        for key in ("j", "p", "escape", "x", "question_mark"):
            await pilot.go("p")
            assert status.left.startswith("The prompt is cut into 4 tokens out of a vocabulary of 50,257.")
            await pilot.go(key)
            assert not screen._tour.is_playing
            assert pilot.app.screen is screen
            assert stage_of(pilot) == "tokens"
            assert not screen.selection.interventions
            assert "stops" not in status.left


async def test_plus_and_minus_change_the_pace(inspect: Open) -> None:
    async with inspect() as pilot:
        screen = pilot.screen
        await pilot.press("p", "plus", "plus")
        assert screen._tour._pace == 0
        await pilot.press("minus")
        assert screen._tour._pace == 1
        assert screen._tour.is_playing
