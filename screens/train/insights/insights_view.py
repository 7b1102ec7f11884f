"""The insights of a run: head scores, probe, updates, one page at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.reactive import var

from lab.analysis.insight_sentences import head_name, score_since_sentence, strongest_head, uniform_score
from lab.runs.run_history import InsightHistory
from lab.runs.run_schema import HEAD_SCORES, HeadScore
from models.config import OptimizerName
from screens.colour import palette_of
from screens.plot.figure import Figure, Kind, Series
from screens.plot.plot_widget import LinePlot
from screens.train.insights.heads_page import finding_lines, grid_lines, head_at, head_line, heads_above
from screens.train.insights.page_lines import Lines, PageLines, updates_lines, words_lines
from screens.train.insights.probe_page import probe_lines

InsightsPage = Literal["heads", "probe", "updates"]
PAGES: tuple[InsightsPage, ...] = ("heads", "probe", "updates")

HISTORY_ROWS = 9
"""Lines of the plot of a head's scores; it is shown by default where so many are left over."""
MOST_HISTORY_ROWS = 24

DASHES: dict[HeadScore, tuple[int, int] | None] = {"previous": (3, 2), "duplicate": (1, 1), "induction": None}

WAITING = "No measurements yet: each evaluation makes some, the first before step 1."
NEVER = "No measurements: this run was trained by an older version. New runs have them."


