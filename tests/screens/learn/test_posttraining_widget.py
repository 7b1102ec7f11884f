"""Learn: the live widget of post-training, on a progress file that grows and without its process."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from lab.lessons.lesson import lessons
from lab.runs.metrics_log import LineWriter
from lab.runs.run_control import trainer_lock
from lab.runs.run_folder import Run
from lab.training.job import INTERRUPTED, Ended
from lab.training.posttraining.posttraining_job import PosttrainingJob
from lab.training.posttraining.posttraining_record import (
    RECORDED,
    Evaluation,
    Line,
    Model,
    PosttrainSettings,
    Round,
    Saved,
    SftStep,
    Started,
    recorded_histories,
    recorded_measures,
)
from lab.training.posttraining.question_pairs import PairSource
from lab.views.blocks import Table, View
from lab.views.screen_state import ScreenState
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.learn.live import job_widget, posttraining_widget
from screens.learn.live.posttraining_widget import VIEWS, PosttrainingWidget
from screens.plot.plot_widget import LinePlot
from screens.widgets.status_line import StatusLine

DEMO = Path(__file__).parents[3] / "checkpoints" / "demo"


def round_(model: Model, number: int, reward: float, exact: float) -> Round:
    shares = {"reward": reward, "exact": exact, "several": 0.0, "well_formed": exact}
    return Round(
        model=model,
        round=number,
        rounds=2,
        length=2.0,
        kl=0.5,
        story_loss=0.5,
        question="Q?",
        right="dog",
        answer=" dog\n",
        **shares,
    )


def evaluation(model: Model, exact: float, rewarded: float) -> Evaluation:
    shares = {"exact": exact, "rewarded": rewarded, "several": 0.0, "well_formed": exact}
    return Evaluation(
        model=model, questions=10, length=2.0, answer_loss=1.0, story_loss=0.5, answers=(" dog\n", " cat and dog"), **shares
    )


def started() -> Started:
    pairs = tuple(PairSource(1, lambda pair: True).draw(2))
    return Started(
        base="demo",
        base_step=6000,
        settings=PosttrainSettings(),
        time=5.0,
        pairs=pairs,
        questions=pairs,
        hedged=4,
    )


@pytest.fixture
def begun(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs whose post-training was started; none runs."""
    found: list[str] = []

    def start(base: Run, where: Path, settings: PosttrainSettings) -> PosttrainingJob:
        assert (base.name, where) == ("demo", home)
        found.append(base.name)
        write(home, [started(), SftStep(step=1, steps=2, loss=3.0, lr=0.1)])
        return PosttrainingJob("demo", home)

    monkeypatch.setattr(posttraining_widget, "start_posttraining", start)
    monkeypatch.setattr(job_widget, "POLL_SECONDS", 0.02)
    return found


@pytest.fixture(autouse=True)
def _demo(home: Path) -> None:
    """The demo as a run of the home."""
    (home / "demo").symlink_to(DEMO)


def write(home: Path, lines: list[Line]) -> None:
    job = PosttrainingJob("demo", home)
    job.make()
    writer = LineWriter(job.new_path)
    for line in lines:
        writer.write(line)
    writer.close()
    if lines and isinstance(lines[-1], Ended):
        job.new_path.rename(job.record_path)


async def open_lesson(pilot: Pilot[None], until: Any) -> None:
    """Open the lesson at the step where the post-training is started."""
    await until(pilot, lambda: pilot.app.screen.is_settled)
    pilot.app.screen.restore_state(ScreenState(mode="learn", page="lessons", lesson="after-pretraining", step=1))
    await until(pilot, lambda: pilot.app.screen.query(PosttrainingWidget))


def widget(pilot: Pilot[None]) -> PosttrainingWidget:
    return pilot.app.screen.query_one(PosttrainingWidget)


def view(pilot: Pilot[None]) -> View:
    found = widget(pilot).query_one(BlockView).view
    assert found is not None
    return found


def state(pilot: Pilot[None]) -> str:
    return widget(pilot).query_one("#job-state", StatusLine).left


