"""The header of a run in Train: name, phase, progress bar, time left."""

from __future__ import annotations

from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.number_format import duration
from lab.core.visible_text import visible
from lab.runs.run_progress import fraction_done, planned_length, time_left
from lab.runs.run_summary import PHASES
from screens.train.watched_run import WatchedRun


class RunHeader(Widget):
    """One line; the bar takes the room that the words leave."""

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

    def watch_watched(self, watched: WatchedRun | None) -> None:
        phase = watched.phase if watched else ""
        self.set_class(phase in ("stopped", "finished"), "-ended")
        self.set_class(phase in ("failed", "interrupted", "not answering"), "-failed")

    def render_line(self, y: int) -> Strip:
        if self.watched is None:
            return Strip.blank(self.size.width, self.rich_style)
        width = self.size.width
        config, status, phase = self.watched.config, self.watched.status, self.watched.phase
        sign, word = PHASES[phase]
        done = fraction_done(config, status)
        left = time_left(config, status, self.watched.history) if phase == "training" else None
        rest = f"{done:.0%} of {planned_length(config)}" + (f", {duration(left)} left" if left is not None else "")
        name = visible(self.watched.name)
        name = name if len(name) <= width // 3 else name[: width // 3 - 1] + "…"
        room = width - len(name) - len(word) - len(rest) - 8
        filled = round(max(0, room) * done)
        pieces = [
            (f"{name}  ", "name"),
            (f"{sign} {word}  ", "phase"),
            ("━" * filled, "bar"),
            ("╌" * (room - filled) + "  " + rest, "rest"),
        ]
        return Strip(
            [Segment(text, self.get_component_rich_style(f"run-header--{role}")) for text, role in pieces]
        ).adjust_cell_length(width, self.rich_style)
