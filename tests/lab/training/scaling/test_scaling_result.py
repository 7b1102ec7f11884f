"""Result of a scaling experiment on curves made from a known law, and the sentences about it."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.number_format import count, significant
from lab.training.scaling.scaling_plan import DECAY_BEGINS, SIZES, ScalingPlan
from lab.training.scaling.scaling_result import (
    CurvePoint,
    ScalingResult,
    SizeCurve,
    fit_power_law,
    frontier,
    log_interpolated,
    scaling_result,
)
from lab.training.scaling.scaling_view import lines_table, scaling_view, sentences, size_table
from models.parameter_count import flops_per_token, parameter_count

FLOOR = 0.35
MODELS = ScalingPlan().models()
SPEED = 5e10
"""FLOP/s of every size."""
SECONDS = 120.0


def law(parameters: float, tokens: float) -> float:
    """Loss above the floor, in the form of Hoffmann et al. 2022."""
    return 30 * parameters**-0.4 + 400 * tokens**-0.5


def curve(at: int, loss: object = law, *, floor: float | None = FLOOR, epochs: float = 1.0, fall: float = 0.02) -> SizeCurve:
    """The run of a size that trained at `SPEED`, evaluated 24 times; its loss falls by `fall` at the end."""
    assert callable(loss)
    model = MODELS[at]
    each = flops_per_token(model)
    points = []
    for step in range(1, 25):
        seconds = SECONDS * step / 24
        tokens = round(SPEED * seconds / each)
        above = loss(parameter_count(model), tokens) - (fall if seconds > DECAY_BEGINS * SECONDS else 0.0)
        points.append(CurvePoint(tokens, float(tokens * each), seconds, FLOOR + above))
    step = SECONDS / points[-1].tokens * 2048
    return SizeCurve(f"s-{at + 1}", at + 1, model, "finished", 0.008, SECONDS, epochs, tuple(points), step, None, floor)


def result_of(loss: object = law, **facts: object) -> ScalingResult:
    return scaling_result([curve(at, loss, **facts) for at in range(len(SIZES))], len(SIZES))  # type: ignore[arg-type]


def test_equal_tokens_give_the_exponent_over_parameters_back() -> None:
    result = result_of(lambda parameters, tokens: 30 * parameters**-0.4)
    fitted = result.parameters
    assert result.floor == FLOOR
    assert fitted.law is not None
    assert fitted.law.exponent == pytest.approx(0.4, abs=1e-9)
    assert fitted.law.error == pytest.approx(0.0, abs=1e-9)
    assert fitted.points[-1] == (parameter_count(MODELS[-1]), pytest.approx(fitted.predicted, abs=1e-9))


def test_the_sizes_are_compared_at_the_most_tokens_that_all_have_seen_at_the_full_learning_rate() -> None:
    result = result_of()
    slowest = result.sizes[-1]
    assert result.tokens == slowest.before_decay[-1].tokens
    assert slowest.before_decay[-1].seconds <= DECAY_BEGINS * SECONDS < slowest.points[-1].seconds
    for each, same_tokens in list(zip(result.sizes, result.same_tokens, strict=True))[1:]:
        exact = FLOOR + law(each.parameters, result.tokens)
        assert same_tokens == pytest.approx(exact, rel=0.02), "interpolated between two evaluations"
    assert result.same_tokens[-1] == pytest.approx(FLOOR + law(slowest.parameters, result.tokens))


def test_a_size_without_a_loss_after_the_same_tokens_has_the_reason_and_the_line_through_two_is_called_weak() -> None:
    result = result_of()
    assert result.sizes[0].before_decay[0].tokens > (result.tokens or 0)
    assert result.same_tokens[0] is None
    first = f"{count(result.sizes[0].before_decay[0].tokens)} tokens"
    table = size_table(result)
    assert "loss (nats), same minutes" in [column.title for column in table.columns]
    assert table.title == "at the last evaluation while training"
    cell = table.rows[0][-1]
    assert (cell.text, cell.note) == ("·", f"Too late: first evaluated at the full rate after {first}.")
    words = sentences(result)
    assert f"first evaluated at the full learning rate: size 1 after {first}." in " ".join(words)
    lines = lines_table(result)
    assert lines is not None
    assert lines.rows[0][0].text == "3 sizes, same tokens"
    assert [sentence.startswith("The line over parameters") for sentence in words if "a weak test" in sentence] == [True]


def test_a_line_fitted_through_three_of_four_sizes_is_not_called_weak() -> None:
    early = [dataclasses.replace(curve(at), points=(CurvePoint(1, 1.0, 10.0, 9.0 - at), *curve(at).points)) for at in range(4)]
    result = scaling_result(early, 4)
    assert len(result.parameters.points) == 4
    assert not any("weak" in sentence or "Too late" in sentence for sentence in sentences(result))


def test_nothing_measured_is_below_the_frontier() -> None:
    curves = result_of().sizes
    measured = [(point.flops, point.loss) for each in curves for point in each.before_decay]
    found = frontier(curves)
    assert len(found) > 10
    assert found == sorted(found)
    for flops, loss in found:
        assert all(loss < other for less, other in measured if less < flops)


def test_the_frontier_of_a_law_in_compute_gives_its_exponent_back() -> None:
    def powers(model: SizeCurve) -> SizeCurve:
        points = tuple(dataclasses.replace(point, loss=99 * point.flops**-0.25) for point in model.points)
        return dataclasses.replace(model, points=points)

    fitted = scaling_result([powers(curve(at, floor=None)) for at in range(4)], 4).compute
    assert fitted.law is not None
    assert fitted.law.exponent == pytest.approx(0.25, abs=1e-9)
    assert fitted.predicted == pytest.approx(fitted.points[-1][1], rel=1e-9)


def test_the_line_over_compute_is_tested_on_compute_that_it_was_not_fitted_to() -> None:
    bent = result_of(lambda parameters, tokens: 1.0 + 4000 * tokens**-0.5)
    assert bent.compute.predicted is not None
    assert bent.compute.predicted < bent.compute.points[-1][1], "a floor that is not known makes every extrapolation too low"
    assert any("too low" in sentence and "trust it no further" in sentence for sentence in sentences(bent))


def test_nothing_is_said_before_all_sizes_have_finished() -> None:
    curves = [curve(0), dataclasses.replace(curve(1), phase="training")]
    result = scaling_result(curves, 4)
    assert (result.tokens, result.parameters.law) == (None, None)
    assert result.sizes[0].end is not None
    assert result.sizes[1].end is None
    assert sentences(result) == []
    assert lines_table(result) is None
    assert len(scaling_view(result).blocks) == 1


def test_the_largest_may_be_worse_after_the_same_minutes_for_it_has_seen_fewer_tokens() -> None:
    result = result_of(lambda parameters, tokens: 3 * parameters**-0.4 + 400 * tokens**-0.5)
    ends = [each.end.loss for each in result.sizes if each.end]
    assert ends[-1] > min(ends)
    first, best, largest = sentences(result)[0], result.sizes[ends.index(min(ends))], result.sizes[-1]
    assert first.startswith(f"After the same 2 min 00 s, size {best.number} ")
    assert best.last is not None
    assert largest.last is not None
    times = significant(best.last.tokens / largest.last.tokens, 2)
    steps = [significant(1000 * (each.step_seconds or 0), 2) for each in (largest, best)]
    said = f"{times} times fewer tokens, as one of its steps took {steps[0]} ms, one of size {best.number} {steps[1]} ms."
    assert first.endswith(f"in the same time it has seen {said}")
    older = [dataclasses.replace(each, step_seconds=None) for each in result.sizes]
    assert sentences(scaling_result(older, 4))[0].endswith(f"{times} times fewer tokens."), "its time was not of steps alone"
    assert "every larger size has a lower loss" in sentences(result)[1] or result.same_tokens[0] is None


@pytest.mark.parametrize(
    ("loss", "facts", "said", "unsaid"),
    [
        (lambda parameters, tokens: 30 * parameters**-0.4, {}, "although it has seen the fewest tokens", "alike"),
        (lambda parameters, tokens: 0.1, {}, "size 2, size 3 and size 4 are alike", "fewest tokens"),
        (lambda parameters, tokens: parameters**0.1, {}, "The line over parameters does not fall", "larger size has a lower"),
        (law, {"floor": 1.0}, "No floor is subtracted", "true entropy"),
        (law, {"epochs": 50.0}, "size 1 has seen it 50 times", "No floor"),
        (law, {"epochs": 2.0}, "true entropy", "short"),
        (lambda parameters, tokens: 0.2, {"fall": 0.03}, "In the last 20% of the time, in which the rate falls, the loss fell by "
            "another 0.030 to 0.030;", "lowered"),
    ],
)  # fmt: skip
def test_the_sentences_follow_from_the_losses(loss: object, facts: dict[str, object], said: str, unsaid: str) -> None:
    result = result_of(loss, **facts)
    words = " ".join(sentences(result))
    assert said in words
    assert unsaid not in words
    assert (result.floor is None) == ("No floor" in words)


def test_a_step_that_took_longer_than_when_it_was_timed_is_told() -> None:
    curves = [curve(at) for at in range(4)]
    quiet = [dataclasses.replace(each, timed_step=(each.step_seconds or 0) / 1.2) for each in curves]
    assert not any("slowed down" in sentence for sentence in sentences(scaling_result(quiet, 4)))
    busy = [*quiet[:3], dataclasses.replace(curves[3], timed_step=(curves[3].step_seconds or 0) / 10)]
    assert any("Size 4 was slowed down" in sentence for sentence in sentences(scaling_result(busy, 4)))
    older = [dataclasses.replace(each, step_seconds=None) for each in busy]
    assert not any("slowed down" in sentence for sentence in sentences(scaling_result(older, 4))), "evaluations are in its time"


def test_two_sizes_make_no_line_over_parameters() -> None:
    two = [curve(2), curve(3)]
    result = scaling_result(two, 2)
    assert len(result.parameters.points) == 2
    assert (result.parameters.law, result.parameters.predicted) == (None, None)
    assert not any("over parameters" in sentence for sentence in sentences(result))


@given(
    scale=st.floats(0.1, 1e6),
    exponent=st.floats(-0.5, 1.5),
    floor=st.floats(0, 3),
    xs=st.lists(st.integers(0, 80), min_size=2, max_size=12, unique=True),
)
def test_points_of_a_law_give_it_back(scale: float, exponent: float, floor: float, xs: list[int]) -> None:
    points = [(x, floor + scale * x**-exponent) for x in (10 ** (each / 10) for each in xs)]
    if any(loss - floor < 1e-6 * loss for _, loss in points):
        return  # nothing is left of it in a float
    law = fit_power_law(points, floor)
    assert law is not None
    assert law.exponent == pytest.approx(exponent, abs=1e-6)
    assert law.misfit < 1e-6
    assert law.loss(points[0][0]) == pytest.approx(points[0][1])


def test_exponent_and_standard_error_are_those_of_numpy() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 9)
    xs = np.geomspace(1e4, 1e6, 9)
    losses = 0.3 + 20 * xs**-0.35 * np.exp(noise)
    law = fit_power_law(list(zip(xs.tolist(), losses.tolist(), strict=True)), 0.3)
    (slope, offset), covariance = np.polyfit(np.log(xs), np.log(losses - 0.3), 1, cov=True)
    assert law is not None
    assert law.exponent == pytest.approx(-slope)
    assert law.scale == pytest.approx(math.exp(offset))
    assert law.error == pytest.approx(math.sqrt(covariance[0, 0]))
    off = np.log(losses - 0.3) - (slope * np.log(xs) + offset)
    assert law.misfit == pytest.approx(float(np.sqrt(np.mean(off**2))))


def test_a_floor_that_is_not_subtracted_bends_the_line() -> None:
    points = [(x, 1.0 + 50 * x**-0.5) for x in (1e2, 1e3, 1e4, 1e5)]
    with_floor, without = fit_power_law(points, 1.0), fit_power_law(points)
    assert with_floor is not None
    assert without is not None
    assert with_floor.misfit < 1e-9
    assert without.misfit > 0.1
    assert without.exponent < with_floor.exponent


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(1.0, 2.0)],
        [(1.0, 2.0), (1.0, 3.0)],
        [(1.0, 2.0), (2.0, 0.5)],
        [(0.0, 2.0), (2.0, 1.5)],
        [(1.0, math.nan), (2.0, 1.5)],
    ],
)
def test_no_law_goes_through_too_few_points_or_below_the_floor(points: list[tuple[float, float]]) -> None:
    assert fit_power_law(points, floor=0.5) is None


def test_two_points_have_a_line_without_an_error() -> None:
    law = fit_power_law([(10.0, 1.0), (100.0, 0.1)])
    assert law is not None
    assert (law.exponent, law.error) == (pytest.approx(1.0), None)


def test_between_points_the_line_is_straight_in_log_log() -> None:
    xs, ys = [10.0, 1000.0], [4.0, 1.0]
    assert log_interpolated(xs, ys, 100.0) == pytest.approx(2.0)
    assert [log_interpolated(xs, ys, x) for x in xs] == pytest.approx(ys)
    assert log_interpolated(xs, ys, 9.9) is None
    assert log_interpolated(xs, ys, 1001.0) is None
    assert log_interpolated([], [], 1.0) is None