class InsightsView(Vertical):
    """One page at one evaluation."""

    page: var[InsightsPage] = var("heads")
    eval_step: var[float | None] = var(None)
    """Step of the evaluation shown; None follows the newest."""
    head: var[tuple[int, int] | None] = var(None)
    """Layer and head, zero-indexed; None is the strongest of the newest evaluation."""
    place: var[int | None] = var(None)
    """Index of the place shown on the page of the places; None is the one that has changed most."""
    history_shown: var[bool] = var(False)
    """True: plot the head's scores over the steps even where that leaves little room for the other heads."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.insights = InsightHistory()
        self._without = ""
        self._share = 0.0
        self._optimizer: OptimizerName = "adamw"
        self._head_at: Callable[[int, int], tuple[int, int] | None] = lambda line, x: None

    def compose(self) -> ComposeResult:
        yield PageLines(id="insight-lines")
        yield LinePlot(id="head-history")

    def show(self, insights: InsightHistory, active: bool, seconds: float, optimizer: OptimizerName) -> None:
        """Show these insights; `active`: more may come; `seconds`: duration of the training."""
        if insights is not self.insights:
            self.head = self.place = None
        self.insights, self._without, self._optimizer = insights, WAITING if active else NEVER, optimizer
        self._share = min(1.0, insights.seconds / seconds) if seconds else 0.0
        self.draw()

    def forget(self) -> None:
        self.insights, self._without = InsightHistory(), ""
        self.head = self.place = None
        self.draw()

    @property
    def chosen(self) -> tuple[int, int]:
        """Layer and head shown: the chosen one, else the strongest induction or previous-token head."""
        if self.head is not None:
            return self.head
        measured = [point for point in self.insights.points if point.repeated]
        if not measured:
            return (0, 0)
        last = measured[-1]
        found = [strongest_head(kind, last.of(kind).tolist()) for kind in ("induction", "previous")]
        best = max(found, key=lambda each: each.score / uniform_score(each.kind, last.repeated))
        return best.layer, best.head

    def choose(self, by: int) -> None:
        """Choose the head so many further on, in the order of layers; on the page of the places, the place."""
        if self.page == "probe":
            if places := self.insights.places:
                now = self.insights.liveliest if self.place is None else self.place
                self.place = max(0, min(now + by, len(places) - 1))
            return
        measured = [point for point in self.insights.points if point.pattern.size]
        if not measured:
            return
        layers, heads = measured[-1].pattern.shape[:2]
        layer, head = self.chosen
        self.head = divmod(max(0, min(layer * heads + head + by, layers * heads - 1)), heads)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self.query_one(PageLines))
        if offset is not None and (found := self._head_at(offset.y, offset.x)) is not None:
            self.head = found

    def draw(self) -> None:
        self._head_at = lambda line, x: None
        if self.display and self.is_mounted:
            plot, shown = self.query_one("#head-history", LinePlot), self.query_one("#insight-lines", PageLines)
            lines, rows = self._page(*self.size)
            plot.display = rows > 0
            if rows:
                plot.styles.height = rows
                plot.figure = self._history_figure()
            shown.lines = tuple(lines)

    watch_page = watch_eval_step = watch_head = watch_place = watch_history_shown = on_resize = draw

    def _page(self, width: int, height: int) -> tuple[Lines, int]:
        at = self.insights.at(self.eval_step)
        if at is None:
            return words_lines(self._without, width), 0
        paints = palette_of(self).paints
        if self.page == "probe":
            return probe_lines(self.insights, at, self.place, self.chosen, width, height, paints), 0
        if self.page == "updates":
            above, rows = updates_lines(self.insights, at, width, self._optimizer, paints=paints)
            return [*above, *rows[: max(1, height - len(above))]], 0
        layers, heads = self.insights.points[at].scores.shape[1:]
        if layers and paints:
            return self._grid(at, width, height)
        above = heads_above(self.insights, at, width, height, self._share)
        room = height - len(above)
        plotted = 0
        if layers > 0 and (room - layers * heads >= HISTORY_ROWS or self.history_shown):
            plotted = max(HISTORY_ROWS, room - layers * heads)
            room -= plotted
        layer, head = self.chosen
        room = max(1, room)
        first = max(0, min(layer * heads + head - room // 2, layers * heads - room))
        in_view = [divmod(place, heads) for place in range(first, min(first + room, layers * heads))]
        self._head_at = lambda line, x: in_view[line - len(above)] if 0 <= line - len(above) < len(in_view) else None
        return [*above, *(head_line(self.insights, at, each, each == (layer, head), width) for each in in_view)], plotted

    def _grid(self, at: int, width: int, height: int) -> tuple[Lines, int]:
        """The head scores in colour, and the rows of the chosen head's plot, where there is room or it was asked for."""
        above = finding_lines(self.insights, at, width)
        made = grid_lines(self.insights, at, self.chosen, width, height - len(above))
        left = height - len(above) - len(made)
        plotted = max(HISTORY_ROWS, min(left, MOST_HISTORY_ROWS)) if left >= HISTORY_ROWS or self.history_shown else 0
        if plotted and left < HISTORY_ROWS:
            made = made[: max(1, height - len(above) - HISTORY_ROWS)]
        self._head_at = lambda line, x: head_at(self.insights, at, width, line - len(above), x)
        return [*above, *made], plotted

    def _history_figure(self) -> Figure:
        layer, head = self.chosen
        measured = [point for point in self.insights.points if point.repeated]
        steps = np.array([point.step for point in measured], np.float64)
        repeated = measured[-1].repeated
        series = []
        for place, (kind, role) in enumerate(zip(HEAD_SCORES, ("run0", "run4", "run1"), strict=True)):
            scores = np.array([point.scores[place, layer, head] for point in measured], np.float64)
            name = score_since_sentence(kind, steps.tolist(), scores.tolist(), repeated)
            shape: Kind = "line" if len(measured) > 1 else "dots"
            series.append(Series(f"{head_name(layer, head)} {name}", kind, shape, role, steps, scores, dashes=DASHES[kind]))
        levels: dict[float, list[str]] = {}
        for kind in HEAD_SCORES:
            levels.setdefault(uniform_score(kind, repeated), []).append(kind)
        for level, kinds in levels.items():
            name = f"uniform {', '.join(kinds)} {level:.2f}"
            series.append(Series(name, name, "level", "level", (0.0,), (level,)))
        return Figure(tuple(series), version=(id(self.insights), len(measured), layer, head), x_label="steps")
