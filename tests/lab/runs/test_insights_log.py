"""What a reader keeps of insights.jsonl, and what is said of it."""

import sys
import time
from types import ModuleType, SimpleNamespace

import numpy as np
import psutil
import pytest

from lab.core.float_columns import Column
from lab.reports.machine_usage import UsageMeter
from lab.reports.update_ratios import power, updates_in_words
from lab.runs.insights_log import Inside
from lab.runs.loss_history import History
from lab.runs.metrics_log import LineWriter
from lab.runs.run_follower import RunFollower
from lab.runs.run_schema import Event, Insight, Metric, PartUpdate, Status


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
    inside = Inside()
    assert inside.at(None) is None
    inside.add([insight(0), insight(100, 0.5), Insight(step=200, took=0.0)])
    assert [inside.at(step) for step in (0, 99, 100, 1e9, None)] == [0, 0, 1, 2, 2]
    assert inside.moments[1].of("induction").tolist() == [[0.0, 0.5]]
    assert inside.moments[0].pattern.shape == (1, 2, 2)
    assert inside.moments[2].scores.shape == (3, 0, 0)
    assert (inside.probe, inside.truth, inside.took) == (("a", "b"), "c", 1.0)


def test_a_feed_gives_insights_and_events_once_and_all_of_them_where_a_file_began_anew(empty_run) -> None:  # type: ignore[no-untyped-def]
    run = empty_run()
    lines, events = LineWriter(run.insights_path), LineWriter(run.events_path)
    lines.write(insight(0))
    events.write(Event(step=0, seconds=0.0, kind="checkpoint"))
    feed = RunFollower(run)
    news = feed.read()
    assert (news.inside_anew, news.events_anew) == (True, True)
    assert [moment.step for moment in news.inside.moments] == [0]
    assert [event.kind for event in news.events] == ["checkpoint"]
    lines.write(insight(100))
    kept = news.inside
    news = feed.read()
    assert (news.inside_anew, news.events) == (False, [])
    kept.join(news.inside)
    assert [moment.step for moment in kept.moments] == [0, 100]
    run.insights_path.write_bytes(run.insights_path.read_bytes()[:-1].rpartition(b"\n")[0] + b"\n")
    news = feed.read()
    assert news.inside_anew
    assert [moment.step for moment in news.inside.moments] == [0]


def test_a_long_file_is_read_in_blocks_and_nothing_is_lost(empty_run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("lab.runs.run_follower.BLOCK", 1000)
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


def test_a_column_s_views_stay_what_they_were_while_it_grows() -> None:
    column = Column()
    column.extend(list(range(50)))
    view = column[:]
    for start in range(50, 5000, 50):
        column.extend(np.arange(start, start + 50))
    assert view.tolist() == list(range(50))
    assert list(column) == list(range(5000))
    assert (column[-1], column[3], len(column)) == (4999.0, 3.0, 5000)


@pytest.mark.parametrize("at_once", [1, 7, 3000])
def test_the_running_mean_does_not_depend_on_how_the_lines_arrive(at_once: int) -> None:
    losses = np.random.default_rng(1).normal(3.0, 1.0, 6000).tolist()
    for share, longest in ((1 / 20, 100), (1 / 5, 1000), (1 / 100, 20)):
        history = History()
        for start in range(0, 6000, at_once):
            part = losses[start : start + at_once]
            history.add([Metric(step=start + at, tokens=0, epoch=0.0, seconds=0.0, loss=loss) for at, loss in enumerate(part, 1)])
            if at_once > 1:
                history.smoothed(share, longest)
        mean, expected = 0.0, []
        for number, loss in enumerate(losses, 1):
            mean += (loss - mean) / min(max(1.0, number * share), longest)
            expected.append(mean)
        np.testing.assert_allclose(history.smoothed(share, longest).values, expected, rtol=1e-9)


def test_updates_are_told_by_part_with_the_rule_they_are_measured_by() -> None:
    parts = [PartUpdate("embedding", 3.0, 2e-4), PartUpdate("1 MLP", 4.0, 1.2e-3), PartUpdate("final norm", 0.0, None)]
    words = updates_in_words(1200, parts)
    assert words.startswith("The update at step 1,200 changes 1 MLP most, by 1.2e−3 of its size, and embedding least, by 2.0e−4.")
    assert "64% of the gradient (squared) is in 1 MLP." in words
    assert "far" not in words
    assert "far more" in updates_in_words(9, [PartUpdate("embedding", 1.0, 0.05)])
    assert "far less" in updates_in_words(9, [PartUpdate("embedding", 1.0, 1e-5)])
    muon = updates_in_words(9, [PartUpdate("1 MLP", 1.0, 0.05)], "muon")
    assert "with it a hundredth is usual" in muon
    assert "far" not in muon
    assert updates_in_words(0, []).startswith("No step was measured here")
    assert power(0.0123) == "1.2e−2"


def status_of_this_process(device: str = "cpu") -> Status:
    import platform

    process = psutil.Process()
    return Status(phase="training", pid=process.pid, pid_started=process.create_time(), host=platform.node(), device=device)


def test_usage_is_that_of_the_trainer_s_process_and_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("lab.reports.machine_usage.time.time", lambda: now[0])
    meter, status = UsageMeter(), status_of_this_process()
    meter.sample(status)
    now[0] += 0.5
    meter.sample(status)
    assert len(meter.samples) == 1, "too soon"
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    now[0] += 0.6
    meter.sample(status)
    last = meter.samples[-1]
    assert last.trainer_memory == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert last.trainer_cpu is not None
    assert 0.05 < last.trainer_cpu < meter.cores + 1
    assert 0 < last.memory < meter.memory
    assert (last.gpu, last.gpu_memory) == (None, None)
    now[0] += 2
    meter.sample(Status(phase="training", pid=status.pid, host="elsewhere"))
    assert (meter.samples[-1].trainer_cpu, meter.samples[-1].trainer_memory) == (None, None)
    other = UsageMeter()
    other.sample(Status(phase="training", pid=status.pid, pid_started=1.0, host=status.host))
    assert other.samples[-1].trainer_memory is None, "another process that got the number"


def fake_nvml(busy: list[int], owners: dict[int, int]) -> ModuleType:
    """nvidia-ml-py's functions that are used, for cards of which each is as busy, and owned by a process."""
    module = ModuleType("pynvml")
    module.__dict__.update(
        NVMLError=type("NVMLError", (Exception,), {}),
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(busy),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetComputeRunningProcesses=lambda card: [SimpleNamespace(pid=owners[card])] if card in owners else [],
        nvmlDeviceGetUtilizationRates=lambda card: SimpleNamespace(gpu=busy[card]),
        nvmlDeviceGetMemoryInfo=lambda card: SimpleNamespace(used=card * 10**9, total=80 * 10**9),
    )
    return module


def test_the_card_is_the_one_that_lists_the_trainer_else_that_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    status = status_of_this_process("cuda:1")
    for owners, shown, expected in (({2: status.pid}, "", 2), ({}, "", 1), ({}, "0,3", 3)):
        monkeypatch.setitem(sys.modules, "pynvml", fake_nvml([10, 20, 30, 40], owners))
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        meter = UsageMeter()
        meter.sample(status)
        assert meter.samples[-1].gpu == pytest.approx((expected + 1) / 10)
        assert meter.samples[-1].gpu_memory == expected * 10**9


def test_without_nvidia_ml_py_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    meter = UsageMeter()
    meter.sample(status_of_this_process("cuda"))
    assert meter.samples[-1].gpu is None
