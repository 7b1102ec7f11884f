"""The slider over training, over the fake engine and a run whose snapshots are files of the right names."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lab.analysis.training_timeline import TimelineStop
from lab.core.errors import UserError
from lab.views.blocks import Table
from screens.help_screen import sections_of
from screens.inspect.widgets.time_slider import TimeSlider, columns_of, rail_of
from screens.widgets.forward_pass_list import ForwardPassList
from tests.screens.inspect.conftest import FakeEngine, InspectPilot, Open, to_stage
from tests.screens.test_key_map import MOST_ROWS

STOPS = (TimelineStop("0", 0), TimelineStop("1", 1), TimelineStop("256", 256), TimelineStop("best", 2000, ("best", "last")))


@pytest.fixture(autouse=True)
def trained(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots at four steps, each with weights of its own: the numbers follow the step."""
    monkeypatch.setattr("lab.analysis.training_timeline.stops", lambda run: list(STOPS))
    engine.steps = {stop.checkpoint: stop.step for stop in STOPS}
    lens, view = engine.lens, engine.view

    def lens_at(checkpoint: str, **params: Any) -> Any:
        found = lens(**params)
        found.top[0].probability = 0.1 + engine.step_of(checkpoint) / 4000
        return found

    def view_at(checkpoint: str, **params: Any) -> Any:
        found = view(**params)
        for block in found.blocks:
            for cell in itertools.chain(*block.rows) if isinstance(block, Table) else ():
                cell.value = None if cell.value is None else cell.value + engine.step_of(checkpoint) / 1000
        return found

    monkeypatch.setattr(engine, "lens", lens_at)
    monkeypatch.setattr(engine, "view", view_at)


def slider_of(pilot: InspectPilot) -> TimeSlider:
    return pilot.screen.query_one(TimeSlider)


async def test_t_opens_the_slider_where_one_is_arrows_look_at_other_weights_and_follow_the_number_under_the_cursor(
    inspect: Open, engine: Any
) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await pilot.go(*to_stage("scores"), "enter", "t")
        slider, view = slider_of(pilot), pilot.view
        assert (slider.index, pilot.app.focused) == (3, slider)
        assert slider.words[0] == "says “ fast” 60.0%"
        assert view.cursor is not None
        ref = view.laid.spot(view.cursor).ref
        await pilot.go("left")
        assert "step 256 (snapshot)" in pilot.facts
        assert slider.words[0] == "says “ fast” 16.4%, −43.6 points against step 2,000"
        assert slider.words[1].startswith(f"{ref} = ")
        assert "−1.74 against step 2,000" in slider.words[1]
        assert view.holds_cursor
        asked = [call for call in engine.asked("view") if call["checkpoint"] == "256"]
        assert (asked[0]["stage"], asked[0]["head"], asked[0]["position"]) == ("scores", 0, None)
        await pilot.go("home")
        assert "step 0 (snapshot)" in pilot.facts
        assert slider.words[0] == "says “ fast” 10.0%, −6.4 points against step 256"


