"""A scroll view whose lines are drawn one at a time, only while in sight; and one that keeps them."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import zip_longest

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.number_format import whole

WHEEL = 3
"""Lines per notch of a mouse wheel."""


@dataclass(frozen=True)
class _Painted:
    """Facts that all lines painted at one time have in common: to ask for them line by line takes longer than to draw one."""

    room: int
    thumb: range
    """Lines of the widget that the thumb is on."""
    ends: tuple[Strip, Strip]
    """The last cell of a line without the thumb, and with it."""


class LineScrollView(Widget, can_focus=True):
    """Like Textual's ScrollView, but a change of content redraws lines and never lays out the screen.

    A subclass gives `draw` and calls `set_extent` when its content has changed. A thumb at the right and the lower border tell
    how much is out of sight.
    """

    COMPONENT_CLASSES = {"line-scroll-view--thumb"}
    DEFAULT_CSS = """
    LineScrollView {
        border: round $foreground 30%; border-title-color: $foreground 90%; border-subtitle-color: $foreground 70%;
        padding: 0 0 0 1;
        &:focus { border: round $accent; }
        & > .line-scroll-view--thumb { color: $foreground 50%; }
    }
    """

    top: reactive[int] = reactive(0)
    """The first line in sight."""
    left: reactive[int] = reactive(0)
    """Character cells scrolled out at the left."""
    columns_drawn: reactive[int | None] = reactive(None)
    """Columns in sight that are drawn while the content fills from the left; None draws all."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.extent = (0, 0)
        """Lines of the content, and their width."""
        self._styles_by_kind: dict[str, Style] = {}
        self._painted: _Painted | None = None
        self._room = 1
        """What every line depends on, while lines are painted."""

    def draw(self, line: int) -> Strip:
        """Line `line` of the content, `room` character cells wide."""
        raise NotImplementedError

    def text_to_copy(self) -> str:
        """All lines, also those out of sight."""
        return "\n".join(self.draw(line).text.rstrip() for line in range(self.extent[0]))

    @property
    def room(self) -> int:
        """Width for the content in character cells; one more is the thumb's. While it is hidden, the one that it had."""
        if self._painted is not None:
            return self._painted.room
        if width := self.content_size.width:
            self._room = max(1, width - 1)
        return self._room

    @property
    def window(self) -> int:
        """Lines in sight."""
        return max(1, self.content_size.height)

    def style_of(self, kind: str) -> Style:
        """The style of a component class; "" is the widget's own."""
        found = self._styles_by_kind.get(kind)
        if found is None:
            found = self.get_component_rich_style(kind) if kind else self.rich_style
            self._styles_by_kind[kind] = found
        return found

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles_by_kind.clear()

    def set_extent(self, height: int, width: int = 0, *, changed: Iterable[int] | None = None) -> None:
        """Set the number of lines and their width. Where the width is as before, only the `changed` lines are drawn, if given,
        with those that come or go and the thumb."""
        before, thumb = self.extent, self._thumb_lines
        self.extent = (height, width)
        self.top, self.left = self.top, self.left
        self._update_border()
        if changed is None or before[1] != width:
            self.refresh()
            return
        self.refresh_lines({*changed, *self._in_sight(*sorted((before[0], height)))})
        if thumb != self._thumb_lines:
            self.refresh(Region(self.content_size.width - 1, 0, 1, self.window))

    def refresh_lines(self, lines: Iterable[int]) -> None:
        """Draw these lines of the content anew, as far as they are in sight."""
        if seen := [line - self.top for line in lines if line in self._in_sight()]:
            self.refresh(*(Region(0, y, self.content_size.width, 1) for y in seen))

    def _in_sight(self, first: int = 0, end: int | None = None) -> range:
        """The lines in sight, of those from `first` to before `end`."""
        bottom = self.top + self.window
        return range(max(self.top, first), bottom if end is None else min(bottom, end))

    def validate_top(self, top: int) -> int:
        return max(0, min(top, self.extent[0] - self.window))

    def validate_left(self, left: int) -> int:
        return max(0, min(left, self.extent[1] - self.room))

    def on_resize(self) -> None:
        self.lay_out()
        self.set_extent(*self.extent)

    def lay_out(self) -> None:
        """Lay the content out for the size of the view, where it depends on that."""

    def _update_border(self) -> None:
        below = max(0, self.extent[0] - self.top - self.window)
        words = self.border_words(self.top, below)
        if words != (self.border_subtitle or ""):
            self.border_subtitle = Text(words)  # no markup: a token may hold brackets

    watch_top = _update_border

    def border_words(self, above: int, below: int) -> str:
        """The words in the lower border, for so many lines out of sight."""
        if not above and not below:
            return ""
        return " ".join(([f"↑ {whole(above)}"] if above else []) + ([f"↓ {whole(below)}"] if below else [])) + " more"

    def show_line(self, line: int, margin: int = 0) -> None:
        """Scroll the least that shows `line` and `margin` lines beyond it."""
        if line - margin < self.top:
            self.top = line - margin
        elif line + margin >= self.top + self.window:
            self.top = line + margin - self.window + 1

    def line_at(self, y: int) -> int:
        """The line of the content in a line of the widget."""
        return self.top + y

    def render_lines(self, crop: Region) -> list[Strip]:
        if not self.is_attached:
            # Removed, and painted once more before the screen is laid out without it: its styles are gone.
            return [Strip.blank(crop.width)] * crop.height
        self._painted = self._all_lines()
        try:
            return super().render_lines(crop)
        finally:
            self._painted = None

    def _all_lines(self) -> _Painted:
        style = self.style_of("line-scroll-view--thumb")
        return _Painted(self.room, self._thumb_lines, (Strip([Segment(" ", style)], 1), Strip([Segment("┃", style)], 1)))

    def render_line(self, y: int) -> Strip:
        height = self.extent[0]
        line = self.line_at(y)
        strip = self.draw(line) if line < height else Strip.blank(self.room, self.style_of(""))
        if self.columns_drawn is not None:
            strip = strip.crop(0, self.columns_drawn).adjust_cell_length(self.room, self.style_of(""))
        painted = self._painted or self._all_lines()
        return Strip.join([strip, painted.ends[y in painted.thumb]])

    @property
    def _thumb_lines(self) -> range:
        """Lines of the widget that the thumb is on."""
        height, window = self.extent[0], self.window
        if height <= window:
            return range(0)
        size = max(1, window * window // height)
        start = round(self.top * (window - size) / (height - window))
        return range(start, start + size)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.top += WHEEL
        event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.top -= WHEEL
        event.stop()

    def page(self, by: int) -> None:
        """Scroll by whole windows, one line of overlap kept."""
        self.top += by * max(1, self.window - 1)

    def action_scroll_by(self, by: int) -> None:
        self.top += by

    action_leaf = page


SCROLL_KEYS: list[BindingType] = [
    Binding("down,j", "scroll_by(1)", "Down", id="lines.down", show=False, tooltip="Scroll down"),
    Binding("up,k", "scroll_by(-1)", "Up", id="lines.up", show=False, tooltip="Scroll up"),
    Binding("pagedown", "leaf(1)", "Page down", id="lines.page_down", show=False, tooltip="Scroll down by a window"),
    Binding("pageup", "leaf(-1)", "Page up", id="lines.page_up", show=False, tooltip="Scroll up by a window"),
    Binding("home", "scroll_by(-1000000000)", "Top", id="lines.top", show=False, tooltip="To the first line"),
    Binding("end", "scroll_by(1000000000)", "End", id="lines.end", show=False, tooltip="To the last line"),
]
"""The keys of a view that has no cursor."""


MOST_STRIPS = 1_024
"""Drawn lines that are kept: some windows full."""


class CachedLinesView(LineScrollView):
    """A subclass gives `content_of` and `draw_content`, and calls `show_changed` when its content has changed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._strips: dict[Hashable, Strip] = {}
        self._strips_room = 0
        """The room that they fill."""
        self._shown: tuple[int, list[Hashable]] = (0, [])
        """The first line in sight and the content of all lines in sight, as last told to the screen."""

    def content_of(self, line: int) -> Hashable:
        """All that the drawing of a line depends on, but for the styles and the width."""
        raise NotImplementedError

    def draw_content(self, line: int) -> Strip:
        """Draw a line."""
        raise NotImplementedError

    def show_changed(self, height: int) -> None:
        """Show a content of so many lines: only those in sight that have changed are drawn."""
        self.set_extent(height, changed=())
        self.draw_changed()

    def draw_changed(self) -> None:
        """Draw the lines in sight whose content has changed since the last time."""
        top_before, before = self._shown
        end = min(self.extent[0], self.top + self.window)
        now = [self.content_of(line) for line in range(self.top, end)]
        self._shown = self.top, now
        if self.top != top_before:
            self.refresh()
        else:
            pairs = enumerate(zip_longest(before, now), self.top)
            self.refresh_lines([line for line, (old, new) in pairs if old != new])

    def draw(self, line: int) -> Strip:
        content = self.content_of(line)
        strip = self._strips.pop(content, None)
        if strip is None:
            strip = self.draw_content(line)
            while len(self._strips) >= MOST_STRIPS:
                del self._strips[next(iter(self._strips))]
        self._strips[content] = strip
        return strip

    def forget_strips(self) -> None:
        """Draw all anew: the width, or what no line's content tells, has changed."""
        self._strips.clear()
        self._shown = (-1, [])

    def on_resize(self) -> None:
        """Keep no strip of another width: the view has a new size, which may be a new height alone."""
        if self.room != self._strips_room:
            self._strips_room = self.room
            self.forget_strips()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.forget_strips()
