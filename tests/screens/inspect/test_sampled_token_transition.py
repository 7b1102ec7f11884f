"""The transition of a sampled token: it begins in the colour of the prediction, fades, and ends with any key."""

import pytest
from rich.style import Style

from screens.widgets.token_strip import TokenStrip
from tests.screens.inspect.conftest import InspectPilot, Open

SECONDS_OF = "screens.inspect.view_transition.seconds_of"


def strip_of(pilot: InspectPilot) -> TokenStrip:
    return pilot.strip


def last_style(strip: TokenStrip) -> Style:
    """The style of the last token's label."""
    label = strip.tokens[-1].label
    return next(each.style or Style() for each in reversed(list(strip.render_line(strip.above))) if each.text == label)


async def test_a_sampled_token_is_highlighted_until_any_key(inspect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SECONDS_OF, lambda *_, **__: 60.0)
    async with inspect() as pilot:
        strip = strip_of(pilot)
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


async def test_the_highlight_fades_by_itself(inspect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SECONDS_OF, lambda *_, **__: 0.06)
    async with inspect() as pilot:
        strip, seen = strip_of(pilot), []
        monkeypatch.setattr(TokenStrip, "watch_highlight", lambda _, new: seen.append(new), raising=False)
        await pilot.go("space")
        await pilot.until(lambda: seen and not strip.highlight)
        assert seen[0] == 1
        assert seen == sorted(seen, reverse=True)


async def test_no_token_is_highlighted_without_a_terminal(inspect: Open) -> None:
    async with inspect() as pilot:
        strip, tokens = strip_of(pilot), len(strip_of(pilot).tokens)
        await pilot.go("space")
        assert len(strip.tokens) == tokens + 1
        assert strip.highlight == 0