async def test_of_a_run_that_trains_the_newest_weights_are_read_and_named(
    inspect: Open, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stops were listed when the best weights were those of step 2,000; they are of step 2,400 when they are read. Some
    snapshots of a long run go: one in view is then none of the stops."""
    async with inspect(size=(120, 40)) as pilot:
        assert "step 2,000 (best)" in pilot.facts
        engine.steps["best"], engine.tells_steps = 2400, True
        await pilot.go("t")
        slider = slider_of(pilot)
        assert "step 2,400 (best)" in pilot.facts
        assert slider.stops[slider.index].step == 2400
        await pilot.go("left")
        assert slider.words[0].endswith("against step 2,400")
        slider.stops = tuple(stop for stop in slider.stops if stop.step != 256)
        pilot.screen.selection = replace(pilot.screen.selection, checkpoint="256")
        await pilot.settle()
        assert [stop.step for stop in slider.stops] == [0, 1, 2400], "one that is listed no more renames no other"

        # Before the first evaluation the last weights stand for the best, at a stop of their own.
        early = (TimelineStop("last", 0, ("last",)), TimelineStop("1", 1), TimelineStop("2", 2))
        monkeypatch.setattr("lab.analysis.training_timeline.stops", lambda run: list(early))
        await pilot.go("escape")
        engine.steps = {"best": 0, "last": 0}
        await pilot.go("t")
        assert slider.stops == early, "no stop is renamed"
        assert slider.index == 0


async def test_the_help_stays_short_whatever_has_the_focus(inspect: Open) -> None:
    async with inspect(size=(120, 40)) as pilot:
        for keys in ([], to_stage("scores"), ["x"], ["tab"], ["shift+tab", "c"], ["c", "enter"], ["escape", "t"]):
            await pilot.go(*keys)
            rows = [row.words for _, rows in sections_of(pilot.screen) for row in rows if row.is_listed]
            assert len(rows) <= MOST_ROWS, (keys, rows)


async def test_the_slider_goes_back_with_escape_keeps_with_enter_or_t_and_leaves_other_keys_their_work(
    inspect: Open, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inspect() as pilot:
        slider = slider_of(pilot)
        await pilot.go("t", "left")
        assert {call["checkpoint"] for call in engine.asked("view")} >= {"best", "256", "1"}
        engine.refuses["open"] = "tale has no checkpoint called '0'."
        await pilot.go("home")
        assert slider.index == 2, "it stays where it was"
        assert pilot.status == "tale has no checkpoint called '0'."
        engine.refuses.clear()
        before = len(engine.asked("view"))
        await pilot.press("left")
        assert all(call["checkpoint"] != "1" for call in engine.asked("view")[before:]), "it was there before it was asked for"
        await pilot.go("right", *to_stage("ln1"), "]")
        selection = pilot.screen.selection
        assert (selection.checkpoint, selection.stage, selection.head) == ("256", "ln1", 1)
        await pilot.go("h")
        assert pilot.screen.selection.position == 2
        await pilot.go("l")

        for key, shown in (("escape", "step 2,000 (best)"), ("enter", "step 1 (snapshot)"), ("t", "step 0 (snapshot)")):
            if not slider.has_class("-open"):
                await pilot.go("t", *["left"] * (2 if key == "enter" else 1))
            await pilot.go(key)
            assert not slider.has_class("-open")
            assert shown in pilot.facts
            assert isinstance(pilot.app.focused, ForwardPassList)

        monkeypatch.setattr("screens.inspect.time_travel.SECONDS_A_STOP", 0.05)
        await pilot.go("t", "end")
        seen: list[int] = []
        pilot.app.screen.watch(slider, "index", lambda index: seen.append(index), init=False)
        await pilot.press("space")
        await pilot.until(lambda: seen and not slider.playing)
        await pilot.settle()
        assert seen == [0, 1, 2, 3], "to the end, where it stops"
        assert "step 2,000 (best)" in pilot.facts
        assert slider.words[0] == "says “ fast” 60.0%, +43.6 points since step 256"
        assert not engine.asked("sample")

        def none(run: object) -> list[TimelineStop]:
            raise UserError("tale has no snapshots.")

        await pilot.go("t")
        monkeypatch.setattr("lab.analysis.training_timeline.stops", none)
        await pilot.go("t")
        assert pilot.status == "tale has no snapshots."
        assert not slider.has_class("-open")


def test_stops_reach_from_one_end_of_the_rail_to_the_other() -> None:
    assert columns_of(1, 10) == [0]
    assert columns_of(4, 10) == [0, 3, 6, 9]
    assert columns_of(3, 2)[-1] == 1


def test_the_rail_names_steps_and_the_best_where_they_fit() -> None:
    stops = [TimelineStop(str(step), step) for step in (0, 16, 64, 1000, 2000)]
    stops[3] = TimelineStop("best", 1000, ("best",))
    assert rail_of(stops, 41) == "┼─────────┼16───────┼─────────┼best─────┼"
    assert rail_of(stops, 9) == "┼─┼─┼─b─┼"
    assert rail_of(STOPS, 25) == "┼───────┼1──────┼───best┼"
    many = [TimelineStop(str(step), step, ("best",) if step == 200 else ()) for step in (0, 1, 8, 100, 160, 200)]
    assert rail_of(many, 36) == "┼──────┼1─────┼──────┼100───┼──best┼", "the last word cuts no label"


def test_picture(picture: Callable[..., None]) -> None:
    picture([*to_stage("scores"), "enter", "t", "left"], (80, 24))
