"""A scroll view that draws a line again only where what it shows has changed."""

from collections.abc import Hashable
from itertools import zip_longest

from textual.strip import Strip

from screens.widgets.line_scroll_view import LineScrollView

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

    def forget_other_widths(self) -> None:
        """Keep no strip of another width: called when the view has a new size, which may be a new height alone."""
        if self.room != self._strips_room:
            self._strips_room = self.room
            self.forget_strips()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.forget_strips()
