import os
from itertools import pairwise
from pathlib import Path

import pytest

from lab.analysis.loss_curve import BARS, BLOCK_BYTES, NO_CURVE, POINTS, Evaluations, LossCurve, read_loss_curve, sparkline


def line(step: int, loss: float | None, val_loss: float | None = None) -> str:
    own = (f',"loss":{loss}' if loss is not None else "") + (f',"val_loss":{val_loss}' if val_loss is not None else "")
    return f'{{"step":{step},"tokens":{step * 64},"epoch":0.1,"seconds":{step * 0.1:.1f}{own}}}\n'


def write(path: Path, steps: int, every: int = 100) -> None:
    """Loss 1000/(step+100), evaluated a tenth higher."""
    path.write_text(
        "".join(line(at, falling(at) if at else None, 1.1 * falling(at) if at % every == 0 else None) for at in range(steps + 1))
    )


def falling(step: float) -> float:
    return 1000 / (step + 100)


def test_a_short_run_has_a_point_for_each_step_and_a_longer_one_means_of_neighbouring_steps(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 50)
    assert read_loss_curve(path) == LossCurve(tuple(range(1, 51)), tuple(falling(step) for step in range(1, 51)))
    write(path, 300)
    curve = read_loss_curve(path)
    assert len(curve.steps) == 100 <= POINTS
    assert curve.steps[0] == 2
    assert curve.losses[0] == pytest.approx((falling(1) + falling(2) + falling(3)) / 3)


def test_of_a_long_file_a_bounded_part_is_read_from_its_start_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 40_000)
    assert path.stat().st_size > 5 * POINTS * BLOCK_BYTES
    curve = read_loss_curve(path)
    assert len(curve.steps) == POINTS
    assert list(curve.steps) == sorted(curve.steps)
    assert curve.steps[0] < 40
    assert curve.steps[-1] > 39_960
    for step, loss in zip(curve.steps, curve.losses, strict=True):
        assert loss == pytest.approx(falling(step), rel=0.02), "a mean over steps so near that the loss is that of their middle"


@pytest.mark.parametrize("contents", [b"", b"nonsense\n" * 10, b"\xff" * 5000, b'{"step":1,"tokens":1,"epoch":0,"seconds":0,"lo'])
def test_a_file_without_a_loss_is_an_empty_curve(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_loss_curve(path) == NO_CURVE
    path.write_bytes(contents)
    assert read_loss_curve(path) == NO_CURVE
    assert sparkline(NO_CURVE, 5) == "     "


def test_a_curve_is_read_again_only_when_its_file_has_changed_and_of_a_pipe_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_loss_curve(path) == NO_CURVE
    write(path, 20)
    first = read_loss_curve(path)
    assert read_loss_curve(path) is first
    with path.open("a") as file:
        file.write(line(21, 1.0))
    assert read_loss_curve(path).steps[-1] == 21
    path.unlink()
    assert read_loss_curve(path) == NO_CURVE
    os.mkfifo(tmp_path / "metrics.jsonl")
    assert read_loss_curve(tmp_path / "metrics.jsonl") == NO_CURVE
    assert Evaluations(tmp_path / "metrics.jsonl").read() == ()


def test_evaluations_come_as_they_are_appended_and_again_when_the_file_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    reader = Evaluations(path)
    assert reader.read() == ()
    write(path, 250)
    expected = [(float(step), 1.1 * falling(step)) for step in (0, 100, 200)]
    assert list(reader.read()) == expected
    with path.open("a") as file:
        file.write(line(251, 2.0, 3.0) + '{"step":252,"val_loss":1')
    assert list(reader.read()) == [*expected, (251.0, 3.0)], "a torn last line waits for its end"
    with path.open("a") as file:
        file.write(',"tokens":1,"epoch":0,"seconds":0}\n')
    assert reader.read()[-1] == (252.0, 1.0)
    write(path, 110)
    assert list(reader.read()) == expected[:2]


def test_evaluations_across_chunks_are_all_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 2000, every=7)
    monkeypatch.setattr("lab.runs.metrics_log.LARGEST_LINE", 1000)
    assert [step for step, _ in Evaluations(path).read()] == list(range(0, 2001, 7))


def curve_of(*losses: float) -> LossCurve:
    return LossCurve(tuple(float(step) for step in range(1, len(losses) + 1)), losses)


def test_a_sparkline_is_logarithmic_and_blank_where_there_is_nothing_yet() -> None:
    halving = curve_of(*(2.0**-at for at in range(8)))
    drawn = [BARS.index(bar) for bar in sparkline(halving, 8)]
    assert drawn[0] == 7
    assert drawn[-1] == 0
    assert all(0 <= before - after <= 2 for before, after in pairwise(drawn)), "equal ratios, equal steps"
    assert sparkline(curve_of(1, 2, 4, 8), 4)[0] == BARS[0]
    assert sparkline(curve_of(1, 2, 4, 8), 4)[-1] == BARS[-1]
    assert sparkline(curve_of(1, 3, 8, 8), 2) == BARS[0] + BARS[-1]
    assert sparkline(curve_of(8, 8, 1, 3), 2) == BARS[-1] + BARS[0]
    assert sparkline(curve_of(4, 3, 2, 1), 8, 8) == f"{sparkline(curve_of(4, 3, 2, 1), 4)}    "
    assert sparkline(curve_of(4, 3), 4, 4)[2:] == "  "
    assert sparkline(LossCurve(), 5, 1000.0) == sparkline(LossCurve(), 5) == "     "
    assert set(sparkline(curve_of(1.001, 1.0, 1.001, 1.0), 4)) == {BARS[0]}
    assert " " not in sparkline(LossCurve((1.0, 100.0), (2.0, 1.0)), 10)
    assert sparkline(curve_of(1.0, 0.0), 2) == BARS[-1] + BARS[0]


def test_a_sparkline_of_steps_out_of_order_is_that_of_the_steps_in_order() -> None:
    """As in a damaged metrics.jsonl, where the last line need not have the last step."""
    steps, losses = tuple(float(step) for step in range(1, 61)), tuple(6.0 - step / 12 for step in range(1, 61))
    backwards = LossCurve(steps[::-1], losses[::-1])
    assert sparkline(backwards, 10) == sparkline(backwards, 10, 30.0) == sparkline(LossCurve(steps, losses), 10)
