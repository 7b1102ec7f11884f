"""The tour of the forward pass: its stops, its sentences, and the keys that end it."""

from typing import Any

import pytest
from msgspec import structs

from lab.inspect.interventions import Intervention
from lab.inspect.stages.stage_registry import STAGES, stage_entries
from lab.views.blocks import Prediction
from screens.inspect.selection import Selection
from screens.inspect.tour import HINT, tour_sentence, tour_stops
from screens.messages import RunChosen
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


def test_every_stage_has_a_sentence_and_one_that_is_changed_names_what_changes_it(engine: Any) -> None:
    facts, path = engine.open("tale", "best"), engine.lens("The big dog ran", None, None)
    for step in stage_entries(2):
        step.lens, step.added = Prediction(3049, " fast", 0.4), 7.2
        assert tour_sentence(step, Selection("tale"), facts, path).endswith("."), step
        step.lens = None
        assert bool(tour_sentence(step, Selection("tale"), facts, path)) is ("{prediction}" not in STAGES[step.stage].tour), step

    made = (
        Intervention(part="attn.z", how="off", layer=0, head=1),
        Intervention(part="mlp_out", how="off", layer=1),
        Intervention(part="resid_post", how="scale", factor=0.5, layer=0),
    )

    def said(stage: str, layer: int, interventions: tuple[Intervention, ...] = made) -> str:
        step = next(step for step in path.steps if (step.stage, step.layer) == (stage, layer))
        return tour_sentence(step, Selection("tale", interventions=interventions), facts, path)

    assert said("scores", 0) == "Changed here: head 1.2 off."
    assert not said("scores", 1).startswith("Changed")
    assert said("mlp", 1) == "Changed here: mlp 2 off."
    assert said("mlp", 0).startswith("The MLP goes from"), "the stream after it is changed, not the MLP"
    assert said("resid_post", 0) == "Changed here: stream after mlp 1 × 0.5."
    assert said("resid_mid", 1, ()) == (
        "Layer 2's attention adds a vector of norm 7.20; if the model stopped here, it would predict “ fast” (40.0%)."
    )
    assert tour_sentence(path.steps[0], Selection("tale"), facts, structs.replace(path, dropped=300)) == (
        "The prompt is cut into 304 tokens out of a vocabulary of 50,257; the model sees the last 4."
    ), "those before the context are counted, too"


async def test_p_plays_the_forward_pass_to_its_end_any_other_key_stops_it_and_acts_and_plus_and_minus_change_the_pace(
    inspect: Open, monkeypatch: pytest.MonkeyPatch, steps: list[Any]
) -> None:
    async with inspect() as pilot:
        screen = pilot.screen
        ids = {each.binding.id for each in screen.active_bindings.values()}
        assert {f"inspect.{action}" for stage in STAGES.values() for action in stage.keys} <= ids, "keys that a stage names"
        status = screen.query_one("#inspect-status", StatusLine)
        for key, does, back in (
            ("p", lambda: stage_of(pilot) == "tokens", ""),
            ("escape", lambda: stage_of(pilot) == "tokens", ""),
            ("j", lambda: stage_of(pilot) == steps[1].stage, "k"),
            ("x", lambda: bool(screen.selection.interventions), "x"),
            ("question_mark", lambda: pilot.app.screen is not screen, "escape"),
            ("1", lambda: pilot.app.current_mode == "home", "5"),
        ):
            await pilot.go("p")
            assert status.left.startswith("The prompt is cut into 4 tokens out of a vocabulary of 50,257."), key
            await pilot.go(key)
            await pilot.until(does)
            assert not screen._tour.is_playing, key
            await pilot.go(*[back] * bool(back))
            await pilot.until(lambda: pilot.app.screen is screen and stage_of(pilot) == "tokens")
            assert not screen.selection.interventions, key
            assert "stops" not in status.left, key
        await pilot.press("p", "plus", "plus")
        assert screen._tour._pace == 0
        await pilot.press("minus")
        assert screen._tour._pace == 1
        assert screen._tour.is_playing
        monkeypatch.setattr("screens.inspect.tour.SECONDS_A_STAGE", (0.0,) * 4)
        await pilot.go("escape")
        await pilot.press("p")
        await pilot.until(lambda: not screen._tour.is_playing)
        await pilot.settle()
        assert stage_of(pilot) == steps[-1].stage
        assert "stops" not in status.left


@pytest.mark.parametrize(("keys", "token"), [(("left",), "3 “ dog”"), (("p", "escape"), "4 “ ran”")])
async def test_the_first_sight_leads_to_the_tour_until_it_is_taken_or_the_user_has_moved(
    inspect: Open, make_run: Any, keys: tuple[str, ...], token: str
) -> None:
    make_run("other")
    async with inspect() as pilot:
        status = pilot.screen.query_one("#inspect-status", StatusLine)
        first = f"stage 1/31 · {HINT}"
        assert (pilot.status, status.has_class("-next"), status.size.height) == (first, True, 1)
        await pilot.go("e")
        assert HINT not in pilot.status, "there p is a letter"
        await pilot.go("escape")
        pilot.app.post_message(RunChosen("other"))
        await pilot.until(lambda: pilot.screen.selection.run == "other")
        await pilot.settle()
        assert pilot.status == first, "another model is no move"
        await pilot.go(*keys)
        assert (pilot.status, status.has_class("-next")) == (f"stage 1/31 · x hides token {token}", False)


def stage_of(pilot: InspectPilot) -> str:
    steps = pilot.screen.query_one(ForwardPassList)
    return steps.steps[steps.current].stage
