import math
import shutil

import msgspec
import numpy as np
import pytest

from lab.core.limits import MEASURED_PLACES
from lab.runs.metrics_log import SPEED_STEPS, LineWriter
from lab.runs.run_history import LONGEST_SMOOTHING, SMOOTHED_SHARE, InsightHistory, LossHistory, PlaceText, RunFollower
from lab.runs.run_schema import Event, Insight, Metric, PartUpdate, Place, Sample
from tests.fixture_types import EmptyRun


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


def test_a_feed_gives_all_once_and_again_where_a_file_began_anew(empty_run: EmptyRun) -> None:
    run = empty_run()
    lines, events = LineWriter(run.insights_path), LineWriter(run.events_path)
    lines.write(insight(0))
    events.write(Event(step=0, seconds=0.0, kind="checkpoint"))
    LineWriter(run.samples_path).write(Sample(step=1, prompt="a", text="b"))
    feed = RunFollower(run)
    news = feed.read()
    assert (news.insights_restarted, news.events_restarted) == (True, True)
    assert [moment.step for moment in news.insights.points] == [0]
    assert [event.kind for event in news.events] == ["checkpoint"]
    assert (len(news.samples), news.samples_restarted) == (1, True)
    lines.write(insight(100))
    kept = news.insights
    news = feed.read()
    assert (news.insights_restarted, news.events, news.samples, news.samples_restarted) == (False, [], [], False)
    kept.extend(news.insights)
    assert [moment.step for moment in kept.points] == [0, 100]
    run.insights_path.write_bytes(run.insights_path.read_bytes()[:-1].rpartition(b"\n")[0] + b"\n")
    news = feed.read()
    assert news.insights_restarted
    assert [moment.step for moment in news.insights.points] == [0]


def test_a_long_file_is_read_in_blocks_and_nothing_is_lost(empty_run: EmptyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.runs.run_history.READ_BYTES", 1000)
    run = empty_run()
    lines = LineWriter(run.metrics_path)
    for step in range(1, 301):
        lines.write(Metric(step=step, tokens=step, epoch=0.0, seconds=float(step), loss=1 / step))
    feed = RunFollower(run)
    first = feed.read()
    history = first.history
    assert history is not None
    assert (first.metrics, list(history.steps)) == ([], list(range(1, 301)))
    assert history.losses[299] == 1 / 300
    for step in range(301, 401):
        lines.write(Metric(step=step, tokens=step, epoch=0.0, seconds=float(step), loss=1 / step))
    news = feed.read()
    assert news.history is None
    assert [metric.step for metric in news.metrics] == list(range(301, 401))
    run.metrics_path.write_bytes(msgspec.json.encode(Metric(step=1, tokens=1, epoch=0.0, seconds=1.0, loss=5.0)) + b"\n")
    anew = feed.read().history
    assert anew is not None
    assert list(anew.losses) == [5.0]


def test_a_new_run_of_the_same_name_is_read_from_its_beginning(empty_run: EmptyRun) -> None:
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


def metric(step: int, loss: float | None = None, val_loss: float | None = None) -> Metric:
    return Metric(step=step, tokens=step * 8, epoch=step / 10, seconds=float(step), loss=loss, val_loss=val_loss)


def test_a_history_keeps_the_latest_and_the_best_whole_columns_and_a_mean_of_the_speed() -> None:
    history = LossHistory()
    assert not history.add([])
    assert history.add([metric(0, None, 7.0), metric(1, 6.0), metric(2, 5.0, 4.0), metric(3, 4.5), metric(4, None, 4.2)])
    assert (history.latest, history.last_training, history.last_evaluation, history.best_evaluation) == (
        metric(4, None, 4.2),
        metric(3, 4.5),
        metric(4, None, 4.2),
        metric(2, 5.0, 4.0),
    )
    assert list(history.steps) == [1, 2, 3]
    assert list(history.eval_steps) == [0, 2, 4]
    before = history.version
    history.add([metric(5, 4.0)])
    assert history.version > before
    history = LossHistory()
    history.add([metric(0, None, 7.0), Metric(step=1, tokens=8, epoch=0.1, seconds=2.5, loss=3.0, lr=0.5), metric(2, 1.0)])
    assert list(history.seconds) == [2.5, 2.0]
    assert history.lrs[0] == 0.5
    assert math.isnan(history.lrs[1])
    assert all(math.isnan(norm) for norm in history.grad_norms)
    assert history.lowest_smooth == 1.0
    history = LossHistory()
    assert history.speed is None
    history.add([metric(0, None, 3.0)])
    assert history.speed is None
    fast = Metric(step=1, tokens=0, epoch=0.0, seconds=0.0, loss=3.0, tokens_per_second=1000.0)
    history.add([fast] * 30)
    assert history.speed == pytest.approx(1000.0)
    history.add([Metric(step=2, tokens=0, epoch=0.0, seconds=0.0, loss=3.0, tokens_per_second=100.0)])
    assert history.speed == pytest.approx(1000.0 - 900.0 / SPEED_STEPS)


@pytest.mark.parametrize("at_once", [1, 7, 3000])
def test_the_running_mean_does_not_depend_on_how_the_lines_arrive(at_once: int) -> None:
    losses = np.random.default_rng(1).normal(3.0, 1.0, 2000).tolist()
    for share, longest in ((SMOOTHED_SHARE, LONGEST_SMOOTHING), (1 / 5, 300), (1 / 100, 20)):
        history = LossHistory()
        for start in range(0, 2000, at_once):
            part = losses[start : start + at_once]
            history.add([Metric(step=start + at, tokens=0, epoch=0.0, seconds=0.0, loss=loss) for at, loss in enumerate(part, 1)])
            if at_once > 1:
                history.smoothed(share, longest)
        mean, expected = 0.0, []
        for number, loss in enumerate(losses, 1):
            mean += (loss - mean) / min(max(1.0, number * share), longest)
            expected.append(mean)
        np.testing.assert_allclose(history.smoothed(share, longest).values, expected, rtol=1e-9)
