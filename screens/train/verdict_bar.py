"""The verdict on a run in one coloured line, with the key to its reasons."""

from __future__ import annotations

from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.reports.verdict_line import SIGNS, VerdictLine
from screens.widgets.text_fitting import fit

HINT, HINT_IN_ASCII = "⏎ why", "enter why"


class VerdictBar(Widget):
    """One line: the verdict in the colour of its tone, then the numbers behind it."""

    COMPONENT_CLASSES = {"verdict--good", "verdict--wait", "verdict--warn", "verdict--bad", "verdict--rest", "verdict--hint"}
    DEFAULT_CSS = """
    VerdictBar {
        height: 1;
        & > .verdict--good { color: $text-success; text-style: bold; }
        & > .verdict--wait { color: $text-muted; text-style: bold; }
        & > .verdict--warn { color: $text-warning; text-style: bold; }
        & > .verdict--bad { color: $text-error; text-style: bold; }
        & > .verdict--rest { color: $foreground; }
        & > .verdict--hint { color: $text-muted; }
    }
    """
    verdict: reactive[VerdictLine | None] = reactive(None)

    def render_line(self, y: int) -> Strip:
        width, verdict = self.size.width, self.verdict
        if verdict is None or not verdict.parts:
            return Strip.blank(width, self.rich_style)
        hint = HINT_IN_ASCII if getattr(self.app, "draws_ascii", False) else HINT
        first = f"{SIGNS[verdict.tone]} {verdict.parts[0]}"
        room = width - len(first)
        parts = list(verdict.parts[1:])
        while len(parts) > 1 and sum(len(part) + 3 for part in parts) > room:
            parts.pop()
        rest = "".join(f" · {part}" for part in parts)
        if len(rest) + len(hint) + 2 <= room:
            room -= len(hint)
        pieces = [(first, verdict.tone), (fit(rest, max(0, room)), "rest"), (hint, "hint")]
        segments = [Segment(text, self.get_component_rich_style(f"verdict--{role}")) for text, role in pieces]
        return Strip(segments).adjust_cell_length(width, self.rich_style)
