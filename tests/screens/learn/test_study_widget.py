"""Learn: the live widgets of a study, on a record that grows and without its process."""

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from lab.core.errors import UserError
from lab.core.visible_text import visible
from lab.lessons.conditions import fill
from lab.runs.metrics_log import LineWriter
from lab.studies import study_job
from lab.studies.study_job import (
    RECORDED,
    STUDIES,
    Line,
    Measured,
    Plot,
    Point,
    Rows,
    StudyHistory,
    StudyJob,
    StudyRequest,
    median_of,
    recorded_seeds,
    sentences_of,
)
from lab.training.job import Begun, Ended, history_of
from lab.views.blocks import Table
from screens.blocks.block_view import BlockView
from screens.learn.live import job_widget, study_widget
from screens.learn.live.live_widget import LiveWidget
from screens.learn.live.study_widget import ChooseWidget, RecordedGuess, StudyWidget, figure_of, title_of
from screens.plot.draw_plot import draw
from screens.plot.plot_widget import LinePlot, legend
from screens.widgets.status_line import StatusLine

BEGUN = Begun(seed=1, pid=1, host="here", cores=2, time=0.0)
LINES: list[Line] = [
    BEGUN,
    Plot("accuracy", "right answers", "tokens", "right answers", 0.0, 1.0),
    Point("accuracy", "bytes", 0, 0.1),
    Point("accuracy", "bytes", 100, 0.9),
    Point("accuracy", "BPE", 0, 0.1),
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
def files(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyJob:
    """A study with a recorded result. The process that holds its lock is the test."""
    recorded = tmp_path / "recorded"
    write(recorded / "tiny.jsonl", [*LINES, FINISHED])
    monkeypatch.setattr("lab.studies.study_job.RECORDED", recorded)
    monkeypatch.setattr("lab.studies.study_job.SENTENCES", tmp_path)
    (tmp_path / "tiny.md").write_text("# Tiny\n\n## accuracy\nBytes: {bytes:.0%}\nright.\n")
    (tmp_path / "three.md").write_text("# Three\n\n## accuracy\nRight: {bytes:.0%}, more than half {in bytes > 0.5}.\n")
    monkeypatch.setattr(study_widget, "STUDIES", (*STUDIES, "tiny", "three"))
    monkeypatch.setattr(job_widget, "POLL_SECONDS", 0.02)
    return StudyJob("tiny", home)


class OneWidget(App[None]):
    def __init__(self, kind: Any, options: dict[str, str]) -> None:
        super().__init__()
        self.widget = kind(options, None)
        self.said = ""

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_live_widget_said(self, message: LiveWidget.Said) -> None:
        self.said = message.words


def words(pilot: Pilot[None], which: str) -> str:
    return pilot.app.query_one(f"#job-{which}", StatusLine).left


async def test_a_study_shows_the_recorded_result_then_the_one_that_runs_then_that_of_here(
    files: StudyJob, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, int]] = []
    running = False
    monkeypatch.setattr(StudyJob, "is_running", lambda _: running)

    def start(job: StudyJob, request: StudyRequest) -> None:
        started.append((job.name, request.seed))

    monkeypatch.setattr(StudyJob, "start", start)
    app = OneWidget(StudyWidget, {"name": "tiny"})
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.widget.is_settled)
        assert "1 seed recorded on 1970-01-01, 48 s of CPU each" in words(pilot, "state")
        assert words(pilot, "sentence") == "Bytes: 90% right."
        plot = app.query_one("#job-left", LinePlot)
        assert drawn(plot, "marked") == [("bytes", [0.1, 0.9]), ("BPE", [0.1])]
        app.widget.take_focus()
        await pilot.press("v")
        await until(pilot, lambda: app.query_one(BlockView).view is not None)
        assert table(pilot) == [["straw␛[31m", "3"], ["berry", "0.25"]]
        await pilot.press("r")
        await until(pilot, lambda: started == [("tiny", 2)])
        running = True
        write(files.new_path, [replace(BEGUN, seed=2), *LINES[1:3]])
        meanwhile = "seed 2 runs here: 0%; until it comes to this: the median of 1 seed recorded · x stops it"
        await until(pilot, lambda: meanwhile in words(pilot, "state"))
        assert table(pilot)[1] == ["berry", "0.25"], "no empty box where the lesson has words about this table"
        await pilot.press("v")
        await until(pilot, lambda: drawn(plot, "marked") == [("bytes", [0.1])])
        assert "seed 2 runs here: 0% · x stops it" in words(pilot, "state")
        write(files.new_path, [*LINES[3:], Ended(is_finished=True, seconds=9.0)])
        files.new_path.rename(files.record_path)
        running = False
        await until(pilot, lambda: "seed 2, run here on" in words(pilot, "state"))
        assert "r runs seed 3 here" in words(pilot, "state")


