"""Compare: several runs side by side, their curves in one plot, results, different settings, samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.reactive import var

from lab.analysis.baselines import run_copied
from lab.analysis.comparable_runs import in_bits, same_tokens
from lab.analysis.compared_run import LETTERS, ComparedRun, furthest_common, stops, vocabulary_of
from lab.analysis.comparison import verdict
from lab.core.errors import UserError
from lab.runs.find_runs import open_run
from lab.runs.run_history import LossHistory, RunFollower, RunUpdate
from lab.runs.schema_parts import CopiedShare
from lab.views.screen_state import ScreenState
from screens.about_key import About, described, keyless
from screens.background import in_thread, is_working
from screens.plot.plot_settings import PlotKeys, PlotSettings, plot_bindings
from screens.plot.plot_widget import LinePlot
from screens.train.compare_plot import (
    WHOLE,
    RunColumns,
    end_of_axis,
    figure,
    least_table_width,
    sample_lines,
    samples_shown,
    table_lines,
    values_at,
)
from screens.train.run_header import SummaryText
from screens.widgets.key_bar import KeyBar
from screens.widgets.text_fitting import whole_sentences
from screens.widgets.top_bars import ModeBar

SECONDS_BETWEEN_READINGS = 1.0
READINGS_SKIPPED_AT_REST = 4
"""Runs at rest are read this many times less often: they may be resumed from elsewhere."""
MOST_RUNS = len(LETTERS)
MOST_LINES_OF_WORDS, MOST_OF_ALL_WORDS = 4, 13
"""Most lines of the verdict, as the rest of 24 lines is for the curves; and those of the whole verdict, in place of the table."""


class CompareScreen(PlotKeys):
    """Covers the mode that opened it; escape leads back there."""

    MODE = "compare"
    AUTO_FOCUS = ""
    HELP = """
**Several runs in one plot.** Each run has a letter. Its line, solid or dashed, is the smoothed training loss; the line with
its letter is its validation loss. The text above says which run is better, and by how much; where it ends in …, `enter` shows
the rest.

Losses are per token, so they do not compare across tokenizers: long tokens are fewer and harder. **Bits per byte** compares,
and is used where tokenizers or texts differ. Larger batches see more tokens per step, larger models take more time: the x axis
can be tokens, epochs or time, too.

