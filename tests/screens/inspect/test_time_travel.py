"""The slider over training, over the fake engine and a run whose snapshots are files of the right names."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lab.reports.training_timeline import TimelineStop
from lab.views.blocks import Table
from screens.help_rows import sections_of
from screens.inspect.inspect_screen import InspectScreen
from screens.inspect.widgets.time_slider import TimeSlider, columns_of, rail_of
from screens.widgets.forward_pass_list import ForwardPassList
from tests.screens.inspect.conftest import SIZES, FakeEngine, InspectPilot, Open, to_stage
from tests.screens.test_key_map import MOST_ROWS

STOPS = (TimelineStop("0", 0), TimelineStop("1", 1), TimelineStop("256", 256), TimelineStop("best", 2000, ("best", "last")))


@pytest.fixture(autouse=True)
def trained(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots at four steps, each with weights of its own: the numbers follow the step."""
    monkeypatch.setattr("lab.reports.training_timeline.stops", lambda run: list(STOPS))
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


async def test_t_opens_the_slider_where_one_is_and_arrows_look_at_other_weights(inspect: Open, engine: Any) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await pilot.walk(*to_stage("scores"), "t")
        slider = slider_of(pilot)
        assert (slider.index, pilot.app.focused) == (3, slider)
        assert slider.words[0] == "says “ fast” 60.0%"
        await pilot.walk("left")
        assert "step 256 (snapshot)" in pilot.facts
        assert slider.words[0] == "says “ fast” 16.4%, −43.6 points against step 2,000"
        asked = [call for call in engine.asked("view") if call["checkpoint"] == "256"]
        assert (asked[0]["stage"], asked[0]["head"], asked[0]["position"]) == ("scores", 0, None)
        await pilot.walk("home")
        assert "step 0 (snapshot)" in pilot.facts
        assert slider.words[0] == "says “ fast” 10.0%, −6.4 points against step 256"


async def test_of_a_run_that_trains_the_newest_weights_are_read_and_named(inspect: Open, engine: FakeEngine) -> None:
    """The stops were listed when the best weights were those of step 2,000; they are of step 2,400 when they are read."""
    async with inspect(size=(120, 40)) as pilot:
        assert "step 2,000 (best)" in pilot.facts
        engine.steps["best"], engine.tells_steps = 2400, True
        await pilot.walk("t")
        slider = slider_of(pilot)
        assert "step 2,400 (best)" in pilot.facts
        assert slider.stops[slider.index].step == 2400
        await pilot.walk("left")
        assert slider.words[0].endswith("against step 2,400")


async def test_a_snapshot_that_is_listed_no_more_renames_no_other(inspect: Open, engine: FakeEngine) -> None:
    """Of a long run that trains some snapshots go: one in view is then none of the stops."""
    async with inspect(size=(120, 40)) as pilot:
        engine.tells_steps = True
        await pilot.walk("t")
        slider = slider_of(pilot)
        slider.stops = tuple(stop for stop in STOPS if stop.step != 256)
        pilot.screen.selection = replace(pilot.screen.selection, checkpoint="256")
        await pilot.settle()
        assert [stop.step for stop in slider.stops] == [0, 1, 2000]


