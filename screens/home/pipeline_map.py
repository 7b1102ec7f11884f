"""The pipeline from text to prediction, drawn as boxes or lines."""

from __future__ import annotations

from textwrap import wrap
from typing import NamedTuple

from rich.style import Style
from rich.text import Text
from textual import events
from textual.widget import Widget

from screens.messages import ModeChosen
from screens.widgets.text_fitting import fit


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

    def _style(self, name: str, text: str) -> tuple[str, Style]:
        return text, self.get_component_rich_style(f"pipeline-map--{name}")

    def render(self) -> Text:
        return self._boxes() if self._has_boxes else self._lines()

    def _lines(self) -> Text:
        lines = [Text.assemble(self._style("title", fit(f"{TITLE}, and the key that shows each step", self.size.width)))]
        room = max(0, min(44, self.size.width - 17 - max(len(stop.key) for stop in PIPELINE)))
        for number, stop in enumerate(PIPELINE):
            arrow = "  " if number == 0 else "↓ "
            lines.append(
                Text.assemble(
                    self._style("line", arrow),
                    self._style("stop", f"{stop.title:<14}"),
                    self._style("words", fit(stop.words, room) + " "),
                    self._style("key", stop.key),
                )
            )
        return Text("\n").join(lines)

    def _boxes(self) -> Text:
        inner = self._inner
        rows: list[list[tuple[str, Style]]] = [[] for _ in range(7)]
        for number, stop in enumerate(PIPELINE):
            arrow = "▸" if number < len(PIPELINE) - 1 else " "
            words = [*wrap(stop.words, inner), "", "", ""][:3]
            inside = [("stop", stop.title), *(("words", line) for line in words), ("key", stop.key)]
            rows[0].append(self._style("line", f"╭{'─' * inner}╮ "))
            for row, (style, text) in enumerate(inside, 1):
                rows[row] += [
                    self._style("line", "│"),
                    self._style(style, text.center(inner)),
                    self._style("line", f"│{arrow if row == 3 else ' '}"),
                ]
            rows[6].append(self._style("line", f"╰{'─' * inner}╯ "))
        return Text("\n").join([Text.assemble(self._style("title", TITLE)), *(Text.assemble(*row) for row in rows)])
