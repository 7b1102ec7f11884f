"""The transition of a softmax table: when it plays, how it ends, and that it is short."""

import pytest

from screens.inspect.view_transition import SECONDS, seconds_of
from tests.screens.inspect.conftest import Open, to_stage


def test_no_transition_takes_as_long_as_300_milliseconds_and_some_places_have_none() -> None:
    assert max(SECONDS.values()) < 0.3
    assert seconds_of("normal", headless=False, environment={}) == SECONDS["normal"]
    assert seconds_of("off", headless=False, environment={}) == 0
    assert seconds_of("normal", headless=True, environment={}) == 0
    assert seconds_of("normal", headless=False, environment={"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}) == 0


async def test_columns_fill_from_the_left_and_any_key_shows_all(inspect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screens.inspect.view_transition.seconds_of", lambda *_, **__: 60.0)
    async with inspect() as pilot:
        screen = pilot.screen
        view = pilot.view
        for _ in range(10):
            await pilot.go("j")
            if screen.selection.stage == "scores":
                break
        assert view.columns_drawn == view.room // 6
        drawn = [view.render_line(y).text for y in range(view.window)]
        await pilot.press("ctrl+underscore")
        assert view.columns_drawn is None
        complete = [view.render_line(y).text for y in range(view.window)]
        assert drawn != complete
        assert [line[: view.room // 6].rstrip() for line in complete] == [line[:-1].rstrip() for line in drawn]


async def test_a_transition_ends_by_itself_with_the_whole_view(inspect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screens.inspect.view_transition.seconds_of", lambda *_, **__: 0.01)
    async with inspect() as pilot:
        view = pilot.view
        await pilot.go(*to_stage("scores"))
        await pilot.until(lambda: view.columns_drawn is None)
        assert any(len(view.render_line(y).text.strip()) > view.room // 2 for y in range(view.window))