def drawn(plot: LinePlot, kind: str) -> list[tuple[str, list[float]]]:
    assert plot.figure is not None
    return [(each.name, list(each.ys)) for each in plot.figure.series if each.kind == kind]


def table(pilot: Pilot[None]) -> list[list[str]]:
    view = pilot.app.query_one(BlockView).view
    assert view is not None
    (found,) = view.blocks
    assert isinstance(found, Table)
    return [[cell.text for cell in row] for row in found.rows]


def of_seed(seed: int, right: float) -> list[Line]:
    return [
        replace(BEGUN, seed=seed),
        Plot("accuracy", "right answers", "tokens", "right answers", 0.0, 1.0),
        Point("accuracy", "bytes", 0, 0.1),
        Point("accuracy", "bytes", 100, right),
        Measured({"bytes": right}),
        Rows("counts", "right", ("word", "right"), (("all", right), ("none", 0.0))),
        Rows("answers", "its answers", ("word", "right"), ((f"word {seed}", right),)),
        FINISHED,
    ]


async def test_all_recorded_seeds_are_shown_and_one_of_here_is_seen_among_them(files: StudyJob, until: Any) -> None:
    shares = (0.2, 0.6, 0.9)
    write(study_job.RECORDED / "three.jsonl", [line for seed, right in enumerate(shares, 1) for line in of_seed(seed, right)])
    app = OneWidget(StudyWidget, {"name": "three"})
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.widget.is_settled)
        plot = app.query_one("#job-left", LinePlot)
        assert "3 seeds recorded" in words(pilot, "state")
        assert words(pilot, "sentence") == "Right: 60% (20% to 90%), more than half in 2 of 3 seeds."
        assert drawn(plot, "marked") == [("bytes", [0.1, 0.6])], "the median"
        assert drawn(plot, "dots") == [("bytes", [0.1, right]) for right in shares], "a dot of each seed"
        app.widget.take_focus()
        await pilot.press("v")
        await until(pilot, lambda: app.query_one(BlockView).view is not None)
        assert table(pilot) == [["all", "0.6"], ["  3 seeds", "0.2–0.9"], ["none", "0.0"], ["  3 seeds", "0.0"]]
        await pilot.press("v")
        await until(pilot, lambda: table(pilot) == [["word 1", "0.2"]])
        view = app.query_one(BlockView).view
        assert view is not None
        assert view.title == "its answers · seed 1", "words that depend on the seed"
    own = StudyJob("three", files.home)
    write(own.record_path, of_seed(4, 0.3))
    again = OneWidget(StudyWidget, {"name": "three"})
    async with again.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: again.widget.is_settled)
        assert "seed 4, run here on" in words(pilot, "state")
        said = "Right: 30% (recorded 20% to 90%), more than half not in this run (in 2 of 3 seeds recorded)."
        assert words(pilot, "sentence") == said
        plot = again.query_one(LinePlot)
        assert drawn(plot, "marked") == [("bytes", [0.1, 0.3])]
        assert drawn(plot, "dots") == [("bytes", [0.1, right]) for right in shares]
        again.widget.take_focus()
        await pilot.press("v")
        await until(pilot, lambda: pilot.app.query_one(BlockView).view is not None)
        assert table(pilot)[:2] == [["all", "0.3"], ["  3 seeds", "0.2–0.9"]], "no digits but those recorded"