Below: results (`◂` marks the best), the settings that differ, and samples at the same fraction of training.
"""
    BINDINGS = described(
        Binding("enter", "words", "Whole verdict", id="compare.words", tooltip="All sentences of the verdict, or the first"),
        Binding("d", "part", "Table/samples", id="compare.part", tooltip="More below the plot: the samples, or the table"),
        *plot_bindings("compare", "baselines"),
        keyless("cursor", "compare.cursor", "A cursor on the curves: every run's losses there", "Cursor"),
        About(synonyms="loss value number"),
        Binding("left,h", "move(-1)", "Left", id="compare.left", show=False, tooltip="Cursor to the left"),
        Binding("right,l", "move(1)", "Right", id="compare.right", show=False, tooltip="Cursor to the right"),
        Binding("down,j", "scroll_part(1)", "Down", id="compare.down", show=False, tooltip="Scroll down"),
        Binding("up,k", "scroll_part(-1)", "Up", id="compare.up", show=False, tooltip="Scroll up"),
        Binding("pagedown,ctrl+d", "scroll_part(1, True)", "Page", id="compare.page_down", show=False, tooltip="A page down"),
        Binding("pageup,ctrl+u", "scroll_part(-1, True)", "Page up", id="compare.page_up", show=False, tooltip="Page up"),
        Binding("right_curly_bracket", "samples(1)", "Samples", id="compare.later", key_display="{ }", tooltip="Later samples"),
        Binding("left_curly_bracket", "samples(-1)", "Back", id="compare.earlier", show=False, tooltip="Earlier samples"),
        Binding("right_square_bracket", "others(1)", "Runs", id="compare.after", key_display="[ ]", tooltip="Next runs' samples"),
        Binding("left_square_bracket", "others(-1)", "Back", id="compare.before", show=False, tooltip="Samples of runs before"),
    )

    plot_view: var[PlotSettings] = var(PlotSettings())
    cursor: var[float | None] = var(None)
    words_shown: var[bool] = var(False)
    """True: all sentences of the verdict are shown; where lines are few, in place of the table and the samples."""
    samples_below: var[bool] = var(False)
    stop: var[int | None] = var(None)
    """Index of the fraction of training whose samples are shown; None: the last that all runs have reached."""
    first: var[int] = var(0)

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names[:MOST_RUNS])
        self.runs: list[ComparedRun] = []
        """Empty until all have been read once."""
        self._followers: dict[int, RunFollower] = {}
        self._ticks = 0
        self._has_more_words = False

    def compose(self) -> ComposeResult:
        yield ModeBar(self.app.current_mode)
        yield SummaryText("Loading runs …", id="compare-words", markup=False)
        yield LinePlot(id="compare-plot")
        with Horizontal(id="compare-below"):
            yield RunColumns(1, id="compare-table")
            yield RunColumns(2, id="compare-samples")
        yield KeyBar()

    def on_mount(self) -> None:
        self.set_interval(SECONDS_BETWEEN_READINGS, self._tick)
        self._tick()

    @property
    def is_ready(self) -> bool:
        return bool(self.runs)

    def screen_state(self) -> ScreenState:
        return ScreenState(mode="train", page="compare", run=self.names[0], others=self.names[1:])

    def go_back(self) -> bool:
        if self.cursor is not None:
            self.action_cursor()
        elif self.words_shown:
            self.words_shown = False
        else:
            self.dismiss()
        return True

    def _tick(self) -> None:
        """Read the active runs, and sometimes all, unless a reading is under way."""
        if not self.is_current or is_working(self, "follow"):
            return
        all_of_them = not self.runs or self._ticks % READINGS_SKIPPED_AT_REST == 0
        self._ticks += 1
        wanted = [at for at in range(len(self.names)) if all_of_them or self.runs[at].is_active]
        if wanted:
            self._read([(at, self._followers.get(at)) for at in wanted])

    @work(group="follow")
    async def _read(self, wanted: list[tuple[int, RunFollower | None]]) -> None:
        def read() -> list[tuple[int, RunFollower, str, CopiedShare | None, RunUpdate]]:
            updates = []
            for at, known in wanted:
                follower = known or RunFollower(open_run(self.names[at]))
                update = follower.read()
                of_run = ("", None) if update.history is None else (vocabulary_of(follower.run), run_copied(follower.run))
                updates.append((at, follower, *of_run, update))
            return updates

        try:
            updates = await in_thread(read)
        except UserError as error:
            self.query_one("#compare-words", SummaryText).say(str(error))
            self._followers.clear()
            self.runs.clear()
            self.query_one("#compare-plot", LinePlot).figure = None
            for part in self.query(RunColumns):
                part.show(lambda width: [])
            self.refresh_bindings()
            return
        before = [run.config.created for run in self.runs]
        for at, follower, vocabulary, copied, update in updates:
            if at == len(self.runs) or self.runs[at].config.created != update.config.created:
                name, letter = self.names[at], LETTERS[at]
                run = ComparedRun(
                    letter, name, vocabulary, update.config, update.status, update.phase, LossHistory(), copied=copied
                )
                self.runs[at : at + 1] = [run]
            self._followers[at] = follower
            self.runs[at].apply(update)
        if before != [run.config.created for run in self.runs]:
            self.plot_view = replace(self.plot_view, bits=in_bits(self.runs))
        self._show()

    def _show(self) -> None:
        self._draw()
        self._say()
        table = self.query_one("#compare-table", RunColumns)
        table.styles.min_width = least_table_width(self.runs) + table.scrollbar_size_vertical
        table.show(lambda width: table_lines(self.runs, width))
        self._show_samples()
        self.refresh_bindings()

    def _say(self) -> None:
        words, lines = verdict(self.runs), MOST_OF_ALL_WORDS if self.words_shown else MOST_LINES_OF_WORDS
        shown = whole_sentences(words, self.size.width - 4, lines if self.has_class("-short") else 2 * lines)
        self._has_more_words = self.words_shown or shown != words
        self.query_one("#compare-words", SummaryText).say(shown)

    def watch_words_shown(self, shown: bool) -> None:
        self.set_class(shown, "-words")
        if self.runs:
            self._say()
        self.refresh_bindings()

    def action_words(self) -> None:
        self.words_shown = not self.words_shown

    def _draw(self) -> None:
        if self.runs:
            self.main_plot.figure = figure(self.runs, self.plot_view)
            self._read_at(self.main_plot.cursor)

    @property
    def _stop(self) -> int:
        return furthest_common(self.runs) if self.stop is None else self.stop

    def _show_samples(self) -> None:
        if self.runs:
            samples = self.query_one("#compare-samples", RunColumns)
            samples.show(lambda width: sample_lines(self.runs, self._stop, self.first, width))

    watch_stop = watch_first = _show_samples

    def watch_plot_view(self, before: PlotSettings, after: PlotSettings) -> None:
        if before.x != after.x:  # the place of the cursor, and of the mouse, is one on the axis before
            self.cursor = self.main_plot.cursor = None
        self._draw()

    @on(LinePlot.Pointed)
    def _read_out(self, message: LinePlot.Pointed) -> None:
        """Show the losses under the mouse in place of the legend; a click leaves the cursor there."""
        if message.clicked:
            self.cursor = message.x
        self._read_at(self.cursor if message.x is None else message.x)

    def _read_at(self, x: float | None) -> None:
        plot = self.main_plot
        plot.cursor = x
        plot.readout = "" if x is None or plot.figure is None else values_at(plot.figure, self.runs, x)

    def action_cursor(self) -> None:
        if self.cursor is None:
            self.action_move(-1)
        else:
            self._read_at(None)
            self.cursor = None

    def action_move(self, by: int) -> None:
        """Move the cursor by a column of the plot; put it there if there is none, at the end that the move comes from."""
        if self.runs:
            low, high = self.main_plot.x_range
            if self.cursor is None:
                self.cursor = high if by < 0 else low
            else:
                self.cursor = min(high, max(low, self.cursor + by * (high - low) / self.main_plot.columns))
            self._read_at(self.cursor)

    def watch_samples_below(self, samples: bool) -> None:
        self.set_class(samples, "-samples")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "baselines":
                return False
            case "bits":
                return bool(self.runs) and same_tokens(self.runs)
            case "words":
                return bool(self.runs) and self._has_more_words
            case "part":
                return not self.has_class("-wide")  # where table and samples are side by side
            case "others":
                return bool(self.runs) and samples_shown(self.runs, self._samples_width) < len(self.runs)
        return True

    @property
    def _samples_width(self) -> int:
        return self.query_one("#compare-samples", RunColumns).scrollable_content_region.width or self.size.width

    def action_part(self) -> None:
        self.words_shown = False
        self.samples_below = not self.samples_below

    @property
    def settings(self) -> PlotSettings:
        return self.plot_view

    def change_plot(self, change: Callable[[PlotSettings], PlotSettings]) -> None:
        self.plot_view = change(self.plot_view)

    @property
    def main_plot(self) -> LinePlot:
        return self.query_one("#compare-plot", LinePlot)

    def zoom_x(self, by: float, x: float | None = None) -> None:
        about = None if x is None else x / (end_of_axis(self.runs, self.plot_view) or 1.0) * WHOLE
        self.plot_view = self.plot_view.zoomed(by, WHOLE, about)

    def action_pan(self, by: float) -> None:
        self.plot_view = self.plot_view.panned(by, WHOLE)

    def action_samples(self, by: int) -> None:
        if self.runs:
            self.stop = max(0, min(self._stop + by, len(stops(self.runs)) - 1))
            self.samples_below = True

    def action_others(self, by: int) -> None:
        last = len(self.runs) - samples_shown(self.runs, self._samples_width)
        self.first = max(0, min(min(self.first, last) + by, last))  # more may fit than when `first` was chosen

    def action_scroll_part(self, by: int, pages: bool = False) -> None:
        for part in self.query(RunColumns):
            if part.display:
                part.scroll_relative(y=by * (part.size.height - 2 if pages else 1), animate=False)
