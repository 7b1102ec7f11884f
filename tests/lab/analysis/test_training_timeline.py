from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lab.analysis.training_timeline import (
    TimelineStop,
    ViewAtStep,
    describe_number,
    prediction_in_words,
    stop_index,
    stops,
    value_of,
)
from lab.core.errors import UserError
from lab.runs.run_folder import CheckpointFile, Run
from lab.views import blocks
from lab.views.blocks import Array, Cell, Column, LensPath, Prediction, Table, View


class FakeRun(Run):
    def __init__(self, snapshots: list[int], **named: int) -> None:
        super().__init__(Path("/runs/tale"))
        self._snapshots, self._named = snapshots, named

    def snapshots(self) -> list[CheckpointFile]:
        return [CheckpointFile(str(step), self.path, step, 1) for step in self._snapshots]

    def checkpoints(self) -> list[CheckpointFile]:
        return [CheckpointFile(name, self.path, step, 1) for name, step in self._named.items()] + self.snapshots()


def test_stops_are_by_step_and_named_weights_stand_for_a_snapshot_of_the_same_step() -> None:
    run = FakeRun([0, 1, 500, 1000], best=800, last=1000, previous=900)
    named = [TimelineStop("best", 800, ("best",)), TimelineStop("last", 1000, ("last",))]
    assert stops(run) == [*(TimelineStop(str(step), step) for step in (0, 1, 500)), *named]
    assert stops(FakeRun([0, 10], best=10, last=10))[-1] == TimelineStop("best", 10, ("best", "last"))


def test_a_run_without_snapshots_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"^tale has no snapshots: a run keeps them while it trains in your lab \(4\)\.$"):
        stops(FakeRun([], best=10, last=20))
    with pytest.raises(UserError, match=r"^tale has no snapshots: it has not been trained yet \(4\)\.$"):
        stops(FakeRun([]))


@pytest.mark.parametrize(
    ("checkpoint", "step", "index"), [("best", None, 2), ("last", None, 2), ("0", None, 0), ("9", None, 1), ("previous", 1, 0)]
)
def test_a_checkpoint_is_found_by_name_or_by_the_nearest_step(checkpoint: str, step: int | None, index: int) -> None:
    found = [TimelineStop("0", 0), TimelineStop("10", 10), TimelineStop("best", 50, ("best", "last"))]
    assert stop_index(found, checkpoint, step) == index


def view(p: float, stage: str = "scores") -> View:
    values = np.array([[0.5, np.nan], [p, 0.25]], dtype=np.float32)
    shown = [
        blocks.Paragraph("words"),
        Table(
            [Column("a"), Column("b")],
            [[Cell("x"), Cell("1", p, "probability[3,7]")]],
            total=[Cell("Σ"), Cell("2", 2.0, "sum[3]")],
        ),
        blocks.Strip("s", Array.of(values[0]), "embed[3]"),
        blocks.Matrix("m", ["a", "b"], ["a", "b"], Array.of(values), ref="blocks.0.attn.pattern[1,8:,8:]"),
        blocks.IntervalBar("l", [blocks.IntervalPart("a", 0.25, 0.75, "sample.after[3,7]")], 0.3, "u", 0),
    ]
    return View(stage, stage, "", shown)


@pytest.mark.parametrize(
    ("ref", "value"),
    [
        ("probability[3,7]", 0.125),
        ("sum[3]", 2.0),
        ("embed[3,0]", 0.5),
        ("blocks.0.attn.pattern[1,9,8]", 0.125),
        ("blocks.0.attn.pattern[1,9,9]", 0.25),
        ("blocks.0.attn.pattern[1,8,9]", None),
        ("blocks.0.attn.pattern[0,9,9]", None),
        ("sample.after[3,7]", 0.5),
        ("embed[4,0]", None),
    ],
)
def test_a_number_is_found_in_any_block_by_its_name(ref: str, value: float | None) -> None:
    assert value_of(view(0.125), ref) == value


def seen(step: int, top: list[tuple[int, str, float]], p: float = 0.5, stage: str = "scores") -> ViewAtStep:
    return ViewAtStep(step, LensPath([], [], 0, 0, [Prediction(*guess) for guess in top]), view(p, stage))


RAN, SAT, FAST = (1, " ran", 0.412), (2, " sat", 0.3), (3, " fast", 0.05)


def test_the_change_of_a_prediction_is_told_in_points() -> None:
    now = seen(500, [RAN, SAT])
    assert prediction_in_words(now, None) == "says “ ran” 41.2%"
    assert prediction_in_words(now, seen(256, [(1, " ran", 0.4), SAT])) == "says “ ran” 41.2%, +1.2 points since step 256"
    assert prediction_in_words(now, seen(1256, [(1, " ran", 0.412)])) == "says “ ran” 41.2%, no change against step 1,256"
    changed = prediction_in_words(now, seen(256, [SAT, (1, " ran", 0.1)]))
    assert changed == "says “ ran” 41.2%, +31.2 points since step 256; at step 256: “ sat” 30.0%"
    unlisted = prediction_in_words(now, seen(256, [SAT, FAST]))
    assert unlisted == "says “ ran” 41.2%, not among the most probable at step 256; at step 256: “ sat” 30.0%"


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        (0.51944, 0.43454, "43.45%, −8.49 points"),  # 51.9% and 43.5% are 8.4 points apart
        (0.088449, 0.088551, "8.855%, +0.010 points"),  # 8.8% and 8.9% are 0.1 apart
        (0.4, 0.40001, "40.0010%, +0.0010 points"),
    ],
)
def test_the_points_are_those_between_the_probabilities_and_the_shown_ones(was: float, now: float, words: str) -> None:
    said = prediction_in_words(seen(270, [(1, " ran", now)]), seen(300, [(1, " ran", was)]))
    assert said == f"says “ ran” {words} against step 300"


def test_the_change_of_a_number_is_told_with_its_sign_and_that_of_a_token_s_id_not() -> None:
    ref = "probability[3,7]"
    now = seen(500, [RAN], 0.25)
    assert describe_number(ref, now, None) == "probability[3,7] = 0.2500"
    assert describe_number(ref, now, seen(256, [RAN], 0.125)) == "probability[3,7] = 0.2500, +0.125 since step 256 (0.1250)"
    assert describe_number(ref, now, seen(256, [RAN], 0.5)) == "probability[3,7] = 0.2500, −0.250 since step 256 (0.5000)"
    assert describe_number(ref, now, seen(256, [RAN], 0.5, "values")) == "probability[3,7] = 0.2500"
    assert describe_number("", now, None) == ""
    assert "not among" in describe_number("probability[3,9]", now, None)
    prompt = View("tokens", "tokens", "", [Table([Column("id")], [[Cell("295", value=295, ref="tokens[41]")]])])
    now, before = (replace(seen(step, [RAN]), view=prompt) for step in (500, 256))
    assert describe_number("tokens[41]", now, before) == "tokens[41] = 295, the prompt's token at every step"
