"""One line with words at the left and at the right; where both do not fit, parts of the right give way, then the left is cut."""

from rich.cells import cell_len
from rich.segment import Segment
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from screens.widgets.layout import fit


class Line(Widget):
    """Cheap to change: a new text costs one line of drawing and no layout."""

    COMPONENT_CLASSES = {"line--left", "line--right"}
    DEFAULT_CSS = """
    Line {
        height: 1; padding: 0 1;
        & > .line--left { color: $foreground; }
        & > .line--right { color: $foreground 65%; }
        &.-trouble > .line--left { color: $error; text-style: bold; }
    }
    """

    left: reactive[str] = reactive("")
    right: reactive[tuple[str, ...]] = reactive(())
    """Parts joined by two spaces, the least important first."""

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        parts = list(self.right)
        while parts and cell_len(self.left) + 2 + cell_len("  ".join(parts)) > width:
            parts.pop(0)
        right = "  ".join(parts)
        left = fit(self.left, max(0, width - cell_len(right)))
        segments = [Segment(left, self.get_component_rich_style("line--left"))]
        segments.append(Segment(right, self.get_component_rich_style("line--right")))
        return Strip(segments).adjust_cell_length(width, self.rich_style)
