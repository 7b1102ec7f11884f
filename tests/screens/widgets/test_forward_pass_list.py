"""The list of the forward pass: what of the logit lens has room in it."""

import pytest

from lab.inspect.stages.stage_registry import stage_entries
from lab.views.blocks import Prediction
from screens.widgets.forward_pass_list import lens_text, rows_of


def lens_texts(label: str, probability: float, room: int) -> str:
    found = stage_entries(2)
    for step in found:
        if step.stage in ("resid_mid", "logits"):
            step.lens, step.rank = Prediction(5, label, probability), 12
    row = next(row for row in rows_of(found, 0) if row.name == "2 attention")
    return lens_text(row, room)


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


def test_the_rail_is_as_wide_as_the_stream_after_the_step_that_adds_to_it() -> None:
    found = stage_entries(2)
    for number, step in enumerate(each for each in found if each.stage in ("embed", "resid_mid", "resid_post")):
        step.lens, step.stream = Prediction(5, "a", 0.5), float(number + 1)
    second = next(index for index, step in enumerate(found) if step.group == "1 MLP" or step.group == "1 mlp")
    rows = {row.name: row.stream for row in rows_of(found, second) if not row.is_group}
    before, after = 2.0, 3.0
    assert rows.pop("residual add") == after
    assert set(rows.values()) == {before}
