"""The view of a run: header, plot, numbers, status text, samples, insights."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Iterator
from itertools import zip_longest
from typing import Literal

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.events import Resize
from textual.reactive import var
from textual.timer import Timer
from textual.widget import Widget

from lab.analysis.baselines import TextEntropy, baselines
from lab.runs.run_folder import ACTIVE
from screens.plot.figure import Figure
from screens.plot.plot_settings import PlotSettings
from screens.plot.plot_widget import LinePlot
from screens.train.insights.insights_view import PAGES, InsightsView
from screens.train.run_header import (
    CLOSE,
    WHY,
    RunHeader,
    SummaryText,
    VerdictBar,
    computed_sentence,
    newest_numbers,
    numbers_at,
    status_text,
)
from screens.train.run_plots import RunPlots, WatchedRun, usage_plots
from screens.train.samples_view import SamplesView
from screens.widgets.piece_lines import FactList
from screens.widgets.text_fitting import whole_sentences

NO_SAMPLES = "No samples yet: each evaluation writes some."
NO_SAMPLES_IMPORTED = "No samples: it was not trained here."
NO_SAMPLES_POSTTRAINED = "No samples: its answers are in Learn, After pretraining."

SECONDS_AN_EVALUATION = 0.3
LINES_OF_NOTICE = {"failed": 2, "interrupted": 2, "not answering": 2, "starting": 4}
"""Most lines of what needs attention, by phase; 1 in others: with the verdict, two sentences are enough to read at once."""
COLUMNS_FOR_DETAILS = 160

SECONDS_BETWEEN_DRAWINGS = 2.0
"""Shortest interval between drawings: they are half the cost of watching a run, and take their time from its training."""
SECONDS_BETWEEN_DRAWINGS_OF_ALL = 3.0
"""The same where the details are drawn beside the plot, so that watching costs no more on a wide screen."""
DOTS_A_COLUMN = 2
"""Braille dots side by side in a cell."""

RunPage = Literal["words", "curves", "machine", "heads", "probe", "updates"]
PANELS = ("lr", "norm", "speed", "more")


class RunView(Widget):
    """One run on one screen. Call `show` with each new reading."""

    plot_view: var[PlotSettings] = var(PlotSettings())
    cursor: var[int | None] = var(None)
    """Index of the training step under the cursor; None shows the newest numbers."""
    pointed: var[int | None] = var(None)
    """Index of the training step under the mouse, whose numbers are shown while it is there."""
    page: var[RunPage] = var("words")
    """The content below the plot, or instead of it."""
    reasons_shown: var[bool] = var(False)
    details_beside: var[bool] = var(False)
    eval_step: var[float | None] = var(None)
    """Step of the evaluation whose samples, head scores and probe are shown; None follows the newest."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.watched: WatchedRun | None = None
        self.entropy: TextEntropy | None = None
        self.is_measured = False
        """True once the training text's entropy is known, or that it cannot be: until then the verdict may be another."""
        self._drawn: tuple[object, float] = (None, 0.0)
        """The state that the plots were last drawn for, and its newest step."""
        self._drawn_at = 0.0
        self._undrawn: Iterator[tuple[str, Figure | None]] = iter(())
        self._playing: Timer | None = None

    def compose(self) -> ComposeResult:
        yield RunHeader(id="run-header")
        with Container(id="run-body"):
            with Vertical(id="run-main"):
                with Horizontal(id="run-middle"):
                    yield LinePlot(id="run-plot")
                    yield FactList(id="run-facts")
                with Vertical(id="run-words"):
                    yield VerdictBar(id="run-verdict")
                    yield SummaryText(id="run-notice", markup=False)
                    yield SummaryText(id="run-reading", markup=False)
                    yield SamplesView(id="run-samples")
                    yield SummaryText(id="run-computed", markup=False)
            with Container(id="run-panels"):
                for name in PANELS:
                    yield LinePlot(id=f"run-{name}")
        yield InsightsView(id="run-insights")

    @property
    def samples(self) -> SamplesView:
        return self.query_one(SamplesView)

    @property
    def insights(self) -> InsightsView:
        return self.query_one(InsightsView)

    def show(self, watched: WatchedRun) -> None:
        if self.watched is None or self.watched.history is not watched.history:
            self.cursor = self.pointed = None
        if self.watched is None or self.watched.identity != watched.identity:
            self.stop_playing()
            self.plot_view = self.plot_view.whole()
            self.entropy, self.is_measured = None, False
            self.eval_step = None
        self.watched = watched
        self.query_one(RunHeader).watched = watched
        self.query_one(RunHeader).problem = ""
        self._say()
        self.query_one("#run-computed", SummaryText).say(computed_sentence(watched.status))
        config = watched.config
        not_here = NO_SAMPLES if config.tuning is None else NO_SAMPLES_POSTTRAINED
        self.samples.without_samples = not_here if config.imported is None else NO_SAMPLES_IMPORTED
        self.samples.samples = watched.samples
        self.insights.show(watched.insights, watched.phase in ACTIVE, watched.status.seconds, watched.config.train.optimizer)
        if self.page in PAGES:
            return  # they hide the plots, which are drawn after the way back
        if self._has_grown():
            self._draw()
        elif self._may_draw() or len(watched.history.eval_steps) < 2:  # until then the verdict's number changes at once
            self._show_numbers()
            self._drawn_at = time.monotonic()

    def forget(self) -> None:
        """Show nothing of the run that was in view: another was chosen, which cannot be read."""
        self.stop_playing()
        self.watched = self.entropy = self.query_one(RunHeader).watched = None
        self.cursor = self.pointed = self.eval_step = None
        self._drawn, self._undrawn = (None, 0.0), iter(())
        self.samples.samples = ()
        self.insights.forget()
        for plot in self.query(LinePlot):
            plot.figure = None
        self.query_one("#run-facts", FactList).facts = ()
        for name in ("reading", "computed"):
            self.query_one(f"#run-{name}", SummaryText).say("")

    def _has_grown(self) -> bool:
        """True if the plots would look different: the newest step is a braille dot further on, or there is an event."""
        if (plots := self.plots) is None or self.page == "machine" or self._drawn[0] != plots.watched.state_drawn:
            return True
        return self._may_draw() and plots.latest - self._drawn[1] >= self._steps_a_column(plots) / DOTS_A_COLUMN

    def _may_draw(self) -> bool:
        least = SECONDS_BETWEEN_DRAWINGS_OF_ALL if self.details_beside else SECONDS_BETWEEN_DRAWINGS
        return time.monotonic() - self._drawn_at >= least

    def _steps_a_column(self, plots: RunPlots) -> float:
        return (plots.last - plots.first) / self.query_one("#run-plot", LinePlot).columns

    def show_error(self, sentence: str) -> None:
        """Show the reason why there is nothing to see; in the header, which every page has, where more than that is in view."""
        self.query_one(VerdictBar).verdict = None
        self.samples.without_samples = ""
        in_header = self.watched is not None or self.page in PAGES
        self.query_one(RunHeader).problem = sentence if in_header else ""
        self._notify("" if in_header else sentence)

    def show_entropy(self, entropy: TextEntropy | None) -> None:
        """Draw the entropies of the training text, and diagnose the run by them."""
        self.entropy, self.is_measured = entropy, True
        self.watch_plot_view()

    def watch_cursor(self, cursor: int | None) -> None:
        if self.watched is not None:
            self.eval_step = None if cursor is None else self.watched.history.steps[cursor]
        self._show_numbers()

    def follow_newest(self) -> None:
        self.stop_playing()
        self.cursor = self.eval_step = None

    @on(LinePlot.Pointed)
    def _read_out(self, message: LinePlot.Pointed) -> None:
        if message.plot.id not in self.plots_by_step:
            return
        plots = self.plots
        self.pointed = plots.index_at(message.x) if plots is not None and message.x is not None else None
        if message.clicked:
            self.cursor = self.pointed

    @property
    def plots_by_step(self) -> tuple[str, ...]:
        return ("run-plot", *(f"run-{name}" for name in PANELS if self.page != "machine"))

    def on_resize(self, event: Resize) -> None:
        self.details_beside = event.size.width >= COLUMNS_FOR_DETAILS

    def watch_details_beside(self, beside: bool) -> None:
        self.set_class(beside, "-beside")
        self._make_room_below()
        self._draw()

    def _make_room_below(self) -> None:
        self.set_class(self.page in ("curves", "machine") and not self.details_beside, "-panels")

    def watch_reasons_shown(self, shown: bool) -> None:
        self.set_class(shown, "-why")
        self.query_one("#run-reading").display = shown
        self.query_one(VerdictBar).hint = CLOSE if shown else WHY
        self._say()

    def watch_page(self, before: RunPage, page: RunPage) -> None:
        self._make_room_below()
        self.set_class(page == "machine", "-machine")
        insights = page in PAGES
        self.query_one("#run-body").display = not insights
        self.insights.display = insights
        self._say()
        if page in PAGES:
            self.insights.page = page
            self.call_after_refresh(self.insights.draw)
        if before == "machine" or not (insights or before in PAGES):
            self._draw()
        elif not insights:
            self.call_after_refresh(self._draw, in_turn=True)

    def watch_eval_step(self, eval_step: float | None) -> None:
        self.samples.show_up_to(eval_step)
        self.insights.eval_step = eval_step

    @property
    def evaluations(self) -> list[float]:
        return [point.step for point in self.insights.insights.points] if self.page in PAGES else list(self.samples.steps)

    def move_evaluation(self, by: int) -> None:
        """Move to an earlier or later evaluation, for samples and insights alike."""
        if steps := self.evaluations:
            at = len(steps) - 1 if self.eval_step is None else max(0, bisect_right(steps, self.eval_step) - 1)
            at = max(0, min(at + by, len(steps) - 1))
            self._show_evaluation(None if at == len(steps) - 1 else steps[at])

    def _show_evaluation(self, step: float | None) -> None:
        """Show the evaluation at a step, and have the cursor there where the plot is in sight; None follows the newest."""
        self.eval_step = step
        if self.watched is not None and (self.cursor is not None or self.page not in PAGES):
            steps = self.watched.history.steps
            self.cursor = None if step is None else max(0, bisect_right(steps, step) - 1) if len(steps) else None

    def toggle_playing(self) -> None:
        """Show the evaluations one after the other, from the first if the newest is shown; or stop."""
        if self._playing is not None:
            self.stop_playing()
        elif steps := self.evaluations:
            if self.eval_step is None:
                self._show_evaluation(steps[0])
            self._playing = self.set_interval(SECONDS_AN_EVALUATION, self._play_next)

    def stop_playing(self) -> None:
        """Stay at the evaluation shown."""
        if self._playing is not None:
            self._playing.stop()
            self._playing = None

    def _play_next(self) -> None:
        if self._playing is None:
            return  # it was stopped when the timer had run out already
        self.move_evaluation(1)
        if self.eval_step is None:
            self.stop_playing()

    @property
    def plots(self) -> RunPlots | None:
        return None if self.watched is None else RunPlots(self.watched, self.plot_view)

    def _draw(self, *, in_turn: bool = False) -> None:
        """Draw the plots; `in_turn` one a frame, the largest first: until then they stay as they were, and no key waits long."""
        if (plots := self.plots) is None:
            return
        self._drawn, self._drawn_at = (plots.watched.state_drawn, plots.latest), time.monotonic()
        known = baselines(plots.config.model.vocab_size, plots.config.data, plots.history, self.entropy, plots.final)
        figures: list[tuple[str, Figure | None]] = [("plot", plots.losses(known))]
        if self.page in ("curves", "machine") or self.details_beside:
            details = usage_plots(plots.watched.usage) if self.page == "machine" else plots.panels()
            figures += zip_longest(PANELS, details)
            self.set_class(self.page == "machine" and not self.details_beside and len(details) == 1, "-idle")
        self._undrawn = iter(figures)
        self._draw_next(in_turn)
        self._show_numbers()

    def _draw_next(self, in_turn: bool) -> None:
        for name, figure in self._undrawn:
            plot = self.query_one(f"#run-{name}", LinePlot)
            plot.display, plot.figure = figure is not None, figure
            if in_turn:
                self.call_after_refresh(self._draw_next, in_turn)
                break

    def watch_plot_view(self) -> None:
        self._say()
        self._draw()

    def _show_numbers(self) -> None:
        if (plots := self.plots) is None:
            return
        at = self.cursor if self.pointed is None else self.pointed
        shown = at is not None and at < len(plots.history.steps)
        read = numbers_at(plots, at, self._steps_a_column(plots) / 2) if at is not None and shown else None
        self.query_one("#run-facts", FactList).facts = read or newest_numbers(plots)
        x = plots.x_at(at) if at is not None and shown else None
        for name in ("plot", *PANELS):
            self.query_one(f"#run-{name}", LinePlot).cursor = x if f"run-{name}" in self.plots_by_step else None

    watch_pointed = _show_numbers

    def move_cursor(self, by: int) -> None:
        """Move the cursor by columns of the plot, at least one step; without one put it at the evaluation shown, or at an end."""
        plots = self.plots
        if plots is None or not len(steps := plots.history.steps):
            return
        if self.cursor is None:
            step = (plots.last if by < 0 else plots.first) if self.eval_step is None else self.eval_step
            self.cursor = max(0, bisect_right(steps, step) - 1)
            return
        at = min(self.cursor, len(steps) - 1)
        target = steps[at] + by * self._steps_a_column(plots)
        found = bisect_right(steps, target) - 1
        found = max(found, at + 1) if by > 0 else min(found, at - 1)
        self.cursor = found = max(0, min(found, len(steps) - 1))
        if not plots.first <= steps[found] <= plots.last:
            self.plot_view = self.plot_view.panned(math.copysign(0.5, by), plots.latest)

    def zoom(self, by: float, x: float | None = None) -> None:
        """Zoom in (`by` below 1) or out, about a position on the x axis, else the cursor if there is one."""
        if (plots := self.plots) is not None:
            at = self.cursor if x is None else plots.index_at(x)
            about = plots.history.steps[at] if at is not None else None
            self.plot_view = self.plot_view.zoomed(by, plots.latest, about)

    def _say(self) -> None:
        if (plots := self.plots) is None:
            return
        verdict, notice, reasons = status_text(plots.watched, self.entropy, plots.loss_unit)
        self.query_one(VerdictBar).verdict = verdict if self.is_measured else None
        width = self.content_size.width - 4
        lines = LINES_OF_NOTICE.get(plots.watched.phase, 1)
        self._notify(notice if self.reasons_shown else whole_sentences(notice, width, lines))
        self.query_one("#run-reading", SummaryText).say(reasons if self.is_measured else "")

    def _notify(self, sentences: str) -> None:
        """Show what needs attention; without any, the line is the samples'."""
        notice = self.query_one("#run-notice", SummaryText)
        notice.display = bool(sentences)
        notice.say(sentences)
