"""The line plot: a figure drawn in braille, in the theme's colours and told apart without them."""

from __future__ import annotations

from dataclasses import replace

from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from screens.plot.drawing import Drawn, draw, with_cursor
from screens.plot.figure import RUN_ROLES, Figure
from screens.plot.legend import legend
from screens.widgets.text_fitting import Piece

ROLES = ("raw", "train", "validation", "level", "axis", "cursor", "event", *RUN_ROLES)


class LinePlot(Widget):
    """Shows a `Figure`: the legend on the first line, the plot below. Drawn once per figure and size."""

    COMPONENT_CLASSES = {f"plot--{role}" for role in ROLES}
    DEFAULT_CSS = """
    LinePlot {
        & > .plot--raw { color: $foreground 45%; }
        & > .plot--train { color: $primary; text-style: bold; }
        & > .plot--validation { color: $warning; text-style: bold; }
        & > .plot--level { color: $foreground 60%; }
        & > .plot--cursor { color: $foreground; text-style: bold; }
        & > .plot--axis { color: $foreground 70%; }
        & > .plot--event { color: $accent; text-style: bold; }
        & > .plot--run0 { color: $primary; text-style: bold; }
        & > .plot--run1 { color: $warning; text-style: bold; }
        & > .plot--run2 { color: $success; text-style: bold; }
        & > .plot--run3 { color: $error; text-style: bold; }
        & > .plot--run4 { color: $foreground; text-style: bold; }
    }
    """

    figure: reactive[Figure | None] = reactive(None)
    cursor: reactive[float | None] = reactive(None)
    """Position of the cursor on the x axis."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._key: object = None
        self._drawn: Drawn | None = None
        self._legend_line: list[Piece] = []

    @property
    def columns(self) -> int:
        """Number of columns of the curves; 1 before the first drawing."""
        return max(1, self._drawn.right - self._drawn.left) if self._drawn else 1

    def _line(self, y: int) -> list[Piece]:
        width, height = self.size
        figure = self.figure
        if figure is None or not any(series.kind != "level" and len(series.xs) for series in figure.series):
            self._key, self._drawn = None, None
            return [(figure.empty if figure and not y else "", "axis")]
        key = (figure.version, figure.log_y, width, height)
        if self._key != key or self._drawn is None:
            shown = tuple(series for series in figure.series if len(series.xs))
            self._drawn = draw(replace(figure, series=shown), width, max(4, height - 1))
            self._legend_line = legend(shown, self._drawn, width)
            self._key = key
        if y == 0:
            return self._legend_line
        lines = self._drawn.lines
        if y > len(lines):
            return []
        column = self._drawn.column(self.cursor) if self.cursor is not None else None
        return lines[y - 1] if column is None or y > len(lines) - 2 else with_cursor(lines[y - 1], column)

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        line = self._line(y)
        styles = {role: self.get_component_rich_style(f"plot--{role}") for role in {role for _, role in line}}
        return Strip([Segment(text, styles[role]) for text, role in line]).adjust_cell_length(self.size.width, base)
