"""Why a number is what it is: explanations, attribution and evidence by their keys, over an engine of hand-written answers."""

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from lab.engine.client import EngineError
from lab.views.blocks import Cell, Column, Paragraph, Table, View
from lab.views.number_explanation import Explanation, Operand
from lab.views.number_refs import split
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.inspect.inspect_screen import InspectScreen
from screens.widgets.forward_pass_list import ForwardPassList
from screens.widgets.status_line import StatusLine
from tests.fixture_types import Settle
from tests.screens.inspect.conftest import to_stage

Open = Callable[..., Any]

TO_SCORES = [*to_stage("scores"), "enter"]


def explain(ref: str, **_: Any) -> Explanation:
    """Any number as 3 + 4 + others, two deep, down to a weight at `c[...]`."""
    name, _indices = split(ref)
    if name == "nothing":
        raise EngineError("nothing is not a value of this model.")
    if name == "c":
        return Explanation(
            ref=ref, title="W_Q, layer 1", formula="", numbers="", operands=[], value=3.0, initial=2.5, note="A weight."
        )
    below = {"b": "c[1]"}.get(name, "b[1]")
    operands = [Operand("first", 3.0, below), Operand("second", 4.0, "nothing[0]"), Operand("5 others", 0.25)]
    return Explanation(
        ref=ref,
        title="a sum of three",
        formula="a + b",
        numbers="3 + 4 + 0.25",
        operands=operands,
        value=7.25,
        recomputed=7.25,
        is_sum=True,
    )


def attribution(candidate: int | None, against: int | None, by_size: bool, **_: Any) -> View:
    title = f"attribution of {candidate} against {against}, {'by size' if by_size else 'in order'}"
    shares = [("layer 1 head 1", 2.5), ("layer 1 mlp", -1.0), ("token embedding", 0.5)]
    rows = [[Cell(label), Cell(f"{value:+.1f}", value), Cell("", bar=value / 2.5)] for label, value in shares]
    total = [Cell("= logit"), Cell("+2.0", 2.0, "logits[3,3049]"), Cell("")]
    columns = [Column("part", align="left"), Column("share"), Column("", align="left")]
    return View("attribution", title, "What speaks for it.", [Table(columns, rows, total=total)])


def evidence(candidate: int | None, **_: Any) -> View:
    rows = [[Cell(" fast"), Cell("12", 12), Cell("41.2%", 0.412, "probability[3,13]")]]
    columns = [Column("came next", align="left"), Column("times"), Column("model")]
    return View("evidence", f"evidence for {candidate}", "Learned.", [Table(columns, rows), Paragraph("… the big dog …")])


@pytest.fixture
def engine(engine: Any) -> Any:
    """The fake engine, which here also answers why."""
    engine.explain, engine.attribution, engine.evidence = explain, attribution, evidence
    return engine


def screen_of(pilot: Pilot[None]) -> InspectScreen:
    screen = pilot.app.screen
    assert isinstance(screen, InspectScreen)
    return screen


def title(pilot: Pilot[None]) -> str:
    view = screen_of(pilot).query_one(BlockView).view
    assert view is not None
    return view.title


def status(pilot: Pilot[None]) -> str:
    return screen_of(pilot).query_one("#inspect-status", StatusLine).left


def keys(pilot: Pilot[None]) -> dict[str, str]:
    """Action and description of every key that works now."""
    active = screen_of(pilot).active_bindings.values()
    return {each.binding.action: each.binding.description for each in active if each.enabled}


async def press(pilot: Pilot[None], settle: Settle, *pressed: str) -> None:
    for key in pressed:
        await pilot.press(key)
        await settle(pilot)


async def test_an_explanation_hides_the_second_prompts_view(inspect: Open, settle: Settle) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await press(pilot, settle, "C")
        await pilot.press("end", "full_stop", "enter")
        await settle(pilot)
        await press(pilot, settle, "C", *TO_SCORES, "up")
        beside = screen_of(pilot).query_one("#inspect-beside")
        assert beside.display
        await press(pilot, settle, "enter")
        assert title(pilot) == "explain: softmax"
        assert not beside.display
        await press(pilot, settle, "backspace")
        assert beside.display


async def test_enter_goes_down_to_a_weight_and_backspace_climbs_to_where_one_was(
    inspect: Open, settle: Settle, engine: Any
) -> None:
    async with inspect() as pilot:
        assert "explain" not in keys(pilot)
        await press(pilot, settle, *TO_SCORES, "up")
        assert "explain" in keys(pilot)
        assert "climb" not in keys(pilot)
        before = status(pilot)
        await press(pilot, settle, "enter")
        assert title(pilot) == "explain: softmax"
        await press(pilot, settle, "enter")
        assert title(pilot) == "explain · 2 deep: softmax › b"
        await press(pilot, settle, "enter")
        assert title(pilot) == "explain · 3 deep: softmax › b › c"
        await press(pilot, settle, "enter")
        assert status(pilot).startswith("No formula below this one")
        await press(pilot, settle, "backspace", "backspace")
        assert title(pilot) == "explain: softmax"
        await press(pilot, settle, "backspace")
        assert title(pilot) == "layer 1 · scores · head 1"
        assert status(pilot) == before
        await press(pilot, settle, "enter", "down", "down")
        assert status(pilot).startswith("5 others")
        await press(pilot, settle, "up", "up", "enter", "backspace", "down", "up", "enter", "backspace")
        assert "b[1]" in status(pilot), "back on the operand that was entered"


