"""One view of the engine, drawn line by line, with a cursor that stands on a number."""

from rich.markup import escape
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lab.numbers import significant, whole
from lab.views import Block, Note, View
from screens.widgets.layout import Spot
from screens.widgets.page import Cursor, Page, lay_out

KINDS = ("title", "head", "dim", "strong", "selected", "mark", "masked", "bar", "positive", "negative", "note", "cursor")


class BlockView(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows a `View`: its title in the border, its sentence, its blocks. Only the lines in sight are ever laid out."""

    COMPONENT_CLASSES = {f"block--{kind}" for kind in KINDS}
    DEFAULT_CSS = """
    BlockView {
        scrollbar-gutter: stable; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1;
        border: round $foreground 30%; padding: 0 0 0 1;
        &:focus { border: round $accent; }
        & > .block--title { text-style: bold; }
        & > .block--head { color: $foreground 70%; }
        & > .block--dim { color: $foreground 60%; }
        & > .block--strong { text-style: bold; }
        & > .block--selected { color: $accent; text-style: bold; }
        & > .block--mark { color: $accent; text-style: bold; }
        & > .block--masked { color: $foreground 40%; }
        & > .block--bar { color: $primary; }
        & > .block--positive { color: $primary; }
        & > .block--negative { color: $warning; }
        & > .block--note { color: $foreground; }
        & > .block--cursor { text-style: reverse bold; }
    }
    """
    HELP = (
        "**The view.** Arrows or `hjkl` move from number to number; its full value and its name stand in the line below. "
        "`escape` or `tab` leads back to the way through."
    )
    BINDINGS = [
        Binding("down,j", "walk(1,0)", "Move", id="view.down", key_display="↑↓←→", tooltip="The number below"),
        Binding("up,k", "walk(-1,0)", "Up", id="view.up", show=False, tooltip="The number above"),
        Binding("left,h", "walk(0,-1)", "Left", id="view.left", show=False, tooltip="The number to the left"),
        Binding("right,l", "walk(0,1)", "Right", id="view.right", show=False, tooltip="The number to the right"),
        Binding("home", "row_end(-1)", "Row start", id="view.row_start", show=False, tooltip="First number of the row"),
        Binding("end", "row_end(1)", "Row end", id="view.row_end", show=False, tooltip="Last number of the row"),
    ]

    class SpotChanged(Message):
        """The cursor stands on another number, or (None) on none."""

        def __init__(self, view: "BlockView", spot: Spot | None) -> None:
            super().__init__()
            self.view = view
            self.spot = spot

        @property
        def control(self) -> "BlockView":
            return self.view

    class WidthChanged(Message):
        """There is another width for the view than before."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.width = width

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.view: View | None = None
        self.page = Page([])
        self.cursor: Cursor | None = None
        self._strips: dict[tuple[int, int, int], Strip] = {}
        self._laid_for = 0

    @property
    def room(self) -> int:
        """Width of the content in columns."""
        return max(1, self.scrollable_content_region.width)

    def show(self, view: View) -> None:
        """Draw another view; one of the same stage keeps its scroll position and its cursor."""
        same = self.view is not None and view.stage == self.view.stage
        self.view = view
        self.wait(False)
        self._lay_out()
        if not same:
            self.cursor = self.page.first() if self.has_focus else None
            self.scroll_to(0, 0, animate=False, immediate=True, force=True)
        elif self.cursor is not None and not self.page.has(self.cursor):
            self.cursor = self.page.first()
        self._tell()

    def wait(self, waiting: bool) -> None:
        """Mark that what is drawn is not yet what was asked for."""
        title = escape(self.view.title) if self.view is not None else ""
        self.border_title = f"{title} …" if waiting else title

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width
        self._laid_for = width
        self._strips.clear()
        if self.view is None or width < 1:
            return
        self.page = lay_out(blocks_of(self.view), width)
        self.virtual_size = Size(max(self.page.width, 1), self.page.height)
        self._mark_rest()
        self.refresh()

    def on_resize(self) -> None:
        width = self.scrollable_content_region.width
        if width != self._laid_for:
            self._lay_out()
            self.post_message(self.WidthChanged(width))
        self._mark_rest()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._mark_rest()

    def _mark_rest(self) -> None:
        """Say in the border how much lies outside, since a scrollbar alone is easily missed."""
        above = round(self.scroll_y)
        below = max(0, self.page.height - above - self.scrollable_content_region.height)
        words = [f"↑ {above}"] if above else []
        if below:
            words.append(f"↓ {below} more line{'s' if below > 1 else ''} · PgDn")
        self.border_subtitle = "  ".join(words)

    def render_line(self, y: int) -> Strip:
        scroll_x, scroll_y = self.scroll_offset
        width = self.scrollable_content_region.width
        line = y + scroll_y
        key = (line, scroll_x, width)
        strip = self._strips.get(key)
        if strip is None:
            strip = self._strip(line, scroll_x, width)
            self._strips[key] = strip
        return self._with_cursor(strip, line, scroll_x)

    def _strip(self, line: int, scroll_x: int, width: int) -> Strip:
        base = self.rich_style
        laid, pinned_width = self.page.line(line)
        pinned = Strip([Segment(text, self._style(kind)) for text, kind in laid.pinned], pinned_width)
        rest = Strip([Segment(text, self._style(kind)) for text, kind in laid.pieces])
        room = max(0, width - pinned_width)
        cut = rest.cell_length > scroll_x + room
        if scroll_x or cut:
            rest = rest.crop(scroll_x, scroll_x + room)
        strip = Strip.join([pinned, rest]).adjust_cell_length(width, base)
        if cut and width:
            strip = Strip.join([strip.crop(0, width - 1), Strip([Segment("…", self._style("dim"))])])
        return strip

    def _style(self, kind: str) -> Style:
        if kind in ("", "cell"):
            return self.rich_style
        return self.get_component_rich_style(f"block--{kind}")

    def _with_cursor(self, strip: Strip, line: int, scroll_x: int) -> Strip:
        if self.cursor is None or not self.has_focus:
            return strip
        spot = self.page.spot(self.cursor)
        if spot.line != line:
            return strip
        pinned = self.page.line(line)[1]
        start = spot.start if spot.start < pinned else max(pinned, spot.start - scroll_x)
        end = start + spot.width
        under = strip.crop(start, end).apply_style(self.get_component_rich_style("block--cursor", partial=True))
        return Strip.join([strip.crop(0, start), under, strip.crop(end)])

    def watch_has_focus(self, has_focus: bool) -> None:
        super().watch_has_focus(has_focus)
        if has_focus and self.cursor is None:
            self.cursor = self.page.first()
        self._tell()

    def _tell(self) -> None:
        spot = self.page.spot(self.cursor) if self.cursor is not None and self.has_focus else None
        if spot is not None:
            self._reveal(spot)
        self.refresh()
        self.post_message(self.SpotChanged(self, spot))

    def _reveal(self, spot: Spot) -> None:
        pinned = self.page.line(spot.line)[1]
        x, y, x_end = round(self.scroll_x), spot.line, spot.start + spot.width
        room = self.scrollable_content_region.width
        if spot.start >= pinned and spot.start - x < pinned:
            x = spot.start - pinned
        elif x_end + 1 - x > room:
            x = x_end + 1 - room
        top, height = round(self.scroll_y), self.scrollable_content_region.height
        top = min(top, max(0, y - 1)) if y <= top else max(top, y - height + 2)
        self.scroll_to(x, min(top, self.max_scroll_y), animate=False, immediate=True, force=True)

    def action_walk(self, rows: int, columns: int) -> None:
        if self.cursor is None:
            self.scroll_relative(x=columns * 4, y=rows, animate=False, immediate=True)
            return
        self.cursor = self.page.move(self.cursor, rows, columns)
        self._tell()

    def action_row_end(self, side: int) -> None:
        if self.cursor is not None:
            self.cursor = self.page.move(self.cursor, 0, side * self.page.blocks[self.cursor[0]].columns)
            self._tell()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        found = self.page.at(offset.y + round(self.scroll_y), offset.x, round(self.scroll_x))
        if found is not None:
            self.cursor = found
            self._tell()


def blocks_of(view: View) -> list[Block]:
    """What is drawn for a view: its sentence, its blocks, and how far they are from the model's own tensor."""
    blocks: list[Block] = [Note(view.sentence)] if view.sentence else []
    blocks += view.blocks
    if view.parity is not None:
        parity = view.parity
        delta = f"max |Δ| {significant(parity.max_delta, 2)} over {whole(parity.count)} numbers"
        blocks.append(Note(f"Checked against the model's own {parity.name}: {delta}."))
    return blocks
