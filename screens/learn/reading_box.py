"""Reading box: a text that scrolls with the keys that scroll everywhere, and tells how much of it is below."""

from __future__ import annotations

from rich.text import Text
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.reactive import var

from lab.core.visible_text import visible


class ReadingBox(VerticalScroll, inherit_bindings=False):
    """A box around a text."""

    DEFAULT_CSS = """
    ReadingBox {
        border: round $foreground 30%; padding: 0 1; border-subtitle-color: $foreground 70%; border-title-color: $foreground 90%;
        &:focus { border: round $accent; }
    }
    """
    BINDINGS = [
        Binding("j,down", "scroll_down", "Scroll", id="reading.down", key_display="j/k", tooltip="Scroll down"),
        Binding("k,up", "scroll_up", "Up", id="reading.up", show=False, tooltip="Scroll up"),
    ]

    further: var[str] = var("")
    """Words on the key that leads further, for the lower border."""

    model: var[str] = var("")
    """The run that the view below computes on."""

    def watch_further(self) -> None:
        self._mark_rest()

    def watch_model(self) -> None:
        self._mark_rest()

    def watch_virtual_size(self) -> None:
        self._mark_rest()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._mark_rest()

    @property
    def below(self) -> int:
        """Lines below those in sight."""
        return max(0, self.virtual_size.height - round(self.scroll_y) - self.scrollable_content_region.height)

    def _mark_rest(self) -> None:
        below = self.below
        rest = f"↓ {below} more line{'s' if below > 1 else ''} · j" if below > 0 else ""
        model = f"model: {visible(self.model)} · M" if self.model else ""
        self.border_subtitle = Text(" · ".join(filter(None, (model, rest, self.further))))
