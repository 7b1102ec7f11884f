"""Following a run: its insights and events, and what a reader keeps of them."""

import shutil

import pytest

from lab.core.limits import MEASURED_PLACES
from lab.runs.insights_log import InsightHistory, PlaceText
from lab.runs.metrics_log import LineWriter
from lab.runs.run_follower import RunFollower
from lab.runs.run_schema import Event, Insight, Metric, PartUpdate, Place


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


def test_a_feed_gives_insights_and_events_once_and_all_of_them_where_a_file_began_anew(empty_run) -> None:  # type: ignore[no-untyped-def]
    run = empty_run()
    lines, events = LineWriter(run.insights_path), LineWriter(run.events_path)
    lines.write(insight(0))
    events.write(Event(step=0, seconds=0.0, kind="checkpoint"))
    feed = RunFollower(run)
    news = feed.read()
    assert (news.insights_restarted, news.events_restarted) == (True, True)
    assert [moment.step for moment in news.insights.points] == [0]
    assert [event.kind for event in news.events] == ["checkpoint"]
    lines.write(insight(100))
    kept = news.insights
    news = feed.read()
    assert (news.insights_restarted, news.events) == (False, [])
    kept.extend(news.insights)
    assert [moment.step for moment in kept.points] == [0, 100]
    run.insights_path.write_bytes(run.insights_path.read_bytes()[:-1].rpartition(b"\n")[0] + b"\n")
    news = feed.read()
    assert news.insights_restarted
    assert [moment.step for moment in news.insights.points] == [0]


def test_a_long_file_is_read_in_blocks_and_nothing_is_lost(empty_run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("lab.runs.run_follower.READ_BYTES", 1000)
    run = empty_run()
    lines = LineWriter(run.metrics_path)
    for step in range(1, 301):
        lines.write(Metric(step=step, tokens=step, epoch=0.0, seconds=float(step), loss=1 / step))
    feed = RunFollower(run)
    history = feed.read().history
    assert history is not None
    assert list(history.steps) == list(range(1, 301))
    assert history.losses[299] == 1 / 300
    for step in range(301, 401):
        lines.write(Metric(step=step, tokens=step, epoch=0.0, seconds=float(step), loss=1 / step))
    news = feed.read()
    assert news.history is None
    assert [metric.step for metric in news.metrics] == list(range(301, 401))


def test_a_new_run_of_the_same_name_is_read_from_its_beginning(empty_run) -> None:  # type: ignore[no-untyped-def]
    run = empty_run(created=1.0)
    LineWriter(run.metrics_path).write(Metric(step=1, tokens=1, epoch=0.0, seconds=1.0, loss=2.0))
    feed = RunFollower(run)
    assert feed.read().config.created == 1.0
    shutil.rmtree(run.path)
    empty_run(created=2.0)
    news = feed.read()
    assert (news.config.created, news.insights_restarted, news.samples_restarted, news.events_restarted) == (2.0, *[True] * 3)
    assert news.history is not None
    assert not len(news.history.steps)
    assert feed.read().history is None


def test_moments_are_found_by_step_and_hold_what_was_measured() -> None:
    inside = InsightHistory()
    assert inside.at(None) is None
    inside.add([insight(0), insight(100, 0.5), Insight(step=200, took=0.0)])
    assert [inside.at(step) for step in (0, 99, 100, 1e9, None)] == [0, 0, 1, 2, 2]
    assert inside.points[1].of("induction").tolist() == [[0.0, 0.5]]
    assert inside.points[0].pattern.shape == (1, 2, 2)
    assert inside.points[2].scores.shape == (3, 0, 0)
    assert (inside.probe, inside.seconds) == (PlaceText(("a", "b"), "c"), 1.0)


def moving(step: int, *truths: float) -> Insight:
    """An evaluation of places 0, 1, …, whose next tokens have these probabilities."""
    return Insight(
        step=step, took=0.0, places=[Place([f"{index}"], "x", ["."], p, [("y", 0.3)]) for index, p in enumerate(truths)]
    )


def test_the_place_that_has_changed_most_is_the_liveliest() -> None:
    inside = InsightHistory()
    assert (inside.places, inside.liveliest) == ([], 0)
    inside.add([moving(0, 0.0, 0.1, 0.5)])
    assert inside.liveliest == 0, "nothing has changed yet"
    inside.add([moving(1, 0.1, 0.6, 0.2), moving(2, 0.0, 0.6, 0.5)])
    assert [inside.range(place) for place in inside.places] == [(0.0, 0.1), (0.1, 0.6), (0.2, 0.5)]
    assert inside.liveliest == 1, "place 2 has risen and fallen more in all, but less far"
    more = InsightHistory()
    more.add([moving(3, 0.0, 0.9, 0.95)])
    inside.extend(more)
    assert inside.range(inside.places[2]) == (0.2, 0.95), "across two readings, too"
    assert inside.liveliest == 2, "both have changed much, and this one with more ups and downs"
    prediction = inside.points[3].predictions[inside.places[1]]
    assert (prediction.of("x"), prediction.of("y"), prediction.of("z")) == (0.9, 0.3, None)


def test_a_run_of_an_older_version_has_its_probe_as_its_only_place_and_a_resumed_one_has_it_last() -> None:
    inside = InsightHistory()
    inside.add([insight(0), insight(100)])
    assert inside.places == [PlaceText(("a", "b"), "c")]
    newer = insight(200)
    newer.places = moving(200, 0.5).places
    inside.add([newer])
    assert [place.truth for place in inside.places] == ["x", "c"]
    assert inside.places[0] not in inside.points[1].predictions


def test_no_more_places_are_kept_than_one_evaluation_may_have() -> None:
    inside = InsightHistory()
    for step in range(100):
        inside.add([Insight(step=step, took=0.0, places=[Place([f"{step}"], "x", [], 0.5, [])])])
    assert len(inside.places) == MEASURED_PLACES.most + 1
    assert len(inside.points) == 100
