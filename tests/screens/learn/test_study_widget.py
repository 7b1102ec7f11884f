"""Learn: the live widgets of a study, on a record that grows and without its process."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from lab.core.errors import UserError
from lab.runs.metrics_log import LineWriter
from lab.studies.study_record import (
    RECORDED,
    Begun,
    Ended,
    Line,
    Measured,
    Plot,
    Point,
    Rows,
    Said,
    StudyFiles,
    StudyHistory,
    history_of,
)
from lab.views.blocks import Table
from screens.blocks.block_view import BlockView
from screens.learn.live import study_widget
from screens.learn.live.study_widget import RecordedGuess, StudyWidget, figure_of, title_of
from screens.plot.draw_figure import draw
from screens.plot.line_plot import LinePlot, legend
from screens.widgets.status_line import StatusLine

BEGUN = Begun(study="tiny", seed=1, pid=1, host="here", cores=2, time=0.0)
LINES: list[Line] = [
    BEGUN,
    Plot("accuracy", "right answers", "tokens", "right answers", 0.0, 1.0),
    Point("accuracy", "bytes", 0, 0.1),
    Point("accuracy", "bytes", 100, 0.9),
    Point("accuracy", "BPE", 0, 0.1),
    Said("accuracy", "Bytes: 90% right."),
    Rows("answers", "its answers", ("word", "right"), (("straw\x1b[31m", 3), ("berry", 0.25))),
    Measured({"bytes": 0.9, "bpe": 0.1}),
]
FINISHED = Ended(is_finished=True, seconds=48.0)


def write(path: Path, lines: list[Line]) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    writer = LineWriter(path)
    for line in lines:
        writer.write(line)
    writer.close()


@pytest.fixture
def files(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFiles:
    """A study with a recorded result. The process that holds its lock is the test."""
    recorded = tmp_path / "recorded"
    write(recorded / "tiny.jsonl", [*LINES, FINISHED])
    monkeypatch.setattr("lab.studies.study_record.RECORDED", recorded)
    monkeypatch.setattr(study_widget, "POLL_SECONDS", 0.02)
    return StudyFiles("tiny", home)


class OneWidget(App[None]):
    def __init__(self, kind: Any, options: dict[str, str]) -> None:
        super().__init__()
        self.widget = kind(options, None)

    def compose(self) -> ComposeResult:
        yield self.widget


def words(pilot: Pilot[None], which: str) -> str:
    return pilot.app.query_one(f"#study-{which}", StatusLine).left


async def test_a_study_shows_the_recorded_result_then_the_one_that_runs_then_that_of_here(
    files: StudyFiles, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    running = False
    monkeypatch.setattr(StudyFiles, "is_running", lambda _: running)
    monkeypatch.setattr(study_widget, "start_study", lambda asked: started.append(asked.name))
    app = OneWidget(StudyWidget, {"name": "tiny"})
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.widget.is_settled)
        assert "recorded on 1970-01-01 on 2 cores in 48 s" in words(pilot, "state")
        assert words(pilot, "sentence") == "Bytes: 90% right."
        plot = app.query_one(LinePlot)
        assert [(each.name, list(each.ys)) for each in plot.figure.series] == [("bytes", [0.1, 0.9]), ("BPE", [0.1])]
        app.widget.take_focus()
        await pilot.press("v")
        await until(pilot, lambda: app.query_one(BlockView).view is not None)
        (table,) = app.query_one(BlockView).view.blocks
        assert isinstance(table, Table)
        assert [[cell.text for cell in row] for row in table.rows] == [["straw␛[31m", "3"], ["berry", "0.250"]]
        await pilot.press("r")
        await until(pilot, lambda: started == ["tiny"])
        running = True
        write(files.new_path, LINES[:3])
        await until(pilot, lambda: "running here" in words(pilot, "state"))
        await until(pilot, lambda: [list(each.ys) for each in plot.figure.series] == [[0.1]])
        write(files.new_path, [*LINES[3:], Ended(is_finished=True, seconds=9.0)])
        files.new_path.rename(files.path)
        running = False
        await until(pilot, lambda: "run here on" in words(pilot, "state"))
        assert "r runs it again" in words(pilot, "state")


@pytest.mark.parametrize("options", [{}, {"name": "nothing"}, {"name": "tiny", "colour": "red"}])
def test_a_block_that_names_no_study_is_refused(files: StudyFiles, options: dict[str, str]) -> None:
    with pytest.raises(UserError):
        StudyWidget(options, None)  # type: ignore[arg-type]


async def test_a_guess_on_a_study_is_decided_by_its_measures(files: StudyFiles, until: Any) -> None:
    options = {
        "study": "tiny",
        "question": "Which is right more often?",
        "choice-a": "bytes",
        "right-a": "bytes > bpe",
        "choice-b": "BPE",
        "answer": "Bytes {bytes:.0%}, BPE {bpe:.0%}.",
    }
    app = OneWidget(RecordedGuess, options)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.widget.guess.state is not None)
        question = app.widget.guess.state.question
        assert (question.right, question.answer) == ((0,), "Bytes 90%, BPE 10%.")
    write(files.path, [replace(BEGUN, time=9.0), *LINES[1:-1], Measured({"bytes": 0.1, "bpe": 0.9}), FINISHED])
    again = OneWidget(RecordedGuess, options)
    async with again.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: again.widget.guess.state is not None)
        anew = again.widget.guess.state.question
        assert anew.right == (1,), "the study of here has another result"
        assert anew.identity == question.identity, "and still only the first guess counts"


SHIPPED = [(path.stem, history_of(path)) for path in sorted(RECORDED.glob("*.jsonl"))]


@pytest.mark.parametrize(
    ("history", "plot"),
    [
        pytest.param(history, view, id=f"{name} {view.view}")
        for name, history in SHIPPED
        for view in history.views.values()
        if isinstance(view, Plot)
    ],
)
def test_the_legend_and_the_title_of_a_recorded_plot_fit_in_80_columns(history: StudyHistory, plot: Plot) -> None:
    figure = figure_of(plot, history.curves[plot.view])
    assert len("".join(text for text, _ in legend(figure, draw(figure, 78, 8), 78)).rstrip()) <= 78
    assert len(title_of(plot)) <= 76
