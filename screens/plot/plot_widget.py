"""The line plot: a figure drawn in braille, in the theme's colours and told apart without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.visible_text import visible
from screens.colour import palette_of
from screens.plot.draw_plot import GLYPH, SHADED, Drawn, draw, with_cursor
from screens.plot.figure import EVENT_SIGNS, LEGEND_SIGNS, RUN_ROLES, Figure, Series, dashes_of
from screens.widgets.text_fitting import Piece, wrap

EVENT_ORDER = "✗↶½◂≈★‖■▸▴"
"""Event signs in the order in which they get a word in the legend."""

DASHED_SAMPLE = "⠤ ◆"
"""Sample of a marked line with dashes."""

SHORT_SAMPLE = 2
"""Characters of a line's sample where there is little room."""


def legend(figure: Figure, drawn: Drawn, width: int, *, paints: bool = True) -> list[Piece]:
    """The legend, shortened step by step until it fits: short labels, no levels named on their lines, few event signs.

    The scale of y is always in it.
    """
    shown = [series for series in figure.series if series.in_legend]
    needed = [series for series in shown if series.kind != "level" or series.short not in drawn.named]
    signs: list[list[Piece]] = [
        [(EVENT_SIGNS[kind][0], "event"), (f" {EVENT_SIGNS[kind][1]}  ", "axis")] for kind in drawn.events
    ]
    events = [piece for sign in signs for piece in sign]
    scale: list[Piece] = [(figure.scale_words, "axis")] if figure.scale_words else []
    lines = [series for series in needed if series.kind not in ("dots", "level")]
    # What is in it, long names, the long name of the area, short samples, events.
    variants: tuple[tuple[Sequence[Series], bool, bool, bool, list[Piece]], ...] = (
        (shown, True, True, False, events),
        (needed, True, True, False, events),
        (needed, True, False, False, events),
        (needed, True, False, False, []),
        (needed, False, False, False, events),
        (needed, False, False, False, []),
        (needed, False, False, True, []),
        (lines, False, False, True, []),
    )
    for which, long, long_area, brief, more in variants:
        pieces = [piece for series in which for piece in _entry(series, series.name if long else series.short, brief, paints)]
        if figure.area is not None and drawn.has_area:
            sample = ("  ", "axis" + SHADED) if paints else (GLYPH * 2, "area")
            pieces += [sample, (f" {figure.area.name if long_area else figure.area.short}  ", "axis")]
        pieces += more
        if _length(pieces + scale) <= width:
            break
    else:
        pieces = [piece for series in lines for piece in _entry(series, series.short, True, paints)]  # without the area
    if not more:
        for sign in sorted(signs, key=lambda sign: EVENT_ORDER.index(sign[0][0])):
            brief_sign = [sign[0], (f" {sign[1][0].split()[0]}  ", "axis")]
            pieces += next((each for each in (sign, brief_sign) if _length(pieces + each + scale) <= width), [])
    return pieces + scale


def _length(pieces: Sequence[Piece]) -> int:
    return sum(cell_len(text) for text, _ in pieces)


def _entry(series: Series, name: str, brief: bool, paints: bool) -> list[Piece]:
    sample = series.sign or LEGEND_SIGNS[series.kind]
    if dashes_of(series, paints) != series.dashes:
        sample = DASHED_SAMPLE
    elif brief:
        sample = sample[:SHORT_SAMPLE]
    if series.dashes:
        on, off = series.dashes
        sample = (("⠤" * on + " " * off) * 3)[: max(3, on + off + 1)].rstrip()
    return [(f"{sample} ", series.role), (f"{visible(name)}  ", "axis")]


ROLES = ("raw", "train", "validation", "level", "name", "axis", "cursor", "event", "area", *RUN_ROLES)
WHEEL_STEP = 0.8
"""Factor of the window for each step of the wheel."""