@pytest.mark.parametrize("options", [{}, {"name": "nothing"}, {"name": "tiny", "colour": "red"}])
def test_a_block_that_names_no_study_is_refused(files: StudyJob, options: dict[str, str]) -> None:
    with pytest.raises(UserError):
        StudyWidget(options, None)  # type: ignore[arg-type]


async def test_a_guess_on_a_study_is_decided_by_its_measures(files: StudyJob, until: Any) -> None:
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
    write(files.record_path, [replace(BEGUN, time=9.0), *LINES[1:-1], Measured({"bytes": 0.1, "bpe": 0.9}), FINISHED])
    alone = OneWidget(RecordedGuess, options)
    async with alone.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: alone.widget.guess.state is not None)
        assert alone.widget.guess.state.question.right == (0,), "one seed of here does not outweigh those recorded"
    seeds = [line for seed in (1, 2, 3) for line in (*of_seed(seed, 0.1), Measured({"bpe": 0.2 * seed}))]
    (study_job.RECORDED / "tiny.jsonl").unlink()
    write(study_job.RECORDED / "tiny.jsonl", seeds)
    again = OneWidget(RecordedGuess, options)
    async with again.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: again.widget.guess.state is not None)
        anew = again.widget.guess.state.question
        assert (anew.right, anew.answer) == ((1,), "Bytes 10%, BPE 40% (20% to 60%).")
        assert anew.identity == question.identity, "and still only the first guess counts"


PAIRS = Rows(
    "pairs",
    "choices",
    ("A", "B", "judge", "reward model"),
    (("a dog", "a kind dog", "B", "B"), ("a cat", "a rude cat", "A", "B")),
)


async def test_the_choices_of_others_are_shown_after_ones_own_and_counted_and_a_study_without_pairs_says_so(
    files: StudyJob, until: Any
) -> None:
    write(study_job.RECORDED / "three.jsonl", [PAIRS])
    app = OneWidget(ChooseWidget, {"name": "three", "view": "pairs"})
    async with app.run_test(size=(80, 24)) as pilot:

        def sentence() -> str:
            view = app.query_one(BlockView).view
            assert view is not None
            return view.sentence

        await until(pilot, lambda: app.widget.is_settled)
        app.widget.take_focus()
        assert (sentence(), table(pilot)) == ("Which is better, A or B?", [["a dog", "a kind dog", "?", "?", "?"]])
        await pilot.press("b")
        assert sentence().endswith("Chose as you did: the judge 1 of 1, the reward model 1 of 1.")
        assert table(pilot) == [["a cat", "a rude cat", "?", "?", "?"], ["a dog", "a kind dog", "B", "B", "B"]]
        await pilot.press("a", "a")
        assert sentence() == "Chose as you did: the judge 2 of 2, the reward model 1 of 2."
        assert table(pilot) == [["a cat", "a rude cat", "A", "A", "B"], ["a dog", "a kind dog", "B", "B", "B"]]
    alone = OneWidget(ChooseWidget, {"name": "tiny", "view": "accuracy"})
    async with alone.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: alone.said.startswith("The study has no pairs yet"))
        assert not alone.widget.check_action("choose", ("A",))


SHIPPED = [(path.stem, history_of(path, StudyHistory)) for path in sorted(RECORDED.glob("*.jsonl"))]


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
    figure = figure_of(plot, history.curves[plot.view], [history.curves[plot.view]])
    assert len("".join(text for text, _ in legend(figure, draw(figure, 78, 8), 78)).rstrip()) <= 78
    assert len(title_of(plot)) <= 76


@pytest.mark.parametrize("name", [name for name, _ in SHIPPED])
def test_no_sentence_has_brackets_in_brackets_or_two_pairs_in_a_row(name: str) -> None:
    seeds = recorded_seeds(name)
    every = [each.measures for each in seeds]
    for sentence in sentences_of(name).values():
        of_all = fill(sentence, median_of(seeds).measures, visible, every)
        of_one = fill(sentence, every[0], visible, every, is_median=False)
        for said in (of_all, of_one):
            assert not re.search(r"\([^()]*\(|\) \(", said), said
