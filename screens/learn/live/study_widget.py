"""Live widgets `study`, `predict-study`, `predict-recorded` and `choose-study`: trainings, recorded or run here, and guesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from statistics import median
from typing import Any

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding

from lab.core.errors import UserError
from lab.core.number_format import counted, duration, fixed, whole
from lab.core.visible_text import visible
from lab.experiments.experiment_result import ExperimentResult
from lab.lessons.conditions import GUESS_OPTIONS, ask_in_words, fill, parse_experiment_guess
from lab.runs.home_folder import home
from lab.studies.study_job import (
    STUDIES,
    CellValue,
    Plot,
    Rows,
    StudyFollower,
    StudyJob,
    StudyRequest,
    median_of,
    recorded_seeds,
    same_tables,
    sentences_of,
)
from lab.training.posttraining.posttraining_record import recorded_measures
from lab.training.scaling.scaling_result import recorded_scaling
from lab.views.blocks import Cell, Column, Table, View
from screens.background import in_thread, latest
from screens.blocks.block_view import BlockView
from screens.learn.learn_page import LearnEngine, Refused
from screens.learn.live.guess_widgets import GuessWidget
from screens.learn.live.job_widget import JobWidget, Picture
from screens.learn.live.live_widget import LiveWidget
from screens.plot.figure import RUN_ROLES, Figure, Series

DASHES = (None, (2, 2), (5, 2), (1, 2), (7, 3))
"""Dashes of the curves of one plot, which tell them apart without colour."""

MOST_DECIMALS = 2
"""Decimals of a number in a table: those that it was recorded with, such as 47 of 100, and no more than these."""


def title_of(plot: Plot) -> str:
    """The title with the words of the y axis: the legend has no room for these."""
    return visible(f"{plot.title} · y: {plot.y}")


def figure_of(
    plot: Plot, curves: Mapping[str, list[tuple[float, float]]], seeds: Sequence[Mapping[str, list[tuple[float, float]]]] = ()
) -> Figure:
    """The curves of a plot, each in a colour and with dashes of its own, and the points of each recorded seed as dots."""
    series = list[Series]()
    for at, (name, points) in enumerate(curves.items()):
        words, role = visible(name), RUN_ROLES[at % len(RUN_ROLES)]
        series.append(Series(words, words, "marked", role, *_columns(points), dashes=DASHES[at % len(DASHES)]))
        dots = [each[name] for each in seeds if each.get(name)]
        series += [Series(words, words, "dots", role, *_columns(each), in_legend=False) for each in dots]
    window = (plot.low, plot.high) if plot.low is not None and plot.high is not None else None
    version = (plot, sum(map(len, curves.values())), tuple(points[-1] for points in curves.values()))
    return Figure(tuple(series), version, x_label=visible(plot.x), y_window=window, empty="Nothing measured yet.")


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """From the lowest x up: a plot draws its curves so, and a measured x, such as a KL divergence, does not only rise."""
    in_order = sorted(points)
    return [x for x, _ in in_order], [y for _, y in in_order]


def table_view(rows: Rows, seeds: Sequence[Rows], title: str) -> View:
    """A table of a study: words to the left, numbers to the right, below each row the lowest and the highest of `seeds`."""
    columns = list(zip(*(row for table in (rows, *seeds) for row in table.rows), strict=True))
    decimals = [_decimals(column) for column in columns]
    cells = list[list[Cell]]()
    for at, row in enumerate(rows.rows):
        cells.append([_cell(value, most) for value, most in zip(row, decimals, strict=True)])
        if len(seeds) > 1:
            of_seeds = zip(*(table.rows[at][1:] for table in seeds), strict=True)
            cells.append([Cell(f"  {len(seeds)} seeds"), *map(_ends, of_seeds, decimals[1:])])
    first = rows.rows[0] if rows.rows else ()
    columns_shown = [
        Column(visible(name), "left" if at < len(first) and isinstance(first[at], str) else "right")
        for at, name in enumerate(rows.columns)
    ]
    return View("study", visible(title), "", [Table(columns_shown, cells)])


def _decimals(column: Sequence[CellValue]) -> int:
    """The decimals that a column is shown with: those of its number that was recorded with most."""
    recorded = (f"{Decimal(repr(value)):f}".rstrip("0") for value in column if isinstance(value, float))
    return min(MOST_DECIMALS, max((len(number.partition(".")[2]) for number in recorded), default=0))


def _ends(column: tuple[Any, ...], decimals: int) -> Cell:
    """The lowest and the highest number of a column of seeds."""
    if isinstance(column[0], str):
        return Cell("")
    low, high = (_cell(end(column), decimals).text for end in (min, max))
    return Cell(f"{low}–{high}" if low != high else low)


def _cell(value: CellValue, decimals: int) -> Cell:
    if isinstance(value, str):
        return Cell(visible(value))
    return Cell(whole(value) if isinstance(value, int) else fixed(value, decimals), value=float(value))


class StudyWidget(JobWidget):
    """Options: `name` of the study, and the `view` to begin with; unless given, the first one."""

    OPTIONS = ("name", "view")
    USES_MODEL = False
    HELP = (
        "**Study.** Small models, trained for this lesson with several seeds; r trains with one more. It goes on when you leave."
    )

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.study = StudyFollower(StudyJob(study_option(self.options), home()))
        self.sentences = sentences_of(self.study.job.name)

    def on_mount(self) -> None:
        self.follow()

    def find(self) -> StudyFollower:
        return self.study

    def start(self) -> None:
        self.study.job.start(StudyRequest(self.study.next_seed))

    @property
    def names(self) -> list[str]:
        return self.study.names

    def picture(self, name: str) -> Picture:
        """A view, with its sentence in the figures of all seeds, or of the one of here beside those recorded."""
        seeds, history = self.study.seeds, self.study.shown_of(name)
        measures, is_median = [each.measures for each in seeds], history is self.study.recorded
        sentence = fill(self.sentences.get(name, ""), history.measures, visible, measures, is_median=is_median)
        view = history.views[name]
        if isinstance(view, Plot):
            dots = [each.curves.get(name, {}) for each in seeds]
            return Picture({title_of(view): figure_of(view, history.curves.get(name, {}), dots)}, sentence)
        tables = same_tables([*seeds, history], name)[:-1]
        title = view.title if tables or history.begun is None else f"{view.title} · seed {history.begun.seed}"
        return Picture(table_view(view, tables, title), sentence)

    def state(self) -> str:
        """A sentence on the seeds, and on the machine and the day of the numbers."""
        follower, history, count = self.study, self.study.shown, len(self.study.seeds)
        if follower.is_running:
            recorded = follower.shown_of(self.view_name) is follower.recorded and bool(count)
            meanwhile = f"; until it comes to this: the median of {counted(count, 'seed')} recorded" * recorded
            return f"seed {history.begun.seed if history.begun else 1} runs here: {history.share:.0%}{meanwhile} · x stops it"
        took = ""
        if history.begun is not None and history.ended is not None:
            day, seconds = date.fromtimestamp(history.begun.time).isoformat(), duration(history.ended.seconds)
            if follower.is_recorded:
                took = f"{counted(count, 'seed')} recorded on {day}, {seconds} of CPU each: median"
                took += " (lowest to highest), a dot for each"
            else:
                took = f"seed {history.begun.seed}, run here on {day} in {seconds} of CPU"
                took += f"; dots and brackets: the {counted(count, 'seed')} recorded" * bool(count)
        problem = f". The last start here did not finish: {visible(follower.problem)}" if follower.problem else ""
        deletes = " · x deletes it" if follower.stands else ""
        return f"{took}{deletes} · r runs seed {follower.next_seed} here{problem}"


def study_option(options: Mapping[str, str]) -> str:
    """The study that the option `name` names. Raises: UserError: if there is none with a result or code."""
    if options.get("name") not in STUDIES:
        raise UserError(f"The live widget study needs the option name: one of {', '.join(STUDIES)}.")
    return options["name"]


RECORDED_RESULTS = ("scaling", "posttraining")
"""The experiments of minutes whose recorded results ship with the lab."""


def recorded(name: str) -> ExperimentResult:
    """The measures of a recorded result; of a study the medians of its recorded seeds."""
    nothing = View(name, "", "", [])
    if name == "scaling":
        return ExperimentResult(nothing, dict(recorded_scaling().measures))
    if name == "posttraining":
        found = recorded_measures()
        return ExperimentResult(
            nothing, {key: median(each[key] for each in found) for key in found[0]}, seeds=tuple(map(dict, found))
        )
    seeds = recorded_seeds(name)
    return ExperimentResult(nothing, median_of(seeds).measures, seeds=tuple(each.measures for each in seeds))


class RecordedGuess(GuessWidget):
    """`predict-recorded` and `predict-study`: a question of the lesson's own, answered by the measures of `recorded`.

    Options: those of `predict-experiment`, with one of `RECORDED_RESULTS` for `experiment`, or `study: NAME` in its place.
    """

    OPTIONS = ("study", *GUESS_OPTIONS)
    USES_MODEL = False

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        if "study" in options:
            self.options["experiment"] = study_option({"name": options["study"]})
        elif self.options.get("experiment") not in RECORDED_RESULTS:
            raise UserError(f"A guess on a recorded result needs the option experiment: one of {', '.join(RECORDED_RESULTS)}.")
        parse_experiment_guess(self.options)

    def on_mount(self) -> None:
        self.guess.wait()
        self._read()

    @latest("recorded")
    async def _read(self) -> None:
        result = await in_thread(recorded, self.options["experiment"])
        try:
            self.show_question(ask_in_words(self.options, self.own_words, result, ""))
        except UserError as error:
            self._refused(Refused(str(error), False))


class ChooseWidget(LiveWidget):
    """`choose-study`: two answers, one of which the learner prefers; then the choices of others.

    Options: `name` of the study and `view`, a table of its record with the columns A, B, and the choices of others.
    """

    OPTIONS = ("name", "view")
    USES_MODEL = False
    HELP = "**Choose.** Which of two answers is better? Nothing is right or wrong here: the judge has a taste of its own."
    DEFAULT_CSS = "ChooseWidget > BlockView { height: 1fr; }"
    BINDINGS = [
        Binding("a", "choose('A')", "left one", id="prefer.a", tooltip="Prefer answer A; then see the other choices"),
        Binding("b", "choose('B')", "right one", id="prefer.b", tooltip="Prefer answer B; then see the other choices"),
    ]

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.follower = StudyFollower(StudyJob(study_option(self.options), home()))
        self.rows: Rows | None = None
        """Read once: a study that runs meanwhile changes no pair under the learner's eyes."""
        self.choices: list[str] = []

    def compose(self) -> ComposeResult:
        yield BlockView()

    @property
    def is_settled(self) -> bool:
        return self.rows is not None

    def on_mount(self) -> None:
        self._read()

    @work(exclusive=True, exit_on_error=True)
    async def _read(self) -> None:
        try:
            await in_thread(self.follower.read)
        except UserError as error:
            self.say(str(error), error=True)
            return
        name = self.options.get("view", "")
        view = self.follower.shown_of(name).views.get(name)
        if isinstance(view, Rows):
            self.rows = view
            self._show()
        else:
            self.say("The study has no pairs yet: go back to this step when it has ended.", error=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "choose" or (self.rows is not None and len(self.choices) < len(self.rows.rows))

    def action_choose(self, letter: str) -> None:
        self.choices.append(letter)
        self._show()

    def _show(self) -> None:
        """The next pair, below it those chosen between, the newest first, and how often the others chose alike."""
        assert self.rows is not None
        pairs, made, others = self.rows.rows, len(self.choices), self.rows.columns[2:]
        seen = [(*row[:2], own, *row[2:]) for row, own in zip(pairs, self.choices, strict=False)]
        tally = ", ".join(
            f"the {visible(other)} {sum(row[2] == row[at] for row in seen)} of {made}" for at, other in enumerate(others, 3)
        )
        asked = "Which is better, A or B? " if made < len(pairs) else ""
        sentence = f"{asked}Chose as you did: {tally}." if made else asked.rstrip()
        hidden = [(*row[:2], *"?" * (len(others) + 1)) for row in pairs[made : made + 1]]
        columns = [
            Column(visible(title), "left")
            for title in (*self.rows.columns[:2], "you", *(other.rpartition(" ")[2] for other in others))
        ]
        table = Table(columns, [[Cell(visible(str(value))) for value in row] for row in hidden + seen[::-1]])
        self.query_one(BlockView).show(View("choices", visible(self.rows.title), sentence, [table]))
        self.refresh_bindings()

    def take_focus(self) -> bool:
        self.query_one(BlockView).focus()
        return True
