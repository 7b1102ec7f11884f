"""The prediction panel: its rows and bars without a screen, and that it is in sight at every stage."""

from typing import Any

import pytest

from lab.inspect.intervention_effect import Change, Effect
from lab.inspect.interventions import Intervention
from lab.views.blocks import LensPath, Prediction
from screens.inspect.intervention_keys import changed_groups
from screens.inspect.widgets.inspect_columns import (
    PredictionPanel,
    PredictionRow,
    _bar,
    _row,
    rows_before_and_after,
    rows_now,
    rows_on_a_line,
)
from screens.widgets.forward_pass_list import ForwardPassDrawing
from tests.screens.inspect.conftest import InspectPilot, Open, to_stage

TOP = [Prediction(i, label, p) for i, (label, p) in enumerate((("a", 0.4), ("b", 0.3), ("c", 0.2)))]
CHANGES = [
    Change(0, "a", 0.5, 0.05, 1, 4),
    Change(1, "b", 0.2, 0.3, 2, 1),
    Change(2, "c", 0.1, 0.25, 3, 2),
    Change(3, "d", 0.1, 0.2, 4, 3),
]
EFFECT = Effect("head 1.1 off", "“x”", 3, 50, 1.0, CHANGES, 0.1, 0.2)


def test_the_rows_make_up_the_whole_distribution() -> None:
    assert [row.label for row in rows_now(TOP, 3)] == ["a", "b", "others"]
    for count in (2, 3, 4):
        assert sum(row.now for row in rows_now(TOP, count)) == pytest.approx(1)
    unlikely = Prediction(9, "z", 0.005)
    for count, names in ((2, "b, c"), (3, "c"), (4, "")):
        assert rows_now([*TOP, unlikely], count)[-1].names == names, "those without a row are named, if they are likely"
    row = "".join(text for text, _ in _row(rows_now(TOP, 2), 1, 28))
    assert row.split() == ["others", "b,", "c", "60.0%"]
    for count in (2, 3, 4, 5):
        rows = rows_before_and_after(EFFECT, count)
        assert len(rows) == count
        assert sum(row.now for row in rows) == pytest.approx(1)
        assert sum(row.before or 0 for row in rows) == pytest.approx(1)


def test_the_token_that_was_first_before_stays_in_sight_and_on_a_line_it_comes_second() -> None:
    assert [row.label for row in rows_before_and_after(EFFECT, 4)] == ["b", "c", "a", "others"]
    assert [row.label for row in rows_before_and_after(EFFECT, 5)] == ["b", "c", "d", "a", "others"]
    assert [row.label for row in rows_on_a_line(EFFECT, 5)] == ["b", "a", "c", "d", "others"]
    assert [row.label for row in rows_on_a_line(EFFECT, 4)] == ["b", "a", "c", "others"]
    unchanged = Effect(
        "head 1.1 off", "“x”", 3, 50, 0.0, [Change(0, "a", 0.5, 0.5, 1, 1), Change(1, "b", 0.3, 0.3, 2, 2)], 0.2, 0.2
    )
    assert [row.label for row in rows_on_a_line(unchanged, 5)] == ["a", "b", "others"]


def test_a_line_has_the_tokens_that_fit_whole() -> None:
    panel = PredictionPanel()
    panel.set_reactive(PredictionPanel.path, LensPath([], [], 3, 0, TOP))
    wide, narrow = ("".join(text for text, _ in panel._line(width)) for width in (80, 40))
    assert ("others" in wide, "others" in narrow) == (True, False)
    assert " a 40.0%" in narrow
    assert len(narrow) <= 40


def test_a_bar_tells_what_was_lost_from_what_was_gained() -> None:
    assert _bar(PredictionRow("a", 0.25, 0.75), 8) == [("██", "bar"), ("░░░░", "lost")]
    assert _bar(PredictionRow("a", 0.75, 0.25), 8) == [("██", "bar"), ("▓▓▓▓", "bar")]
    assert _bar(PredictionRow("a", 0.5), 8) == [("████", "bar")]


@pytest.mark.parametrize(
    ("part", "layer", "group"),
    [
        ("attn.z", 1, "2 attention"),
        ("resid_mid", 0, "1 attention"),
        ("mlp_out", 0, "1 mlp"),
        ("resid_post", 2, "3 mlp"),
        ("resid_pre", 0, "embed + position"),
        ("resid_pre", 2, "2 mlp"),
        ("tokens", 0, "tokens"),
    ],
)
def test_an_intervention_marks_the_part_that_it_changes(part: Any, layer: int, group: str) -> None:
    assert changed_groups((Intervention(part=part, how="off", layer=layer),)) == {group}


def panel_texts(pilot: InspectPilot) -> list[str]:
    """Lines of the panel that is in sight."""
    (panel,) = [each for each in pilot.app.screen.query(PredictionPanel) if each.region.area]
    return [panel.render_line(y).text for y in range(panel.content_size.height)]


async def test_the_prediction_is_in_sight_at_every_stage_with_before_and_after_while_an_intervention_is_on(
    inspect: Open, steps: list[Any]
) -> None:
    async with inspect() as pilot:
        drawing = pilot.screen.query_one(ForwardPassDrawing)
        first_layer = sum(step.layer is None or step.layer == 0 for step in steps)
        every_stage = ["j"] * (first_layer - 3) + ["end", "k", "k"]  # those of the second layer are the same
        for key in [*every_stage, "home"]:
            (shown,) = panel_texts(pilot)
            assert "fast" in shown
            assert "41.2%" in shown
            await pilot.go(key)
        await pilot.go(*to_stage("scores"))
        for size, lines in (((80, 24), 1), ((120, 40), 3), ((200, 60), 7), ((120, 30), 1)):
            await pilot.resize_terminal(*size)
            await pilot.until(lambda lines=lines: len(panel_texts(pilot)) == lines)
            if lines > 1:
                panel = pilot.screen.query_one("#inspect-prediction", PredictionPanel)
                assert all(edge for edge, _ in panel.styles.border), "its box is closed on all four sides"
            await pilot.go("x")
            assert "20.0% → 30.0%" in panel_texts(pilot)[0]
            assert drawing.changed == {"1 attention"}
            await pilot.go("x")
            assert "41.2%" in panel_texts(pilot)[0]
            assert "→" not in "".join(panel_texts(pilot))
            assert drawing.changed == frozenset()
        await pilot.resize_terminal(120, 40)
        await pilot.go("home")
        assert drawing._drawing is not None
        line = next(i for i, each in enumerate(drawing._drawing.lines) if any("2 attn" in text for text, _ in each.pieces))
        await pilot.click(drawing, offset=(8, line + 1))
        await pilot.settle()
        stage = drawing.steps[drawing.current]
        assert (stage.stage, stage.layer) == ("ln1", 1), "a click on a box opens its first stage"