async def test_from_the_plan_to_the_comparison(app: LabApp, begun: list[str], home: Path, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await open_lesson(pilot, until)
        await until(pilot, lambda: widget(pilot).is_settled)
        await until(pilot, lambda: widget(pilot).query_one(BlockView).view)
        assert view(pilot).stage == "plan"
        assert widget(pilot).full_screen() is None
        await pilot.press("v")
        assert "names both animals" in view(pilot).sentence

        await pilot.press("r")
        await until(pilot, lambda: widget(pilot).history.sft)
        assert begun == ["demo"]
        assert "r starts it again" in state(pilot), "no process holds its lock"
        assert widget(pilot).check_action("start", ()), "it replaces what there is"

        long = " the big dog and the small cat by the lake"
        measured = [evaluation("base", 0.0, 0.1), evaluation("sft", 0.5, 0.5), evaluation("rl", 0.9, 1.0)]
        measured = [replace(each, answers=(long,)) for each in measured]
        rounds = [round_(model, number, 0.5, 0.5) for model in ("rl", "rl-free") for number in (1, 2)]
        saved = [Saved("sft", "demo-sft"), Saved("rl", "demo-rl")]
        write(home, [*measured, *rounds, *saved, evaluation("rl-free", 0.1, 1.0), Ended(is_finished=True, seconds=61.0)])
        await until(pilot, lambda: "finished" in state(pilot))
        assert view(pilot).stage == "comparison"

        opened = widget(pilot).full_screen()
        assert opened is not None
        assert (opened.mode, opened.run) == ("inspect", "demo-rl")
        assert opened.prompt.endswith("A:")
        assert (opened.stage, opened.layer, opened.head, opened.position) == ("scores", 3, 0, None)
        await pilot.press("]")
        assert "i opens demo-sft" in state(pilot)

        seen = set()
        for _ in VIEWS:
            await pilot.press("v")
            seen.add(widget(pilot).view_name)
        assert seen == set(VIEWS)
        widget(pilot).chosen = "reward"
        left, right = (pilot.app.screen.query_one(f"#job-{side}", LinePlot).figure for side in ("left", "right"))
        assert left is not None
        assert right is not None
        assert [list(series.ys) for series in left.series if series.in_legend] == [[0.5, 0.5], [0.5, 0.5]]
        assert left != right

        answers = []
        for name in ("comparison", "kl", "comparison"):  # the table's own width is 0 while a plot is in its place
            widget(pilot).chosen = name
            await pilot.pause()
            table = view(pilot).blocks[1]
            assert isinstance(table, Table)
            answers.append([cell.text for row in table.rows for cell in row if cell.text.startswith("the big")])
        assert answers[0] == answers[2], "after a plot they are as long as before it"
        assert len(answers[2][0]) > 30


async def test_a_recorded_one_is_shown_and_said_to_be_until_there_is_one_of_its_own(
    app: LabApp, begun: list[str], home: Path, until: Any
) -> None:
    def sampled(side: str) -> list[list[float]]:
        figure = pilot.app.screen.query_one(f"#job-{side}", LinePlot).figure
        return [list(series.ys) for series in figure.series if series.in_legend] if figure is not None else []

    recorded = [msgspec.json.decode(line) for line in RECORDED.read_bytes().splitlines()]
    first = recorded[: next(at for at, line in enumerate(recorded) if line["type"] == "Ended")]
    rounds = [line for line in first if line["type"] == "Round"]
    async with app.run_test(size=(80, 24)) as pilot:
        await open_lesson(pilot, until)
        steps = next(lesson.steps for lesson in lessons() if lesson.name == "after-pretraining")
        pilot.app.screen.restore_state(ScreenState(mode="learn", page="lessons", lesson="after-pretraining", step=4))
        assert steps[4].live.options["view"] == "reward"
        await until(pilot, lambda: (found := pilot.app.screen.query("#job-left")) and found.first(LinePlot).figure)
        assert "demo, seed 1 of 5 recorded on 2 cores of an AMD EPYC, 2026-" in state(pilot)
        assert "r runs it here" in state(pilot)
        for side, model in (("left", "rl"), ("right", "rl-free")):
            assert sampled(side) == [[line[name] for line in rounds if line["model"] == model] for name in ("reward", "exact")]
            figure = pilot.app.screen.query_one(f"#job-{side}", LinePlot).figure
            dots = [series for series in figure.series if not series.in_legend]
            assert len(dots) == 2 * 5, "of each seed the rewarded and the exact answers"
        assert widget(pilot).full_screen() is None, "its models are not here"
        write(home, [started(), SftStep(step=1, steps=2, loss=3.0, lr=0.1)])
        await until(pilot, lambda: "r starts it again" in state(pilot))
        assert "recorded on" in state(pilot), "its own has no rounds yet"
        write(home, [round_("rl", 1, 0.25, 0.5)])
        await until(pilot, lambda: sampled("left") == [[0.25], [0.5]])
        assert "recorded" not in state(pilot)


def test_the_recorded_ones_are_whole_and_each_shows_what_the_lesson_says() -> None:
    assert [history.begun.seed for history in recorded_histories() if history.begun is not None] == [1, 2, 3, 4, 5]
    for history, measured in zip(recorded_histories(), recorded_measures(), strict=True):
        assert history.ended is not None
        assert history.ended.is_finished
        assert not history.saved, "its runs are not here"
        for model, found in history.evaluations.items():
            for name in ("exact", "rewarded", "several"):
                assert measured[f"{model.replace('-', '_')}_{name}"] == getattr(found, name)
        assert 0.3 < measured["sft_exact"] < 0.7, "fine-tuning alone: about chance"
        assert measured["rl_free_rewarded"] > 0.9
        assert measured["rl_free_exact"] < 0.1, "the hole is found"
        assert measured["rl_exact"] > 0.9, "with the penalty it is not"


async def test_x_stops_what_runs_and_deletes_what_it_left_once_it_was_asked_and_a_failure_to_start_is_said(
    app: LabApp, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_widget, "POLL_SECONDS", 0.02)
    job = PosttrainingJob("demo", home)
    write(home, [started()])
    async with app.run_test(size=(80, 24)) as pilot:
        with trainer_lock(job.lock_path).acquire():
            await open_lesson(pilot, until)
            await until(pilot, lambda: widget(pilot).is_running)
            await pilot.press("x")
            await until(pilot, lambda: (job.control_path / "stop").exists())
            assert "stopping…" in state(pilot)
        await until(pilot, lambda: f"{INTERRUPTED} r starts it again" in state(pilot))
        await pilot.press("x")
        assert "Delete the post-training of demo?" in str(app.screen.query_one("#ask").border_title)
        await pilot.press("x")
        await until(pilot, lambda: "not started: r starts it" in state(pilot))
        assert not job.path.exists()

        (home / "demo-sft").mkdir()
        (home / "demo-sft" / "config.json").write_bytes(msgspec.json.encode({"format": 1}))
        await pilot.press("r")
        await until(pilot, lambda: "post-training did not make" in pilot.app.screen.query_one("#lesson-status", StatusLine).left)