async def test_before_the_first_evaluation_the_last_weights_stand_for_the_best_at_their_own_stop(
    inspect: Open, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = (TimelineStop("last", 0, ("last",)), TimelineStop("1", 1), TimelineStop("2", 2))
    monkeypatch.setattr("lab.reports.training_timeline.stops", lambda run: list(early))
    async with inspect(size=(120, 40)) as pilot:
        engine.steps, engine.tells_steps = {"best": 0, "last": 0}, True
        await pilot.walk("t")
        slider = slider_of(pilot)
        assert slider.stops == early, "no stop is renamed"
        assert slider.index == 0


async def test_the_number_under_the_cursor_is_followed(inspect: Open) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await pilot.walk(*to_stage("scores"), "enter", "t")
        view = pilot.view
        assert view.cursor is not None
        ref = view.laid.spot(view.cursor).ref
        await pilot.walk("left")
        words = slider_of(pilot).words[1]
        assert words.startswith(f"{ref} = ")
        assert "−1.74 against step 2,000" in words
        assert view.holds_cursor


async def test_the_help_stays_short_whatever_has_the_focus(inspect: Open) -> None:
    async with inspect(size=(120, 40)) as pilot:
        for keys in ([], to_stage("scores"), ["x"], ["tab"], ["shift+tab", "c"], ["c", "enter"], ["escape", "t"]):
            await pilot.walk(*keys)
            rows = [row.words for _, rows in sections_of(pilot.screen) for row in rows if row.is_listed]
            assert len(rows) <= MOST_ROWS, (keys, rows)


async def test_the_neighbours_are_there_before_they_are_asked_for(inspect: Open, engine: Any) -> None:
    async with inspect() as pilot:
        await pilot.walk("t", "left")
        assert {call["checkpoint"] for call in engine.asked("view")} >= {"best", "256", "1"}
        before = len(engine.asked("view"))
        await pilot.press("left")
        assert all(call["checkpoint"] != "1" for call in engine.asked("view")[before:])


@pytest.mark.parametrize(
    ("key", "shown"), [("escape", "step 2,000 (best)"), ("enter", "step 1 (snapshot)"), ("t", "step 1 (snapshot)")]
)
async def test_escape_goes_back_and_enter_keeps(key: str, shown: str, inspect: Open) -> None:
    async with inspect() as pilot:
        await pilot.walk("t", "left", "left")
        await pilot.go(key)
        assert not slider_of(pilot).has_class("-open")
        assert shown in pilot.facts
        assert isinstance(pilot.app.focused, ForwardPassList)


async def test_space_plays_to_the_end_and_stops_there(inspect: Open, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screens.inspect.time_travel.SECONDS_A_STOP", 0.05)
    async with inspect() as pilot:
        await pilot.walk("t")
        slider = slider_of(pilot)
        seen: list[int] = []
        pilot.app.screen.watch(slider, "index", lambda index: seen.append(index), init=False)
        await pilot.press("space")
        await pilot.until(lambda: seen and not slider.playing)
        await pilot.settle()
        assert seen == [0, 1, 2, 3]
        assert "step 2,000 (best)" in pilot.facts
        assert slider.words[0] == "says “ fast” 60.0%, +43.6 points since step 256"
        assert not engine.asked("sample")


async def test_other_keys_work_meanwhile(inspect: Open) -> None:
    async with inspect() as pilot:
        await pilot.walk("t", "left", *to_stage("ln1"), "]")
        selection = pilot.app.screen.selection  # type: ignore[attr-defined]
        assert (selection.checkpoint, selection.stage, selection.head) == ("256", "ln1", 1)
        await pilot.walk("h")
        assert pilot.app.screen.selection.position == 2  # type: ignore[attr-defined]


async def test_a_snapshot_that_is_gone_is_said_and_the_slider_stays_where_it_was(inspect: Open, engine: Any) -> None:
    async with inspect() as pilot:
        await pilot.walk("t", "left")
        engine.refuses["open"] = "tale has no checkpoint called '0'."
        await pilot.walk("home")
        assert slider_of(pilot).index == 2
        assert pilot.status == "tale has no checkpoint called '0'."


async def test_a_run_without_snapshots_is_told_in_a_sentence(inspect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.core.errors import UserError

    def none(run: object) -> list[TimelineStop]:
        raise UserError("tale has no snapshots.")

    monkeypatch.setattr("lab.reports.training_timeline.stops", none)
    async with inspect() as pilot:
        await pilot.walk("t")
        assert pilot.status == "tale has no snapshots."
        assert isinstance(pilot.app.screen, InspectScreen)
        assert not slider_of(pilot).has_class("-open")


def test_stops_reach_from_one_end_of_the_rail_to_the_other() -> None:
    assert columns_of(1, 10) == [0]
    assert columns_of(4, 10) == [0, 3, 6, 9]
    assert columns_of(3, 2)[-1] == 1


def test_the_rail_names_steps_and_the_best_where_they_fit() -> None:
    stops = [TimelineStop(str(step), step) for step in (0, 16, 64, 1000, 2000)]
    stops[3] = TimelineStop("best", 1000, ("best",))
    assert rail_of(stops, 41) == "┼─────────┼16───────┼─────────best──────┼"
    assert rail_of(stops, 9) == "┼─┼─┼─b─┼"
    assert rail_of(STOPS, 25) == "┼───────┼1──────┼────best"
    many = [TimelineStop(str(step), step, ("best",) if step == 200 else ()) for step in (0, 1, 8, 100, 160, 200)]
    assert rail_of(many, 36) == "┼──────┼1─────┼──────┼100───┼───best", "the last word cuts no label"


@pytest.mark.parametrize("size", SIZES, ids=SIZES)
def test_picture(size: str, picture: Callable[..., None]) -> None:
    picture([*to_stage("scores"), "enter", "t", "left"], SIZES[size])
