"""The header of a run in Train: name, phase, progress bar, time left."""

from __future__ import annotations

from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.number_format import duration
from lab.core.visible_text import visible
from lab.runs.gpu_and_ranks import ranks_in_words
from lab.runs.run_folder import ACTIVE, NOT_STARTED
from lab.runs.run_summary import fraction_done, origin_in_short, planned_length, shown_phase, time_left
from screens.train.watched_run import WatchedRun
from screens.widgets.text_fitting import fit


class RunHeader(Widget):
    """One line; the bar takes the room that the words leave. A run that cannot be read any more has the reason instead."""

    COMPONENT_CLASSES = {"run-header--name", "run-header--phase", "run-header--bar", "run-header--rest"}
    DEFAULT_CSS = """
    RunHeader {
        height: 1;
        & > .run-header--name { text-style: bold; }
        & > .run-header--phase { color: $text-success; text-style: bold; }
        & > .run-header--bar { color: $primary; }
        & > .run-header--rest { color: $text-muted; }
        &.-ended > .run-header--phase { color: $text; }
        &.-failed > .run-header--phase { color: $text-error; }
    }
    """
    watched: reactive[WatchedRun | None] = reactive(None, always_update=True)
    problem: reactive[str] = reactive("")
    """The reason why the run cannot be read any more, such as that it was deleted."""

    def watch_watched(self) -> None:
        self._mark()

    def watch_problem(self) -> None:
        self._mark()

    def _mark(self) -> None:
        phase = self.watched.phase if self.watched else ""
        self.set_class(not self.problem and phase in ("stopped", "finished"), "-ended")
        self.set_class(bool(self.problem) or phase in ("failed", "interrupted", "not answering"), "-failed")

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if self.problem:
            style = self.get_component_rich_style("run-header--phase")
            return Strip([Segment(fit(visible(self.problem), width), style)]).adjust_cell_length(width, self.rich_style)
        if self.watched is None:
            return Strip.blank(width, self.rich_style)
        config, status, phase = self.watched.config, self.watched.status, self.watched.phase
        shown = "not started" if status.message == NOT_STARTED else phase
        sign, word = shown_phase(shown, is_imported=config.imported is not None)
        done = fraction_done(config, status)
        left = time_left(config, status, self.watched.history) if phase == "training" else None
        rest = f"{done:.0%} of {planned_length(config)}" + (f", {duration(left)} left" if left is not None else "")
        origin = origin_in_short(config)
        if config.imported is not None:
            done, rest = 0.0, f"{origin}: trained elsewhere"
            origin = ""
        name = visible(self.watched.name)
        name = name if len(name) <= width // 3 else name[: width // 3 - 1] + "…"
        where = ranks_in_words(status.ranks) if phase in ACTIVE else ""
        for more, most in ((origin, width // 2), (where, width // 3)):
            longer = f"{more} · {rest}"
            if more and len(more) < most and len(name) + len(word) + len(longer) + 8 <= width:
                rest = longer
        room = width - len(name) - len(word) - len(rest) - 8
        empty = " " if config.imported is not None else "╌"
        filled = round(max(0, room) * done)
        pieces = [
            (f"{name}  ", "name"),
            (f"{sign} {word}  ", "phase"),
            ("━" * filled, "bar"),
            (empty * (room - filled) + "  " + rest, "rest"),
        ]
        return Strip(
            [Segment(text, self.get_component_rich_style(f"run-header--{role}")) for text, role in pieces]
        ).adjust_cell_length(width, self.rich_style)
