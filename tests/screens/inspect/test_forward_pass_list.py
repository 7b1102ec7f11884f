"""The left column of Inspect: what of the logit lens stands in it, and what is said below where it has no room."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from textual.pilot import Pilot

from lab.inspect.stages.stage_registry import stage_entries
from lab.views.blocks import Prediction
from screens.widgets.forward_pass_list import ForwardPassList, _lens, rows_of

Open = Callable[..., AbstractAsyncContextManager[Pilot[None]]]
Settle = Callable[[Pilot[None]], Awaitable[None]]


def lens_texts(label: str, probability: float, room: int) -> str:
    found = stage_entries(2)
    for step in found:
        if step.stage in ("resid_mid", "logits"):
            step.lens, step.rank = Prediction(5, label, probability), 12
    row = next(row for row in rows_of(found, 0) if row.name == "2 attention")
    return _lens(row, room)


@pytest.mark.parametrize(
    ("label", "probability", "room", "expected"),
    [
        (" ran", 0.97, 10, "ran 97%"),
        (" there", 0.9999, 10, "there >99%"),
        (" butterfly", 0.31, 10, "butte… 31%"),
        (" butterfly", 0.31, 24, "butterfly 31% rank 12"),
    ],
)
def test_a_long_token_is_cut_with_a_mark_and_keeps_its_probability(
    label: str, probability: float, room: int, expected: str
) -> None:
    assert lens_texts(label, probability, room) == expected


@pytest.mark.parametrize(("size", "said"), [((80, 24), True), ((200, 60), False)])
async def test_the_rank_that_has_no_room_in_the_column_is_said_below(
    inspect: Open, settle: Settle, size: tuple[int, int], said: bool
) -> None:
    async with inspect(size=size) as pilot:
        await pilot.press("j")
        await settle(pilot)
        column = pilot.app.screen.query_one(ForwardPassList)
        drawn = column.draw(1).text
        assert ("rank 7" in drawn) is not said
        assert column.rank_in_words == ("logit lens: “ fast” ranks 7th" if said else "")