class LinePlot(Widget):
    """Shows a `Figure`: the legend on the first line, the plot below. Drawn once per figure and size."""

    COMPONENT_CLASSES = {f"plot--{role}" for role in ROLES} | {"plot--area-tint"}
    DEFAULT_CSS = """
    LinePlot {
        & > .plot--raw { color: $foreground 45%; }
        & > .plot--train { color: $primary; text-style: bold; }
        & > .plot--validation { color: $warning; text-style: bold; }
        & > .plot--level { color: $foreground 60%; }
        & > .plot--name { color: $foreground 70%; }
        & > .plot--cursor { color: $foreground; text-style: bold; }
        & > .plot--axis { color: $foreground 70%; }
        & > .plot--event { color: $accent; text-style: bold; }
        & > .plot--area { color: $warning 25%; }
        & > .plot--area-tint { background: $warning 25%; }
        & > .plot--run0 { color: $primary; text-style: bold; }
        & > .plot--run1 { color: $warning; text-style: bold; }
        & > .plot--run2 { color: $success; text-style: bold; }
        & > .plot--run3 { color: $error; text-style: bold; }
        & > .plot--run4 { color: $foreground; text-style: bold; }
    }
    """

    figure: reactive[Figure | None] = reactive(None)
    cursor: reactive[float | None] = reactive(None, repaint=False)
    """Position of the cursor on the x axis."""

    readout: reactive[str] = reactive("", repaint=False)
    """Words in place of the legend, and of the first rows of the plot where they need more than one line."""

    @dataclass
    class Pointed(Message):
        """The mouse is at this x, or has left (None); `clicked` if a button was pressed there."""

        plot: LinePlot
        x: float | None
        clicked: bool = False

    @dataclass
    class Wheeled(Message):
        """The wheel was turned at `x` and `y`: zoom by this factor on x, or `on_y` (at the y axis, or with shift or ctrl)."""

        plot: LinePlot
        by: float
        x: float
        y: float
        on_y: bool

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._key: object = None
        self._drawn: Drawn | None = None
        self._legend_line: list[Piece] = []
        self._paints = True
        self._styles: dict[str, Style] = {}
        """Styles of the roles, kept until the theme changes."""

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    @property
    def columns(self) -> int:
        """Number of columns of the curves; 1 before the first drawing."""
        return max(1, self._drawn.right - self._drawn.left) if self._drawn else 1

    @property
    def y_range(self) -> tuple[float, float]:
        """Lowest and highest y in view."""
        return self._drawn.y_range if self._drawn else (0.0, 1.0)

    @property
    def log_y(self) -> bool:
        return self._drawn is not None and self._drawn.log_y

    @property
    def x_range(self) -> tuple[float, float]:
        """Lowest and highest x in view."""
        return (self._drawn.low_x, self._drawn.high_x) if self._drawn else (0.0, 1.0)

    def watch_readout(self, before: str, after: str) -> None:
        self.refresh(Region(0, 0, self.size.width, max(len(wrap(each, self.size.width)) for each in (before, after))))

    def watch_cursor(self, before: float | None, after: float | None) -> None:
        """Repaint the two columns alone."""
        for x in (before, after):
            column = self._drawn.column(x) if self._drawn is not None and x is not None else None
            if column is not None:
                self.refresh(Region(column, 1, 1, max(1, self.size.height - 3)))

    def _line(self, y: int) -> list[Piece]:
        width, height = self.size
        figure = self.figure
        if figure is None or not any(series.kind != "level" and len(series.xs) for series in figure.series):
            self._key, self._drawn = None, None
            return [(figure.empty if figure and not y else "", "axis")]
        key = (figure.version, figure.log_y, width, height, self._paints)
        if self._key != key or self._drawn is None:
            figure = replace(figure, series=tuple(series for series in figure.series if len(series.xs)))
            self._drawn = draw(figure, width, max(4, height - 1), paints=self._paints)
            self._legend_line = legend(figure, self._drawn, width, paints=self._paints)
            self._key = key
        if self.readout and y < len(words := wrap(self.readout, width)):
            return [(words[y], "name")]
        if y == 0:
            return self._legend_line
        lines = self._drawn.lines
        if y > len(lines):
            return []
        column = self._drawn.column(self.cursor) if self.cursor is not None else None
        if column is None or y > len(lines) - 2:
            return lines[y - 1]
        return with_cursor(self._drawn.cells[y - 1], column)

    def _style(self, role: str) -> Style:
        style = self._styles.get(role)
        if style is None:
            name = role.removesuffix(SHADED)
            style = self.get_component_rich_style(f"plot--{name}")
            if name != role:
                style += Style(bgcolor=self.get_component_rich_style("plot--area-tint").bgcolor)
            elif role == "area" and self._paints:
                style = Style(color=self.get_component_rich_style("plot--area-tint").bgcolor, bgcolor=style.bgcolor)
            self._styles[role] = style
        return style

    def render_lines(self, crop: Region) -> list[Strip]:
        paints = palette_of(self).paints
        if paints is not self._paints:
            self._paints = paints
            self._styles.clear()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        strip = Strip([Segment(text, self._style(role)) for text, role in self._line(y)])
        return strip.adjust_cell_length(self.size.width, self.rich_style)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._point(event, clicked=False)

    def on_click(self, event: events.Click) -> None:
        self._point(event, clicked=True)

    def on_leave(self) -> None:
        self.post_message(self.Pointed(self, None))

    def _point(self, event: events.MouseEvent, *, clicked: bool) -> None:
        drawn = self._drawn
        if drawn is not None and drawn.left <= event.x <= drawn.right:
            self.post_message(self.Pointed(self, drawn.x_at(event.x), clicked))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, WHEEL_STEP)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1 / WHEEL_STEP)

    def _wheel(self, event: events.MouseEvent, by: float) -> None:
        drawn = self._drawn
        if drawn is None:
            return
        event.stop()
        on_y = event.shift or event.ctrl or event.x < drawn.left
        column = min(drawn.right, max(drawn.left, event.x))
        self.post_message(self.Wheeled(self, by, drawn.x_at(column), drawn.y_at(event.y - 1), on_y))
