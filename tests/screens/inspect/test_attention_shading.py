"""Shading of the prompt's tokens by the attention of the chosen head."""

import asyncio

import numpy as np
import pytest

from lab.views.blocks import Array, HeadAttention
from screens.colour import Palette
from screens.inspect.shading_and_transitions import shading_of
from screens.widgets.status_line import StatusLine
from tests.screens.inspect.conftest import FakeEngine, Open, to_stage
from tests.screens.pilot_waits import settle

NAN = float("nan")
ATTENTION = HeadAttention(1, 2, 1, Array.of(np.array([0.75, 0.25, NAN])), Array.of(np.array([NAN, 0.25, 0.5])))


def test_shading_is_what_the_token_pays_then_what_it_receives_then_none() -> None:
    paid, received = shading_of(ATTENTION, " ran", "from"), shading_of(ATTENTION, " ran", "to")
    assert paid is not None
    assert received is not None
    assert (paid.values[:2], paid.words, paid.inward) == ((0.75, 0.25), "head 2.3's attention from “ ran”", False)
    assert (received.values[1:], received.words, received.inward) == ((0.25, 0.5), "head 2.3's attention to “ ran”", True)
    assert shading_of(ATTENTION, " ran", "off") is None


async def test_strip_follows_head_and_position_and_a_narrow_screen_says_it_in_fewer_words(
    inspect: Open, engine: FakeEngine
) -> None:
    async with inspect() as pilot:
        strip, screen = pilot.strip, pilot.screen
        facts = screen.query_one("#prompt-facts", StatusLine)
        line = facts.render_line(0).text.rstrip()
        assert strip.shading is not None
        largest = f"head 1.1 attn █ {max(strip.shading.values):.0%}"
        assert line.endswith(f"  tale step 2,000 (best)  {largest}"), "which model it is stands there at any size"
        least = f"head 1.1 █ {max(strip.shading.values):.0%}"
        model = screen._bar._model
        screen._bar._model = ("a-run-with-a-very-long-name-2", " step 2,000 (best)")
        screen._bar.on_resize()
        assert facts.render_line(0).text.rstrip().endswith(f" step 2,000 (best)  {least}")
        screen._bar._model = model
        await pilot.resize_terminal(120, 40)
        await pilot.settle()

        asked = len(engine.calls)
        for keys, words in (
            ([], "head 1.1's attention from “ ran”"),
            (["right_curly_bracket", "right_curly_bracket", "right_square_bracket"], "head 2.2's attention from “ ran”"),
            (["left"], "head 2.2's attention from “ dog”"),
            (["inspect.shading"], "head 2.2's attention to “ dog”"),
        ):
            await pilot.go(*keys)
            assert strip.shading is not None
            assert strip.shading.words == words
            assert any(words in part for part in facts.right)
        assert {name for name, _ in engine.calls[asked:]} == {"view", "lens"}, "no other request"
        await pilot.press("inspect.shading")
        assert strip.shading is None
        assert not any("shaded" in part for part in facts.right)
        await pilot.press("inspect.shading")
        await pilot.press("e")
        await pilot.resize_terminal(130, 40)
        await pilot.settle()
        await pilot.go("escape")
        assert "shaded: head 2.2's attention from “ dog”, 0 to" in facts.render_line(0).text, "said again after a resize"

        await pilot.go("right")
        engine.gate = asyncio.Event()
        await pilot.press("space")
        await pilot.until(lambda: len(strip.tokens) == 5)
        assert strip.shading is None, "until the view of the new one has come"
        engine.gate.set()
        await pilot.settle()
        assert strip.shading is not None
        assert len(strip.shading.values) == len(strip.tokens) == 5


async def test_v_shows_each_matrix_alone_and_then_all_and_bars_arcs_and_an_underline_tell_the_attention_without_colour(
    inspect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screens.widgets.token_strip.palette_of", lambda widget: Palette(None, True, (0, 0, 0)))
    async with inspect(size=(120, 40)) as pilot:
        screen, strip = pilot.screen, pilot.strip
        shading = strip.shading
        assert shading is not None
        assert shading.top is not None
        lines = [strip.render_line(y) for y in range(strip.size.height)]
        assert "▾" in lines[strip.above - 1].text
        labels = lines[strip.above]
        for index in range(len(strip.tokens)):
            assert shading.bar(index) in labels.text
        underlined = "".join(text for text, style, _ in labels if style is not None and style.underline)
        assert underlined == strip.tokens[shading.top].label

        await pilot.go(*to_stage("matrix"))
        seen = []
        for _ in range(5):
            line = screen.view.laid.blocks[1].line(0)
            seen.append("".join(text for text, _ in line.pieces).split()[0])
            await pilot.press("v")
        assert seen == ["q·k", "softmax", "q·k", "÷√d", "q·k"]
        await pilot.resize_terminal(120, 22)
        await pilot.go("v", "v", "v", "enter")
        view = pilot.view
        view.styles.height = 10
        await settle(pilot)
        for key in [*["up"] * 8, *["down"] * 8, *["up"] * 8]:
            await pilot.press(key)
            assert view.cursor is not None
            lines = [view.line_at(y) for y in range(view.window)]
            assert view.laid.spot(view.cursor).line in lines
        view.styles.height = "1fr"
        await pilot.go("escape")
        await pilot.go("j")
        assert not screen.view.has_panels
        assert not screen.check_action("do", ("panel",))
