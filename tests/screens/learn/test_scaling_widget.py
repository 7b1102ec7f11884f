"""The live widget of the scaling lesson: before it starts, while it trains, and with its result."""

import fcntl
import math
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from lab.lessons.conditions import parse_experiment_guess
from lab.lessons.guess_score import predictions_path, read_predictions
from lab.lessons.lesson import lessons
from lab.runs.run_schema import Metric, Status, TokenizerConfig, TrainConfig
from lab.training.scaling.scaling_experiment import ScalingExperiment
from lab.training.scaling.scaling_plan import ScalingPlan
from lab.training.scaling.scaling_result import RECORDED
from lab.views.blocks import Paragraph, Table
from models.parameter_count import flops_per_token, parameter_count
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.dialogs.ask import ConfirmDialog
from screens.learn.lessons_page import LessonList
from screens.learn.live.job_widget import PlotPane
from screens.learn.live.scaling_widget import ScalingWidget
from screens.learn.live.study_widget import recorded
from screens.plot.plot_widget import LinePlot
from screens.widgets.status_line import StatusLine
from tests.lab.runs.made_up_runs import config as made_up_config
from tests.screens.learn.conftest import lessons_page

ENTROPY = 0.16


def write_size(home: Path, plan: ScalingPlan, at: int, phase: str = "finished", name: str = "scaling") -> None:
    """The run of a size on a machine of 50 GFLOP/s, whose loss follows the law of Hoffmann et al. 2022."""
    model, name = plan.models()[at], f"{name}-{at + 1}"
    train = TrainConfig(steps=None, minutes=plan.minutes, batch=plan.batch, lr=0.008)
    made = made_up_config(ENTROPY)
    data = msgspec.structs.replace(made.data, source=plan.text)
    tokenizer = TokenizerConfig(kind="bpe", vocab_size=plan.vocab)
    run = msgspec.structs.replace(made, name=name, created=time.time(), model=model, tokenizer=tokenizer, data=data, train=train)
    bytes_per_token = data.train_bytes / data.split
    floor = ENTROPY * math.log(2) * bytes_per_token
    folder = home / name
    folder.mkdir()
    (folder / "config.json").write_bytes(msgspec.json.encode(run))
    (folder / "status.json").write_bytes(msgspec.json.encode(Status(phase=phase, step=1, seconds=60 * plan.minutes)))  # type: ignore[arg-type]
    lines = []
    for step in range(1, 61):
        seconds = plan.minutes * step
        tokens = round(5e10 * seconds / flops_per_token(model))
        loss = floor + 10 * parameter_count(model) ** -0.4 + 400 * tokens**-0.5
        bits = loss / math.log(2) / bytes_per_token
        lines.append(Metric(step=step, tokens=tokens, epoch=tokens / 6e6, seconds=seconds, val_loss=loss, bits_per_byte=bits))
    (folder / "metrics.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def make_experiment(
    home: Path, name: str = "scaling", created: float = 5.0, *, sizes: int = 4, guess: int | None = None
) -> ScalingExperiment:
    """An experiment of which so many sizes are trained."""
    experiment, plan = ScalingExperiment(name, home), ScalingPlan(created=created, guess=guess)
    experiment.path.mkdir(parents=True)
    experiment.plan_path.write_bytes(msgspec.json.encode(plan))
    for at in range(sizes):
        write_size(home, plan, at, name=name)
    return experiment


async def open_lesson(pilot: Pilot[None], until: Any) -> ScalingWidget:
    await lessons_page(pilot, until)
    screen = pilot.app.screen
    screen.query_one(LessonList).highlighted = [lesson.name for lesson in lessons()].index("scaling")
    await pilot.press("enter")
    await until(pilot, lambda: screen.query(ScalingWidget) and screen.query_one(ScalingWidget).is_settled)
    return screen.query_one(ScalingWidget)


def texts(widget: ScalingWidget) -> str:
    assert widget.snapshot is not None
    words = [block.text for block in widget.snapshot.view.blocks if isinstance(block, Paragraph)]
    rows = [row for block in widget.snapshot.view.blocks if isinstance(block, Table) for row in block.rows]
    return " ".join([*words, *(cell.text for row in rows for cell in row)])


