"""Progress of a run's preparation: reading, learning the vocabulary, encoding, starting."""

from __future__ import annotations

from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from lab.core.visible_text import visible

BAR = 30
CANCEL = "escape cancels it: no new run, and the settings as they were"


class Preparation(Widget):
    """A line for each stage so far: finished ones with a `✓`, the last with a progress bar; below them the key that cancels."""

    COMPONENT_CLASSES = {"preparation--done", "preparation--now", "preparation--bar", "preparation--key"}
    DEFAULT_CSS = """
    Preparation {
        & > .preparation--done { color: $text-success; }
        & > .preparation--now { text-style: bold; }
        & > .preparation--bar { color: $primary; }
        & > .preparation--key { color: $text-muted; }
    }
    """
    stages: reactive[tuple[tuple[str, float], ...]] = reactive(())
    """Each stage in words, and the share of it that is done, 0 to 1."""

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        if y == len(self.stages) + 1:
            return Strip([Segment(CANCEL, self.get_component_rich_style("preparation--key"))]).adjust_cell_length(
                self.size.width, base
            )
        if y >= len(self.stages):
            return Strip.blank(self.size.width, base)
        words, fraction = visible(self.stages[y][0]), self.stages[y][1]
        segments: list[Segment] = []
        if y < len(self.stages) - 1:
            segments.append(Segment(f"✓ {words}", self.get_component_rich_style("preparation--done")))
        else:
            filled = round(BAR * fraction)
            segments.append(Segment(f"▸ {words}  ", self.get_component_rich_style("preparation--now")))
            segments.append(Segment("━" * filled + "╌" * (BAR - filled), self.get_component_rich_style("preparation--bar")))
            segments.append(Segment(f" {fraction:.0%}", base))
        return Strip(segments).adjust_cell_length(self.size.width, base)
