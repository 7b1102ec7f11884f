"""Why a number is what it is: explanations, attribution and evidence by their keys, over an engine of hand-written answers."""

from collections.abc import Callable
from typing import Any

import pytest

from lab.engine.client import EngineError
from lab.views.blocks import Cell, Column, Paragraph, Table, View
from lab.views.number_explanation import Explanation, Operand
from lab.views.number_refs import split
from screens.widgets.forward_pass_list import ForwardPassList
from tests.screens.inspect.conftest import InspectPilot, Open, size_of, to_stage

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


def code(stage: str, layer: int, **_: Any) -> View:
    return View("code", f"layer {layer + 1} · {stage} · code", "Lines.", [Paragraph("qkv = self.c_attn(x)")])


@pytest.fixture
def engine(engine: Any) -> Any:
    """The fake engine, which here also answers why."""
    engine.explain, engine.attribution, engine.evidence, engine.code = explain, attribution, evidence, code
    return engine


def keys(pilot: InspectPilot) -> dict[str, str]:
    """Id and description of every key that works now."""
    active = pilot.screen.active_bindings.values()
    return {each.binding.id or "": each.binding.description for each in active if each.enabled}


async def test_enter_goes_down_to_a_weight_and_backspace_escape_or_a_step_lead_out_of_an_explanation(inspect: Open) -> None:
    async with inspect() as pilot:
        assert "inspect.explain" not in keys(pilot)
        await pilot.go(*TO_SCORES, "up")
        assert "inspect.explain" in keys(pilot)
        assert "inspect.climb" not in keys(pilot)
        before = pilot.status
        await pilot.go("enter")
        assert pilot.title == "explain: softmax"
        await pilot.go("enter")
        assert pilot.title == "explain · 2 deep: softmax › b"
        await pilot.go("enter")
        assert pilot.title == "explain · 3 deep: softmax › b › c"
        await pilot.go("enter")
        assert pilot.status.startswith("No formula below this one")
        await pilot.go("backspace", "backspace")
        assert pilot.title == "explain: softmax"
        await pilot.go("backspace")
        assert pilot.title == "layer 1 · scores · head 1"
        assert pilot.status == before
        await pilot.go("enter", "down", "down")
        assert pilot.status.startswith("5 others")
        await pilot.go("up", "up", "enter", "backspace", "down", "up", "enter", "backspace")
        assert "b[1]" in pilot.status, "back on the operand that was entered"

        await pilot.go("down", "enter")
        assert pilot.status == "nothing is not a value of this model."
        assert pilot.title == "explain: softmax"
        await pilot.go("up", "enter")
        assert pilot.title == "explain · 2 deep: softmax › b"
        await pilot.go("escape")
        assert pilot.title == "explain: softmax", "one level, as backspace"
        await pilot.go("escape")
        assert pilot.title == "layer 1 · scores · head 1"
        assert pilot.status == before
        await pilot.go("escape")
        assert isinstance(pilot.app.focused, ForwardPassList)
        await pilot.go("enter", "enter", "tab", *to_stage("heads", "scores"))
        assert pilot.title == "layer 1 · heads · head 1"


async def test_a_attributes_w_asks_the_text_and_one_key_shows_the_code_each_in_place_of_the_stage(
    inspect: Open, engine: Any
) -> None:
    async with inspect() as pilot:
        assert "against" not in keys(pilot)
        await pilot.go("a")
        assert pilot.title == "attribution of None against None, by size"
        await pilot.go("v")
        assert pilot.title == "attribution of None against 13, by size"
        await pilot.go("inspect.order")
        assert pilot.title == "attribution of None against 13, in order"
        await pilot.go("v", "inspect.order")
        assert pilot.title == "attribution of None against None, by size"
        await pilot.go("left")
        assert engine.asked("attribution")[-1]["position"] == 2
        await pilot.go("a")
        assert pilot.title == "tokens"
        await pilot.go("a", "enter", "down", "down", "down", "enter")
        assert pilot.title == "explain: logit", "of a number of it"
        assert "order" not in keys(pilot)
        await pilot.go("escape")
        assert pilot.title.startswith("attribution")
        await pilot.go("escape", "escape")
        assert pilot.title == "tokens"

        await pilot.go("right")
        engine.refuses["evidence"] = "No."
        await pilot.go("w")
        assert (pilot.title, pilot.status) == ("tokens", "No."), "what was in view stays"
        await pilot.go("j")
        assert pilot.title == "embed"
        engine.refuses.clear()
        await pilot.go("k", "w")
        assert pilot.title == "evidence for None"
        await pilot.go("enter", "w")
        assert pilot.title == "evidence for 13", "the token under the cursor"
        await pilot.go("a")
        assert pilot.title == "attribution of 13 against None, by size"
        await pilot.go("escape")
        assert pilot.title == "tokens"

        await pilot.go("tab", *to_stage("qkv"))
        stage = pilot.title
        await pilot.go("number_sign")
        assert pilot.title == "layer 1 · qkv · code"
        await pilot.go("right_curly_bracket")
        assert pilot.title == "layer 2 · qkv · code"
        await pilot.go("left_curly_bracket", "number_sign")
        assert pilot.title == stage
        await pilot.go("number_sign", "escape")
        assert pilot.title == stage
        await pilot.go("number_sign", "j")
        assert "code" not in pilot.title, "a step leads out of it"

        for key in ("a", "w", "number_sign"):
            await pilot.go("end", key)
            aside = pilot.screen.selection.aside
            await pilot.go("v")
            assert pilot.screen.selection.aside == aside != "", "v stays in what is opened aside"
            await pilot.go("escape")


async def at(pilot: InspectPilot, ref: str) -> tuple[int, int]:
    """The place on the screen of a number of the view."""
    view = pilot.view
    cursor = next((index, *place) for index, block in enumerate(view.laid.blocks) if (place := block.find(ref)) is not None)
    spot = view.laid.spot(cursor)
    return view.content_region.x + spot.start - view.left, view.content_region.y + spot.line - view.top


async def test_a_second_click_on_a_number_explains_it_and_the_explanation_hides_the_second_prompts_view(inspect: Open) -> None:
    async with inspect(size=(120, 40)) as pilot:
        view = pilot.view

        async def click(row: int) -> None:
            await pilot.click(offset=await at(pilot, f"blocks.0.attn.softmax[0,3,{row}]"))
            await pilot.settle()

        await pilot.go(*TO_SCORES[:-1])
        for row in (1, 2, 1, 2):
            await click(row)
            assert not pilot.screen.selection.trail
        assert view.has_focus
        assert view.spot is not None
        assert view.spot.ref == "blocks.0.attn.softmax[0,3,2]"
        await click(2)
        assert pilot.screen.selection.trail == ("blocks.0.attn.softmax[0,3,2]",)

        await pilot.go("backspace", "c")
        await pilot.go("end", "full_stop", "enter")
        await pilot.go("escape", "up")
        beside = pilot.screen.query_one("#inspect-beside")
        assert beside.display
        await pilot.go("enter")
        assert pilot.title == "explain: softmax"
        assert not beside.display
        await pilot.go("backspace")
        assert beside.display


PICTURES = {
    "weight-120x40": [*TO_SCORES, "enter", "enter", "enter"],
    "evidence-80x24": ["w"],
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name: str, picture: Callable[..., None]) -> None:
    picture(PICTURES[name], size_of(name))