async def test_a_prediction_is_made_before_it_starts_the_key_starts_it_once_and_a_stopped_one_can_go_on(
    app: LabApp, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[ScalingPlan] = []
    held: list[int] = []

    def start(experiment: ScalingExperiment, plan: ScalingPlan | None = None) -> None:
        assert plan is not None
        experiment.create(plan)
        started.append(plan)
        held.append(os.open(experiment.lock_path, os.O_RDWR | os.O_CREAT))
        fcntl.flock(held[0], fcntl.LOCK_EX)
        write_size(home, experiment.plan(), 0)
        write_size(home, experiment.plan(), 1, "training")

    monkeypatch.setattr("screens.learn.live.scaling_widget.start_scaling", start)
    async with app.run_test(size=(80, 24)) as pilot:
        widget = await open_lesson(pilot, until)
        assert widget.phase == "none"
        assert widget.check_action("stop", ()) is False
        for model in ScalingPlan().models():
            assert f"{parameter_count(model):,}" in texts(widget)
        await pilot.press("e", "e")
        await until(pilot, lambda: widget.snapshot and "Your prediction: size 2" in widget.snapshot.words)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: widget.phase == "running")
        assert [plan.guess for plan in started] == [2]
        assert widget.view_name == "numbers"
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.focused, PlotPane))
        await until(pilot, lambda: (plot := widget.query_one("#job-left", LinePlot).figure) and len(plot.series) == 2)
        await pilot.press("v", "v")
        await until(pilot, lambda: isinstance(app.focused, BlockView))
        assert "✓ finished" in texts(widget)
        assert "○ waiting" in texts(widget)
        assert widget.check_action("start", ()) is False
        os.close(held[0])
        await until(pilot, lambda: widget.phase == "stopped")
        assert widget.check_action("start", ()) is False
        assert widget.check_action("resume", ())
        words = widget.query_one("#job-state", StatusLine).left
        assert "enter goes on, x deletes it." in words
        assert "Your prediction: size 2" in words
        plot = widget.query_one("#job-left", LinePlot)
        for word in ("FLOPs", "parameters"):
            await pilot.press("v")
            await until(pilot, lambda word=word: word in str(plot.border_title))
        assert widget.snapshot is not None
        assert "loss − entropy" in widget.snapshot.compute.scale_words


async def test_the_result_has_two_plots_sentences_and_a_way_to_each_run(app: LabApp, home: Path, until: Any) -> None:
    experiment = make_experiment(home, guess=3)
    predictions_path(home).mkdir(parents=True)  # none can be kept now
    async with app.run_test(size=(120, 40)) as pilot:
        widget = await open_lesson(pilot, until)
        assert widget.view_name == "compute"
        await until(pilot, lambda: isinstance(app.focused, PlotPane))
        assert widget.snapshot is not None
        compute, parameters = widget.snapshot.compute, widget.snapshot.parameters
        assert [series.sign for series in compute.series] == ["1", "2", "3", "4", ""]
        assert "C^−" in compute.series[-1].name
        assert [series.kind for series in parameters.series] == ["marked", "marks", "line"]
        assert widget.snapshot.best == "scaling-2"
        assert "You predicted size 3: it is size 2" in widget.snapshot.words
        assert ["predictions.jsonl is a folder" in each.message for each in app._notifications] == [True]
        predictions_path(home).rmdir()
        await until(pilot, lambda: [each.is_right for each in read_predictions(home)[0]] == [False])
        assert widget.run == "scaling-2"
        await pilot.press("]")
        assert widget.run == "scaling-3"
        state = widget.full_screen()
        assert state is not None
        assert (state.mode, state.run) == ("train", "scaling-3")
        await pilot.press("v", "v")
        await until(pilot, lambda: widget.view_name == "numbers" and isinstance(app.focused, BlockView))
        assert "size 2" in texts(widget)
        assert "times fewer" in texts(widget)
        await until(pilot, lambda: len(read_predictions(home)[0]) == 1)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("enter", "escape")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmDialog) and isinstance(app.focused, BlockView))
        assert experiment.exists()


