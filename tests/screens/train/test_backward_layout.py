"""Layout of the backward pass: every number of it, in the order of the pass, within its room."""

from collections.abc import Sequence

import pytest
from rich.cells import cell_len

from lab.engine.method_registry import OneStepParams
from lab.training.one_step.step_stages import BackwardPass, LogitError
from screens.train.one_step_widgets import error_lines, lay_backward, legend
from tests.screens.train.one_step_engine import FakeEngine

CHANGES = OneStepParams(run="tale", stage="changes")


def picture(*, with_weight: bool = True) -> BackwardPass:
    engine = FakeEngine()
    engine.calls = [CHANGES] if with_weight else []
    return engine.picture(OneStepParams(run="tale", stage="backward"))


def texts(lines: Sequence[Sequence[tuple[str, object]]]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


@pytest.mark.parametrize(("width", "height"), [(54, 16), (92, 32), (170, 52)])
def test_it_goes_from_the_loss_to_the_embeddings_within_its_room(width: int, height: int) -> None:
    lines = texts(lay_backward(picture(), "“ dog”", "A sentence.", width, height).lines)
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) <= height
    places = ["loss 4.000", "4 MLP", "1 att", "position", "embed"]
    found = [next(at for at, line in enumerate(lines) if place in line) for place in places]
    assert found == sorted(found)
    assert sum("dimension 3" in line for line in lines) == 1
    norms = [part.weights for part in picture().parts]
    shown = [float(word) for line in lines for word in line[: max(26, min(52, width // 2))].split() if word[0] == "0"]
    assert shown == pytest.approx(norms), "each norm once"


def test_a_line_leads_from_the_part_to_its_weight() -> None:
    lines = texts(lay_backward(picture(), "“ dog”", "", 92, 32).lines)
    part = next(at for at, line in enumerate(lines) if "2 MLP" in line)
    weight = next(at for at, line in enumerate(lines) if "largest weight change" in line)
    assert "──" in lines[part]
    assert "▸" in lines[weight]
    without = lay_backward(picture(with_weight=False), "“ dog”", "", 92, 32).lines
    assert any("finding the largest weight change…" in line for line in texts(without))
    assert not any(text.strip() for line in without for text, kind in line if kind == "link")


def test_errors_grow_to_both_sides_of_an_axis_and_what_does_not_fit_goes_into_the_rest() -> None:
    lines = error_lines(picture(), "“ dog”", 40, 20)
    assert texts(lines)[0].rstrip() == "p − one-hot at “ dog”   full bar ±0.75"
    kinds = [line[2][1] for line in lines[1:]]
    assert kinds == ["negative", "positive", "positive", "positive"]
    bars = [str(line[2][0]) for line in lines[1:]]
    axis = {bar.index("│") for bar in bars}
    assert len(axis) == 1
    assert bars[0].index("▒") == 0, "the largest reaches the end"
    few = texts(error_lines(picture(), "“ dog”", 40, 3))
    assert [line.split()[:2] for line in few[1:]] == [["dog", "−0.750"], ["others", "+0.750"]]


def test_an_error_of_nothing_at_all_has_no_bar() -> None:
    sure = BackwardPass(0.0, 0.0, "one-hot", [LogitError("a", 0.0)], [], 0.0, None)
    assert "█" not in texts(error_lines(sure, "“a”", 40, 5))[1]


def test_the_legend_says_the_largest_of_each() -> None:
    assert legend(picture()) == "gradient norms: box █ 0.800 · rail █ 0.450"


def test_each_part_leads_to_the_stage_with_its_numbers() -> None:
    laid = lay_backward(picture(), "“ dog”", "", 92, 32)
    assert (laid.stage_at(5, 20), laid.stage_at(60, 2), laid.stage_at(60, 15)) == ("gradients", "logits_gradient", "weight")
