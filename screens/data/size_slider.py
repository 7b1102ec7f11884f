"""A size on a logarithmic slider: `‹ 1 MB › ├────●────┤`, changed with the arrows or by a click on the track."""

from __future__ import annotations

from rich.segment import Segment
from textual import events
from textual.strip import Strip

from screens.widgets.choice import Choice

SIZES = ("100kB", "300kB", "1MB", "3MB", "10MB", "30MB", "100MB")
"""Sizes of the built-in text `stories` that the slider has; any other is typed, such as stories:5MB."""
TRACK = 3
"""Cells of the track from one size to the next."""


class SizeSlider(Choice):
    """The sizes as a choice, with the place on a track behind it."""

    HELP = "**Size** of the made-up text: `←` `→`, or `+` `-` on the whole page. Other sizes are typed as a path: `stories:5MB`."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(SIZES, "1MB", id=id, tooltip="Size of the text that the grammar makes up")

    def get_content_width(self, container: object, viewport: object) -> int:
        return super().get_content_width(container, viewport) + 3 + TRACK * (len(SIZES) - 1) + 1

    @property
    def _track_start(self) -> int:
        return super().get_content_width(None, None) + 2

    def action_turn(self, by: int) -> None:
        """Move by one size; a slider has ends."""
        self.value = self.options[max(0, min(len(self.options) - 1, self.options.index(self.value) + by))]

    def on_click(self, event: events.Click) -> None:
        place = round((event.x - self._track_start) / TRACK)
        if event.x < self._track_start - 1:
            self.action_turn(-1 if event.x < 2 else 1)
        else:
            self.value = self.options[max(0, min(len(self.options) - 1, place))]

    def render_line(self, y: int) -> Strip:
        arrows, word = self.get_component_rich_style("choice--arrows"), self.get_component_rich_style("choice--word")
        at = self.options.index(self.value) * TRACK
        before, after = "─" * at, "─" * (TRACK * (len(self.options) - 1) - at)
        head = [Segment("‹ ", arrows), Segment(self.value, word), Segment(" ›", arrows)]
        gap = " " * (self._track_start - 1 - sum(segment.cell_length for segment in head))
        track = [Segment(f"{gap}├{before}", self.rich_style), Segment("●", word), Segment(f"{after}┤", self.rich_style)]
        return Strip([*head, *track]).adjust_cell_length(self.size.width, self.rich_style)