async def test_one_of_another_name_is_shown_and_named_and_keys_act_on_the_one_that_is_shown(
    app: LabApp, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(
        "screens.learn.live.scaling_widget.start_scaling", lambda experiment, plan: started.append(experiment.name)
    )
    older, newer = make_experiment(home, "older", 5.0), make_experiment(home, "newer", 6.0)
    async with app.run_test(size=(80, 24)) as pilot:
        widget = await open_lesson(pilot, until)
        state = widget.query_one("#job-state", StatusLine)
        assert state.left == "newer: All 4 sizes are trained. } shows older. i opens newer-2."
        assert widget.view_name == "compute"
        await pilot.press("}")
        await until(pilot, lambda: state.left == "older: All 4 sizes are trained. } shows scaling. i opens older-2.")
        with monkeypatch.context() as slow:
            slow.setattr(widget, "follow", lambda: None)
            await pilot.press("}", "enter", "x")
            assert not isinstance(app.screen, ConfirmDialog), "no key acts on an experiment that is not shown yet"
        widget.follow()
        await until(pilot, lambda: state.left.startswith("scaling: Nothing is trained yet.") and widget.is_settled)
        assert started == []
        await pilot.press("enter")
        await until(pilot, lambda: started == ["scaling"] and not widget.busy)
        await pilot.press("}")
        await until(pilot, lambda: widget.phase == "finished")
        assert state.left.startswith("newer: ")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        assert "Delete the scaling experiment newer?" in str(app.screen.query_one("#ask").border_title)
        await pilot.press("x")
        await until(pilot, lambda: widget.is_settled and state.left.startswith("older: "))
        assert not newer.exists()
        assert not list(home.glob("newer-*"))
        assert older.exists()
        assert (home / "older-4").exists()


def test_the_figures_in_the_lesson_are_those_of_the_plan() -> None:
    text = next(lesson.text for lesson in lessons() if lesson.name == "scaling")
    smallest, *_, largest = (parameter_count(model) for model in ScalingPlan().models())
    assert f"from some {round(smallest / 1000)} thousand to {largest / 1e6:.1f} million parameters" in " ".join(text.split())
    assert len(ScalingPlan().sizes) == 4


async def test_a_recorded_experiment_is_shown_and_said_to_be_until_there_is_one_here(app: LabApp, home: Path, until: Any) -> None:
    record = msgspec.json.decode(RECORDED.read_bytes())
    ends = [curve["points"][-1]["loss"] for curve in record["curves"]]
    async with app.run_test(size=(120, 40)) as pilot:
        widget = await open_lesson(pilot, until)
        assert widget.snapshot is not None
        assert "Nothing is trained yet" in widget.snapshot.words, "the guess comes before the result"
        await pilot.press("space", "space")
        found = pilot.app.screen.query(ScalingWidget)
        await until(pilot, lambda: found and found.first().snapshot and found.first().view_name == "compute")
        widget = found.first()
        words = widget.snapshot.words
        assert "Recorded on one core of an AMD EPYC, 2026-" in words
        assert "enter runs it here" in words
        assert [list(series.ys) for series in widget.snapshot.compute.series[:4]] == [
            pytest.approx([point["loss"] - widget_floor(record) for point in curve["points"]]) for curve in record["curves"]
        ]
        assert f"{min(ends):.3f} lowest" in texts(widget)
        assert widget.full_screen() is None, "its runs are not here"
        assert widget.check_action("start", ())
        make_experiment(home)
        await until(pilot, lambda: widget.phase == "finished")
        assert "Recorded" not in widget.snapshot.words
        assert widget.snapshot.best == "scaling-2"


def widget_floor(record: dict[str, Any]) -> float:
    return float(record["curves"][-1]["floor"])


def test_the_guess_of_the_lesson_is_decided_by_the_recorded_losses() -> None:
    record = msgspec.json.decode(RECORDED.read_bytes())
    ends = [curve["points"][-1]["loss"] for curve in record["curves"]]
    live = next(lesson for lesson in lessons() if lesson.name == "scaling").steps[1].live
    assert live is not None
    question = parse_experiment_guess(live.options).ask(recorded("scaling"), "")
    assert question.right == (ends.index(min(ends)),)
    assert all(f"{loss:.3f}" in question.answer for loss in ends)
    assert [curve["seconds"] for curve in record["curves"]] == [120.0] * 4, "two minutes each, as the lesson says"
    tokens = [curve["points"][-1]["tokens"] for curve in record["curves"]]
    assert tokens == sorted(tokens, reverse=True), "the smallest saw the most"