async def test_what_cannot_be_explained_is_said_and_escape_or_a_step_leads_out_of_an_explanation(
    inspect: Open, settle: Settle
) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, *TO_SCORES)
        before = status(pilot)
        await press(pilot, settle, "enter", "down", "enter")
        assert status(pilot) == "nothing is not a value of this model."
        assert title(pilot) == "explain: softmax"
        await press(pilot, settle, "up", "enter")
        assert title(pilot) == "explain · 2 deep: softmax › b"
        await press(pilot, settle, "escape")
        assert title(pilot) == "layer 1 · scores · head 1"
        assert status(pilot) == before
        await press(pilot, settle, "escape")
        assert isinstance(pilot.app.focused, ForwardPassList)
        await press(pilot, settle, "enter", "enter", "tab", *to_stage("heads", "scores"))
        assert title(pilot) == "layer 1 · heads · head 1"


async def test_a_attributes_the_top_token_v_compares_and_o_orders(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect() as pilot:
        assert "against" not in keys(pilot)
        await press(pilot, settle, "a")
        assert title(pilot) == "attribution of None against None, by size"
        await press(pilot, settle, "v")
        assert title(pilot) == "attribution of None against 13, by size"
        await press(pilot, settle, "o")
        assert title(pilot) == "attribution of None against 13, in order"
        await press(pilot, settle, "v", "o")
        assert title(pilot) == "attribution of None against None, by size"
        await press(pilot, settle, "left")
        assert engine.asked("attribution")[-1]["position"] == 2
        await press(pilot, settle, "a")
        assert title(pilot) == "tokens"
        await press(pilot, settle, "a", "enter", "down", "down", "down", "enter")
        assert title(pilot) == "explain: logit", "of a number of it"
        await press(pilot, settle, "escape")
        assert title(pilot).startswith("attribution")
        await press(pilot, settle, "escape", "escape")
        assert title(pilot) == "tokens"


async def test_w_asks_the_text_about_the_token_under_the_cursor_and_a_refusal_leaves_what_was_in_view(
    inspect: Open, settle: Settle, engine: Any
) -> None:
    async with inspect() as pilot:
        engine.refuses["evidence"] = "No."
        await press(pilot, settle, "w")
        assert (title(pilot), status(pilot)) == ("tokens", "No.")
        await press(pilot, settle, "j")
        assert title(pilot) == "embed"
        engine.refuses.clear()
        await press(pilot, settle, "k", "w")
        assert title(pilot) == "evidence for None"
        await press(pilot, settle, "enter", "w")
        assert title(pilot) == "evidence for 13"
        await press(pilot, settle, "a")
        assert title(pilot) == "attribution of 13 against None, by size"
        await press(pilot, settle, "escape")
        assert title(pilot) == "tokens"


PICTURES = {
    "explain": [*TO_SCORES, "enter", "enter"],
    "weight": [*TO_SCORES, "enter", "enter", "enter"],
    "attribution": ["a", "enter"],
    "evidence": ["w"],
}


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
@pytest.mark.parametrize("name", list(PICTURES))
def test_picture(name: str, size: tuple[int, int], app: LabApp, settle: Settle, snap_compare: Any) -> None:
    async def go(pilot: Pilot[None]) -> None:
        await settle(pilot)
        await press(pilot, settle, *PICTURES[name])

    assert snap_compare(app, terminal_size=size, run_before=go)


async def at(pilot: Pilot[None], ref: str) -> tuple[int, int]:
    """The place on the screen of a number of the view."""
    view = screen_of(pilot).query_one(BlockView)
    cursor = next((index, *place) for index, block in enumerate(view.laid.blocks) if (place := block.find(ref)) is not None)
    spot = view.laid.spot(cursor)
    return view.content_region.x + spot.start - view.left, view.content_region.y + spot.line - view.top


async def test_clicks_on_two_numbers_explain_neither_and_a_second_one_on_the_same_does(inspect: Open, settle: Settle) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await press(pilot, settle, *TO_SCORES[:-1])
        for row in (1, 2, 1):
            await pilot.click(offset=await at(pilot, f"blocks.0.attn.softmax[0,3,{row}]"))
            await settle(pilot)
        assert not screen_of(pilot).selection.trail
        place = await at(pilot, "blocks.0.attn.softmax[0,3,2]")
        await pilot.click(offset=place)
        await settle(pilot)
        view = screen_of(pilot).query_one(BlockView)
        assert view.has_focus
        assert view.spot is not None
        assert view.spot.ref == "blocks.0.attn.softmax[0,3,2]"
        assert not screen_of(pilot).selection.trail
        await pilot.click(offset=place)
        await settle(pilot)
        assert screen_of(pilot).selection.trail == ("blocks.0.attn.softmax[0,3,2]",)
