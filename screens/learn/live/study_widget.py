"""Live widgets `study`, `predict-study`, `predict-recorded` and `choose-study`: trainings, recorded or run here, and guesses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.reactive import var

from lab.core.errors import UserError
from lab.core.number_format import counted, duration
from lab.core.visible_text import visible
from lab.experiments.experiment_result import ExperimentResult
from lab.lessons.conditions import GUESS_OPTIONS, ask_in_words, fill, parse_experiment_guess
from lab.runs.home_folder import home
from lab.studies.study_process import start_study, stop_study, study_names
from lab.studies.study_record import (
    Plot,
    Rows,
    StudyFiles,
    StudyFollower,
    median_of,
    recorded_seeds,
    same_tables,
    sentences_of,
)
from lab.views.blocks import Cell, Column, Table, View
from screens.about_key import keyless
from screens.background import in_thread, latest, still_wanted
from screens.blocks.block_view import BlockView
from screens.learn.learn_engine import LearnEngine, Refused
from screens.learn.live.guess_widgets import GuessWidget
from screens.learn.live.live_widget import LiveWidget
from screens.learn.live.study_figures import figure_of, table_view, title_of
from screens.plot.line_plot import LinePlot
from screens.widgets.status_line import StatusLine

POLL_SECONDS = 0.5


class PlotPane(Vertical, can_focus=True):
    """The plot in sight, which takes the keys."""


class StudyWidget(LiveWidget):
    """Options: `name` of the study, and the `view` to begin with; unless given, the first one."""

    OPTIONS = ("name", "view")
    USES_MODEL = False
    HELP = (
        "**Study.** Small models, trained for this lesson with several seeds; r trains with one more. It goes on when you leave."
    )
    DEFAULT_CSS = """
    StudyWidget {
        & > PlotPane { height: 1fr; display: none; padding: 0 1; border-top: solid $foreground 30%; }
        & > PlotPane { border-title-color: $foreground 90%; }
        & > PlotPane > LinePlot { height: 1fr; }
        & > BlockView { height: 1fr; }
        &.-plotted > PlotPane { display: block; }
        &.-plotted > BlockView { display: none; }
    }
    """
    BINDINGS = [
        Binding("r", "start", "Run here", id="study.start", tooltip="Run this study on this machine, in the background"),
        Binding("x", "stop", "Stop", id="study.stop", tooltip="Stop the study; the result from before stays"),
        Binding("v", "turn(1)", "Next view", id="study.view", tooltip="The next curve or table of the study"),
        keyless("turn(-1)", "study.view_back", "The view before", "View before"),
    ]

    chosen: var[str] = var("")
    """The view in sight; "" for the first one."""

    def __init__(self, options: Mapping[str, str], engine: LearnEngine) -> None:
        super().__init__(options, engine)
        self.files = StudyFiles(study_option(self.options), home())
        self.follower = StudyFollower(self.files)
        self.sentences = sentences_of(self.files.name)
        self.set_reactive(StudyWidget.chosen, self.options.get("view", ""))
        self._is_read = self._is_starting = False

    def compose(self) -> ComposeResult:
        yield StatusLine(most_lines=2, id="study-state")
        yield StatusLine(most_lines=4, id="study-sentence")
        with PlotPane():
            yield LinePlot(id="study-plot")
        yield BlockView(id="study-view")

    @property
    def is_settled(self) -> bool:
        return self._is_read and not self._is_starting

    def on_mount(self) -> None:
        self._follow()

    @work(exclusive=True, group="follow", exit_on_error=True)
    async def _follow(self) -> None:
        """Read the record for as long as the widget is there."""
        while True:
            if await in_thread(self.follower.read) or not self._is_read:
                self._is_read = True
                self._show()
            await still_wanted(asyncio.sleep(POLL_SECONDS))

    @property
    def names(self) -> list[str]:
        return list(self.follower.history.views)

    def _show(self) -> None:
        history = self.follower.history
        name = self.chosen if self.chosen in history.views else next(iter(history.views), "")
        view = history.views.get(name)
        had_focus = self.has_focus_within
        self.query_one("#study-state", StatusLine).say(self._state(name))
        self.query_one("#study-sentence", StatusLine).say(self._sentence(name))
        self.set_class(isinstance(view, Plot), "-plotted")
        if isinstance(view, Plot):
            self.query_one(PlotPane).border_title = title_of(view)
            dots = [each.curves.get(name, {}) for each in self.follower.seeds]
            self.query_one(LinePlot).figure = figure_of(view, history.curves.get(name, {}), dots)
        elif view is not None:
            seeds = same_tables([*self.follower.seeds, history], name)[:-1]
            title = view.title if seeds or history.begun is None else f"{view.title} · seed {history.begun.seed}"
            self.query_one(BlockView).show(table_view(view, seeds, title))
        if had_focus:
            self.call_after_refresh(self.take_focus)
        self.refresh_bindings()

    def _state(self, name: str) -> str:
        """The view, and where its numbers come from, in the language in use."""
        at = f"‹ {visible(name)} › v · " if len(self.names) > 1 else ""
        return f"{at}{self._origin()}"

    def _sentence(self, name: str) -> str:
        """The sentence of a view with the figures of all seeds, or of the one of here beside those recorded."""
        seeds, is_median = [each.measures for each in self.follower.seeds], self.follower.is_recorded
        return fill(self.sentences.get(name, ""), self.follower.history.measures, visible, seeds, is_median=is_median)

    def _origin(self) -> str:
        """A sentence on the seeds, and on the machine and the day of the numbers."""
        follower, begun, ended = self.follower, self.follower.history.begun, self.follower.history.ended
        if self._is_starting:
            return "starting…"
        if follower.is_running:
            return f"seed {begun.seed if begun else 1} runs here: {follower.history.share:.0%} · x stops it"
        took, count = "", len(follower.seeds)
        if begun is not None and ended is not None:
            day = date.fromtimestamp(begun.time).isoformat()
            if follower.is_recorded:
                took = f"{counted(count, 'seed')} recorded on {day}, {duration(ended.seconds)} of CPU each: median"
                took += " (lowest to highest), a dot for each"
            else:
                took = f"seed {begun.seed}, run here on {day} in {duration(ended.seconds)} of CPU"
                took += f"; dots and brackets: the {counted(count, 'seed')} recorded" * bool(count)
        problem = f". The last start here did not finish: {visible(follower.problem)}" if follower.problem else ""
        return f"{took} · r runs seed {follower.next_seed} here{problem}"

    def take_focus(self) -> bool:
        self.query_one(PlotPane if self.has_class("-plotted") else BlockView).focus()
        return True

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "start":
            return self._is_read and not self.follower.is_running and not self._is_starting
        if action == "stop":
            return self.follower.is_running
        return action != "turn" or len(self.names) > 1

    def action_turn(self, by: int) -> None:
        at = self.names.index(self.chosen) if self.chosen in self.names else 0
        self.chosen = self.names[(at + by) % len(self.names)]

    def _show_if_read(self) -> None:
        if self.is_mounted and self._is_read:
            self._show()

    watch_chosen = _show_if_read

    @work(exclusive=True, group="start", exit_on_error=True)
    async def action_start(self) -> None:
        self._is_starting = True
        self._show()
        try:
            await in_thread(start_study, self.files, self.follower.next_seed)
        except UserError as error:
            self.say(str(error), error=True)
        finally:
            self._is_starting = False
        self._show()

    @work(exclusive=True, group="start", exit_on_error=True)
    async def action_stop(self) -> None:
        await in_thread(stop_study, self.files)


def study_option(options: Mapping[str, str]) -> str:
    """The study that the option `name` names. Raises: UserError: if there is none with a result or code."""
    if options.get("name") not in study_names():
        raise UserError(f"The live widget study needs the option name: one of {', '.join(study_names())}.")
    return options["name"]


RECORDED_RESULTS = ("scaling", "posttraining")
"""The experiments of minutes whose recorded results ship with the lab."""


def recorded(name: str) -> ExperimentResult:
    """The measures of a recorded result; of a study the medians of its recorded seeds."""
    from lab.training.posttraining.posttraining_history import recorded_measures
    from lab.training.scaling.scaling_result import recorded_scaling

    nothing = View(name, "", "", [])
    if name in RECORDED_RESULTS:
        return ExperimentResult(nothing, dict(recorded_scaling().measures if name == "scaling" else recorded_measures()))
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
        self.known = [*RECORDED_RESULTS, *study_names()]
        parse_experiment_guess(self.options, self.known)

    def on_mount(self) -> None:
        self.guess.wait()
        self._read()

    @latest("recorded")
    async def _read(self) -> None:
        result = await in_thread(recorded, self.options["experiment"])
        try:
            self.show_question(ask_in_words(self.options, self.own_words, self.known, result, ""))
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
        self.follower = StudyFollower(StudyFiles(study_option(self.options), home()))
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
        await in_thread(self.follower.read)
        view = self.follower.history.views.get(self.options.get("view", ""))
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
