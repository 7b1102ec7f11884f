"""The pipeline from text to prediction, drawn as boxes or lines."""

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from screens.messages import ModeChosen
from screens.widgets.text_fitting import Piece, fit, painted_line, wrap


class PipelineStop(NamedTuple):
    """One step of the pipeline: its name, a description, the key of the mode that shows it, and the name of the page there."""

    title: str
    words: str
    key: str
    page: str = ""


PIPELINE = (
    PipelineStop("collect text", "a file of yours, or a built-in text", "2 Data", "choose"),
    PipelineStop("clean", "rules, and what each of them takes", "2 Data", "clean"),
    PipelineStop("tokenize", "split into tokens, each with a number", "3 Tokens", "strip"),
    PipelineStop("train", "predict the next token, adjust the weights", "4 Train"),
    PipelineStop("predict", "the weights are frozen: one token at a time", "5 Inspect"),
    PipelineStop("understand", "lessons on each step, with a live model", "6 Learn"),
)
TITLE = "From text to prediction"
BORDERS = {1: ("╭", "╮"), 7: ("╰", "╯")}
"""The lines of the boxes' borders, and their corners."""


class PipelineMap(Widget):
    """Boxes with arrows where there is room for them, else one line for each step. Each is a link to its mode."""

    COMPONENT_CLASSES = {
        "pipeline-map--title",
        "pipeline-map--stop",
        "pipeline-map--words",
        "pipeline-map--key",
        "pipeline-map--line",
    }
    DEFAULT_CSS = """
    PipelineMap {
        height: 8;
        & > .pipeline-map--title { color: $text-muted; }
        & > .pipeline-map--stop { text-style: bold; }
        & > .pipeline-map--words { color: $text-muted; }
        & > .pipeline-map--key { color: $footer-key-foreground; text-style: bold; }
        & > .pipeline-map--line { color: $primary; }
    }
    """
    BOX = 15
    """Fewest columns inside a box, without its border and the arrow to the next."""

    def on_click(self, event: events.Click) -> None:
        stop = self._stop_at(event.x, event.y)
        if stop is not None:
            self.post_message(ModeChosen(stop.key.split()[1].lower(), stop.page))

    def _stop_at(self, x: int, y: int) -> PipelineStop | None:
        if not self._has_boxes:
            return PIPELINE[y - 1] if 1 <= y <= len(PIPELINE) else None
        number, within = divmod(x, self._inner + 3)
        is_box = 1 <= y <= 7 and within < self._inner + 2 and number < len(PIPELINE)
        return PIPELINE[number] if is_box else None

    @property
    def _has_boxes(self) -> bool:
        return self.size.width >= len(PIPELINE) * (self.BOX + 3) - 1

    @property
    def _inner(self) -> int:
        return (self.size.width + 1) // len(PIPELINE) - 3

    def render_line(self, y: int) -> Strip:
        if y == 0:
            title = TITLE if self._has_boxes else f"{TITLE}, and the key that shows each step"
            return painted_line(self, "pipeline-map", [(title if self._has_boxes else fit(title, self.size.width), "title")])
        return painted_line(self, "pipeline-map", self._boxes(y) if self._has_boxes else self._line(y))

    def _line(self, y: int) -> list[Piece]:
        if y > len(PIPELINE):
            return []
        stop = PIPELINE[y - 1]
        room = max(0, min(44, self.size.width - 17 - max(len(each.key) for each in PIPELINE)))
        title, words = fit(stop.title, 14), fit(stop.words, room) + " "
        return [("  " if y == 1 else "↓ ", "line"), (title, "stop"), (words, "words"), (stop.key, "key")]

    def _boxes(self, y: int) -> list[Piece]:
        inner = self._inner
        pieces: list[Piece] = []
        for number, stop in enumerate(PIPELINE):
            if y in BORDERS:
                left, right = BORDERS[y]
                pieces.append((f"{left}{'─' * inner}{right} ", "line"))
            elif y < max(BORDERS):
                words = [*wrap(stop.words, inner), "", "", ""][:3]
                text, role = [(stop.title, "stop"), *((line, "words") for line in words), (stop.key, "key")][y - 2]
                arrow = "▸" if y == 4 and number < len(PIPELINE) - 1 else " "
                pieces += [("│", "line"), (text.center(inner - cell_len(text) + len(text)), role), (f"│{arrow}", "line")]
        return pieces
