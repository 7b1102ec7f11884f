import shutil

import pytest

from lab.runs.metrics_log import LineWriter
from lab.runs.run_follower import RunFollower
from lab.runs.run_schema import Event, Insight, Metric, PartUpdate


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
