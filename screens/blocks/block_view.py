"""The widget that draws a view, with a cell cursor on its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from lab.core.number_format import whole
from lab.core.visible_text import visible
from lab.views.blocks import MatrixPanels, View
from screens.about_key import About, described
from screens.blocks.block_layout import Spot
from screens.blocks.piece_view import BlockPieceView
from screens.blocks.view_layout import CellCursor, Page, lay_view, parity_badge, text_of
from screens.colour import HALF_BLOCK, palette_of


def scrolled_sideways(pinned: Strip, rest: Strip, left: int, width: int, cuts: Sequence[int], more: Strip, base: Style) -> Strip:
    """The pinned part of a line and the rest, scrolled by `left` and cut at `cuts` if there are any, with `more` there."""
    fixed = pinned.cell_length
    end = left + max(0, width - fixed)
    is_cut = rest.cell_length > end
    whole = [cut for cut in cuts if left < cut <= end]
    rest = rest.crop(left, whole[-1] if is_cut and whole else end)
    if left and rest.cell_length and left in cuts:
        pinned = Strip.join([pinned.crop(0, fixed - 1), more])
    elif left and rest.cell_length:
        rest = Strip.join([more, rest.crop(1)])
    strip = Strip.join([pinned, rest]).adjust_cell_length(width, base)
    return Strip.join([strip.crop(0, width - 1), more]) if is_cut else strip


def out_of_sight(above: int, below: int) -> str:
    """Lines out of sight and the key that leads to them: `↓ 12 more lines · PgDn`."""
    if below:
        return f"↓ {whole(below)} more line{'s' if below > 1 else ''} · PgDn"
    return f"↑ {above} line{'s' if above > 1 else ''} · PgUp" if above else ""


LEAST_OF_PICTURE = 5
"""Lines of the first picture in sight without which a view is scrolled to the selected one."""


class BlockView(BlockPieceView):
    """Shows a `View`: title and parity in the border, sentence, blocks. Only lines in sight are laid out."""

    HELP = "**The view.** Below: the number's name and full value. `✓` in the border: the numbers match the model's own tensor."
    BINDINGS: ClassVar[list[BindingType]] = described(
        Binding("down,j", "move(1,0)", "Move", id="view.down", key_display="↑↓←→", tooltip="The number below"),
        About("Live view", words="from number to number", also=("view.up", "view.left", "view.right")),
        Binding("up,k", "move(-1,0)", "Up", id="view.up", show=False, tooltip="The number above"),
        Binding("left,h", "move(0,-1)", "Left", id="view.left", show=False, tooltip="The number to the left"),
        Binding("right,l", "move(0,1)", "Right", id="view.right", show=False, tooltip="The number to the right"),
        Binding("home", "row_end(-1)", "Row start", id="view.row_start", show=False, tooltip="First number of the row"),
        About("Live view", words="ends of the row", also=("view.row_end",)),
        Binding("end", "row_end(1)", "Row end", id="view.row_end", show=False, tooltip="Last number of the row"),
    )

    @dataclass
    class SpotChanged(Message):
        """The cursor moved to another number, or to none."""

        spot: Spot | None

    @dataclass
    class WidthChanged(Message):
        """The width of the view changed."""

        width: int

    remark: reactive[str] = reactive("", repaint=False)
    """Words in the lower border, behind the parity."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.view: View | None = None
        self.beside: View | None = None
        """A view of the same stage beside this one, laid out alike."""
        self.laid = Page([], 1)
        self.cursor: CellCursor | None = None
        self.holds_cursor = False
        """True to keep the cursor visible, and on its number, while the focus is elsewhere."""
        self._strips: dict[tuple[int, int], Strip] = {}
        self._title, self._laid_for, self._height, self._paints = "", 0, 0, False
        self._followed: CellCursor | None = None
        self._followed_line = self._panel = 0
        self._clicked: CellCursor | None = None  # the number that was clicked on last

    def show(self, view: View) -> None:
        """Draw a view; one of the same stage keeps scroll position and cursor."""
        same, seen = self.view is not None and view.stage == self.view.stage, self.laid.shows_row(self.top, self.window)
        held = self.laid.spot(self.cursor).ref if same and self.holds_cursor and self.cursor is not None else ""
        self.view = view
        self.wait(False)
        self._lay_blocks()
        if not same:
            self._clicked = None
            self.cursor = self.laid.first() if self.has_focus else None
            self.top = self.left = 0
        elif self.cursor is not None:
            self._return_to(held, self.cursor)
        followed = self.laid.followed()
        keeps = self.laid.follows_row and self.has_focus
        if followed is not None and followed != self._followed and not (same and keeps):
            if not same:
                self._open_at(followed)
            else:
                self._reveal_followed(followed, margin=1)
                self.cursor = followed if self.cursor is not None else None
        elif followed is not None and same:  # a sentence above it may have grown
            if self.top:
                self.top += self.laid.spot(followed).line - self._followed_line
            elif seen and not self.has_focus:
                self._reveal(self.laid.spot(followed), margin=0)
        self._followed, self._followed_line = followed, self.laid.spot(followed).line if followed is not None else 0
        self._tell()

    def clear(self) -> None:
        """Take the view away, with its cursor."""
        self.view = self.cursor = self._clicked = self._followed = None
        self.laid, self._strips, self.top, self.left = Page([], 1), {}, 0, 0
        self.wait(False)
        self.set_extent(0, 0)
        self._tell()

    def stand_beside(self, view: View | None) -> None:
        """Lay out like `view`, which is beside this one; None lays out this one alone."""
        if view is not self.beside:
            self.beside = view
            self._lay_out_anew()

    @property
    def spot(self) -> Spot | None:
        """The number under the cursor; None if there is none or the focus is elsewhere."""
        return self.laid.spot(self.cursor) if self.cursor is not None and self.has_focus else None

    def text_to_copy(self) -> str:
        """The number under the cursor; without a cursor the whole view."""
        return text_of(self.laid) if self.spot is None else self.spot.exact

    def place(self, cursor: CellCursor) -> None:
        """Move the cursor to a place, if the view has it."""
        if self.laid.has(cursor):
            self.cursor = cursor
            self._tell()

    def wait(self, waiting: bool) -> None:
        """Mark the view as outdated until the next one comes."""
        title = (self.view.title if self.view is not None else "") + (" …" if waiting else "")
        if title != self._title:
            self._title = title
            self.border_title = Text(title)  # A Text is no markup: a label may hold brackets.

    def border_words(self, above: int, below: int) -> str:
        parity = self.view.parity if self.view is not None else None
        rest = [word for word in (self.remark, out_of_sight(above, below)) if word]
        if parity is None:
            return " · ".join(rest)
        words, short = (" · ".join((parity_badge(parity, short=each), *rest)) for each in (False, True))
        if self.remark and cell_len(short) > self.room:
            return f"{parity_badge(parity, short=True)} · {self.remark}"
        return words if cell_len(words) <= self.room else short

    def watch_remark(self) -> None:
        self._update_border()

    def _lay_blocks(self) -> None:
        self._laid_for = self.room
        self._strips = {}
        if self.view is not None:
            self._paints = palette_of(self).paints
            self.laid = lay_view(self.view, self.room, self.beside, self._paints, self._panel, self.window)
            self.set_extent(self.laid.height, self.laid.width)
            self._point()

    def _lay_out_anew(self) -> None:
        """Lay out the same view; the cursor stays on its number."""
        held = self.laid.spot(self.cursor).ref if self.cursor is not None else ""
        self._lay_blocks()
        if self.cursor is not None:
            self._return_to(held, self.cursor)
        self._tell()

    def _return_to(self, ref: str, near: CellCursor) -> None:
        """Put the cursor on the number of this name; where it is not shown, or has no name, on the same place or the first."""
        self.cursor = (self.laid.find_ref(ref, near) if ref else None) or (near if self.laid.has(near) else self.laid.first())

    @property
    def has_panels(self) -> bool:
        """True if the view has matrices that can be seen one at a time."""
        return self.view is not None and any(isinstance(block, MatrixPanels) for block in self.view.blocks)

    def next_panel(self) -> None:
        """Show the next of several matrices, or all of them."""
        self._panel += 1
        self._lay_out_anew()
        if (followed := self.laid.followed()) is not None:
            self._reveal_followed(followed, margin=1)
        self._tell()

    def _point(self) -> None:
        """Let the blocks follow the cursor, where it is visible."""
        visible_cursor = self.cursor if self.has_focus or self.holds_cursor else None
        for index, (block, top) in enumerate(zip(self.laid.blocks, self.laid.tops, strict=True)):
            is_here = visible_cursor is not None and visible_cursor[0] == index and self.laid.has(visible_cursor)
            if lines := block.point(visible_cursor[1:] if is_here and visible_cursor is not None else None):
                changed = range(top + lines.start, top + lines.stop)
                self._strips = {key: strip for key, strip in self._strips.items() if key[0] not in changed}

    def lay_out(self) -> None:
        fills = self.view is not None and self.view.fill is not None and self.window != self._height
        seen, self._height = self.laid.shows_row(self.top, self._height), self.window
        if self.room != self._laid_for or fills:
            self._lay_out_anew()
            self.post_message(self.WidthChanged(self.room))
        if not self.top:
            self.show_head()  # nobody has scrolled yet, and there may be less room now
        if (kept := self.cursor if self.has_focus else self.laid.followed() if seen else None) is not None:
            self._reveal(self.laid.spot(kept), margin=0)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()
        if self.view is not None and palette_of(self).paints != self._paints:
            self._lay_out_anew()

    def line_at(self, y: int) -> int:
        stuck = self.laid.stuck_at(self.top)
        return stuck[y] if y < len(stuck) else self.top + y

    def draw(self, line: int) -> Strip:
        key = (line, self.left)
        if (strip := self._strips.get(key)) is None:
            strip = self._strips[key] = self._strip(self.laid, *key)
        return self._with_cursor(strip, line)

    def _strip(self, page: Page, line: int, left: int) -> Strip:
        width, base = self.room, self.style_of("")
        laid, pinned_width = page.line(line)
        pinned = Strip([Segment(visible(text), self.piece_style(kind)) for text, kind in laid.pinned], pinned_width)
        rest = Strip([Segment(visible(text), self.piece_style(kind)) for text, kind in laid.pieces])
        if left or pinned_width + rest.cell_length > width:
            more = Segment("…", self.piece_style("dim"))
            return scrolled_sideways(pinned, rest, left, width, page.cuts_at(line), Strip([more]), base)
        return Strip.join([pinned, rest]).adjust_cell_length(width, base)

    def _with_cursor(self, strip: Strip, line: int) -> Strip:
        cursor = self.cursor if self.has_focus or self.holds_cursor else None
        if cursor is None or (spot := self.laid.spot(cursor)).line != line:
            return strip
        pinned = self.laid.line(line)[1]
        marked, base = self.get_component_rich_style("block--cursor", partial=True), self.style_of("")
        for first, width in ((spot.start, spot.width), *spot.also):
            start = first if first < pinned else max(pinned, first - self.left)
            end = start + width
            under = _under_cursor(strip.crop(start, end), spot, marked, base)
            strip = Strip.join([strip.crop(0, start), under, strip.crop(end)])
        return strip

    def watch_has_focus(self, has_focus: bool) -> None:
        super().watch_has_focus(has_focus)
        self.cursor = self.cursor or (self.laid.first() if has_focus else None)
        self._tell()

    def _tell(self) -> None:
        self._point()
        if (spot := self.spot) is not None:
            self._reveal(spot)
        self.refresh()
        self.post_message(self.SpotChanged(spot))

    def _open_at(self, followed: CellCursor) -> None:
        """Show the view from the top. Without matrices it is scrolled to the selected cell where that, or enough of the first
        picture, is not in sight then, but not to the middle of the sentence above."""
        spot, sentence = self.laid.spot(followed), self.laid.tops[min(1, followed[0])]
        spot = spot if spot.height == 1 else self.laid.spot((followed[0], 0, 0))
        if not self.laid.follows_row and spot.line + min(spot.height, LEAST_OF_PICTURE) > self.window:
            self._reveal_followed(followed, margin=0)
            self.top = sentence if self.top < sentence else self.top

    def show_head(self) -> None:
        """Scroll to the head, or to the selected picture, where too little of the first would be in sight below the head."""
        self.top = 0
        if (followed := self.laid.followed()) is not None and self.laid.spot(followed).height > 1:
            self._open_at(followed)

    def _reveal_followed(self, followed: CellCursor, margin: int) -> None:
        """Show the selected cell and, where both fit, the table below its matrices."""
        self.show_line(self.laid.end_with_table_below(followed, self.window))
        self._reveal(self.laid.spot(followed), margin)

    def _reveal(self, spot: Spot, margin: int = 1) -> None:
        """Scroll the least that shows a number and `margin` lines beyond it."""
        pinned = self.laid.line(spot.line)[1]
        if spot.start + spot.width <= pinned:
            pass
        elif spot.start - self.left < pinned + 1:
            before = spot.start - pinned - 1
            self.left = max((cut for cut in self.laid.cuts_at(spot.line) if cut <= before), default=before)
        elif spot.start + spot.width + 1 - self.left > self.room:
            after = spot.start + spot.width + 1 - self.room
            self.left = min((cut for cut in self.laid.cuts_at(spot.line) if cut >= after), default=after)
        self.show_line(spot.line + spot.height - 1, margin=margin)
        self.show_line(spot.line, margin=margin)
        while (stuck := self.laid.stuck_at(self.top)) and stuck.stop <= spot.line <= self.top + len(stuck):
            self.top = spot.line - 1 - len(stuck)

    def action_move(self, rows: int, columns: int) -> None:
        if self.cursor is None:
            self.top += rows
        else:
            self.place(self.laid.move(self.cursor, rows, columns))

    def action_row_end(self, side: int) -> None:
        if self.cursor is not None:
            self.place(self.laid.move(self.cursor, 0, side * self.laid.blocks[self.cursor[0]].columns))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the number clicked on. Enter on it is a second click, or the first where it leads elsewhere."""
        offset = event.get_content_offset(self)
        if offset is None or (found := self.laid.at(self.line_at(offset.y), offset.x, self.left, self.cursor)) is None:
            return
        is_again = self._clicked is not None and self._clicked == self.cursor and (found == self._clicked or event.chain > 1)
        if not is_again:
            self.place(found)
        self._clicked = None if is_again else found
        if is_again or self.laid.spot(found).destination is not None:
            self.app.simulate_key("enter")


def _under_cursor(strip: Strip, spot: Spot, marked: Style, base: Style) -> Strip:
    """The cells of a number with the cursor on them: text reversed, a painted cell or half in the colour of text."""
    if spot.part == "text":
        return strip.apply_style(marked)
    if spot.part == "cell":
        cell = base + Style(reverse=True, bold=True)
        return Strip([Segment(text, cell) for text, _, _ in strip])
    segments = []
    for text, style, _ in strip:
        upper, lower = (style.color, style.bgcolor) if style is not None and text.strip() else (base.bgcolor, base.bgcolor)
        halves = (base.color, lower) if spot.part == "upper" else (upper, base.color)
        segments.append(Segment(HALF_BLOCK * len(text), Style(color=halves[0], bgcolor=halves[1])))
    return Strip(segments)
