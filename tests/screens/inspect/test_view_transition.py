"""The transitions to a softmax table and to a sampled token: when they play, how they end, and that they are short."""

import pytest
from rich.style import Style

from screens.inspect.shading_and_transitions import SECONDS, seconds_of
from screens.widgets.token_strip import TokenStrip
from tests.screens.inspect.conftest import Open, to_stage

SECONDS_OF = "screens.inspect.shading_and_transitions.seconds_of"


def test_no_transition_takes_as_long_as_300_milliseconds_and_some_places_have_none() -> None:
    assert max(SECONDS.values()) < 0.3
    assert seconds_of("normal", headless=False, environment={}) == SECONDS["normal"]
    assert seconds_of("off", headless=False, environment={}) == 0
    assert seconds_of("normal", headless=True, environment={}) == 0
    assert seconds_of("normal", headless=False, environment={"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}) == 0


def last_style(strip: TokenStrip) -> Style:
    """The style of the last token's label."""
    label = strip.tokens[-1].label
    return next(each.style or Style() for each in reversed(list(strip.render_line(strip.above))) if each.text == label)


async def test_columns_fill_from_the_left_and_a_sampled_token_is_highlighted_until_any_key(
    inspect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SECONDS_OF, lambda *_, **__: 60.0)
    async with inspect() as pilot:
        view, strip = pilot.view, pilot.strip
        await pilot.go(*to_stage("scores"))
        assert view.columns_drawn == view.room // 6
        drawn = [view.render_line(y).text for y in range(view.window)]
        await pilot.press("ctrl+underscore")
        assert view.columns_drawn is None
        complete = [view.render_line(y).text for y in range(view.window)]
        assert drawn != complete
        assert [line[: view.room // 6].rstrip() for line in complete] == [line[:-1].rstrip() for line in drawn]

        before, tokens = last_style(strip), len(strip.tokens)
        predicted = strip.get_component_rich_style("tokens--next").color
        assert strip.highlight == 0
        await pilot.go("space")
        assert len(strip.tokens) == tokens + 1
        assert strip.highlight == 1
        assert last_style(strip).bgcolor == predicted
        strip.highlight = 0.5
        assert last_style(strip).bgcolor not in (predicted, before.color)
        await pilot.press("ctrl+underscore")
        assert strip.highlight == 0
        assert last_style(strip) == before
        await pilot.go("u")
        assert len(strip.tokens) == tokens
        assert strip.highlight == 0, "undo draws no token"


async def test_a_transition_ends_by_itself_and_none_plays_without_a_terminal(
    inspect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inspect() as pilot:
        view, strip, tokens = pilot.view, pilot.strip, len(pilot.strip.tokens)
        await pilot.go("space")
        assert (len(strip.tokens), strip.highlight) == (tokens + 1, 0)
        monkeypatch.setattr(SECONDS_OF, lambda *_, **__: 0.01)
        for late in (2.0, 0.0):
            monkeypatch.setattr("screens.inspect.shading_and_transitions.LATE", late)
            await pilot.go("home", *to_stage("scores"))
            await pilot.until(lambda: view.columns_drawn is None)
            assert any(len(view.render_line(y).text.strip()) > view.room // 2 for y in range(view.window))
        monkeypatch.setattr(SECONDS_OF, lambda *_, **__: 0.06)
        monkeypatch.setattr("screens.inspect.shading_and_transitions.LATE", 2.0)
        seen: list[float] = []
        monkeypatch.setattr(TokenStrip, "watch_highlight", lambda _, new: seen.append(new), raising=False)
        await pilot.go("space")
        await pilot.until(lambda: seen and not strip.highlight)
        assert seen[0] == 1
        assert seen == sorted(seen, reverse=True)
