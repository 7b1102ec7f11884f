"""What a reader keeps of insights.jsonl, and what is said of it."""

from lab.runs.insights_log import InsightHistory
from lab.runs.run_schema import Insight, PartUpdate


def insight(step: int, score: float = 0.25) -> Insight:
    return Insight(
        step=step,
        took=0.5,
        repeated=4,
        previous=[[0.1, 0.2]],
        duplicate=[[0.0, 0.0]],
        induction=[[0.0, score]],
        probe=["a", "b"],
        truth="c",
        truth_probability=0.5,
        top=[("c", 0.5)],
        pattern=[[[0.25, 0.75], [1.0, 0.0]]],
        parts=[PartUpdate("embedding", 3.0, 1e-3)],
    )


def test_moments_are_found_by_step_and_hold_what_was_measured() -> None:
    inside = InsightHistory()
    assert inside.at(None) is None
    inside.add([insight(0), insight(100, 0.5), Insight(step=200, took=0.0)])
    assert [inside.at(step) for step in (0, 99, 100, 1e9, None)] == [0, 0, 1, 2, 2]
    assert inside.points[1].of("induction").tolist() == [[0.0, 0.5]]
    assert inside.points[0].pattern.shape == (1, 2, 2)
    assert inside.points[2].scores.shape == (3, 0, 0)
    assert (inside.probe, inside.truth, inside.seconds) == (("a", "b"), "c", 1.0)
