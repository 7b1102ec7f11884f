"""The text box of Tokens: a text area that stays quick with 20,000 characters on one line."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from rich.cells import get_character_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.document._document import Location
from textual.document._document_navigator import DocumentNavigator
from textual.document._wrapped_document import WrappedDocument
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import Selection

from lab.core.visible_text import visible

LONG_LINE = 1_000
"""Characters from which on a line is wrapped here: row by row, and only the rows that an edit may have changed."""


def next_break(line: str, width: int, start: int) -> int | None:
    """The break that ends the row which begins at `start`; None if the rest of the line fits. The line has no tabs.

    It stands before the word that does not fit with the whitespace behind it, or within a word that is longer than a row. It
    depends on the characters of this row and the next one alone.
    """
    end = start + width
    if not line.isascii():
        used, end = 0, start
        while end < len(line) and (used := used + get_character_cell_size(line[end])) <= width:
            end += 1
    if end >= len(line):
        return None
    for place in range(end, start, -1):
        if line[place - 1].isspace() and not line[place].isspace():
            return place
    return max(end, start + 1)


def wrap_offsets(line: str, width: int) -> list[int]:
    """All breaks of a line without tabs, as Textual's `compute_wrap_offsets` has them."""
    breaks: list[int] = []
    found = next_break(line, width, 0)
    while found is not None:
        breaks.append(found)
        found = next_break(line, width, found)
    return breaks


def wrap_edited(line: str, width: int, before: list[int], start: int, old_end: int, new_end: int) -> list[int]:
    """The breaks of a line whose characters [start, new_end) have replaced [start, old_end); `before` are those before that."""
    row, shift = bisect_right(before, start), new_end - old_end
    breaks = before[: max(0, row - 1)]
    found = next_break(line, width, breaks[-1] if breaks else 0)
    while found is not None:
        breaks.append(found)
        if found >= new_end:
            at = bisect_right(before, found - shift)
            if at and before[at - 1] == found - shift:
                return breaks + [place + shift for place in before[at:]]
        found = next_break(line, width, found)
    return breaks


class QuickWrappedDocument(WrappedDocument):
    """Wraps as Textual's does, and a long line by the row."""

    @property
    def height(self) -> int:
        return len(self._offset_to_line_info)

    def wrap_range(self, start: Location, old_end: Location, new_end: Location) -> None:
        row, one_line = start[0], start[0] == old_end[0] == new_end[0]
        line = self.document.get_line(row) if one_line and row < self.document.line_count else ""
        if len(line) < LONG_LINE or "\t" in line or self._width < 2 or self._tab_width_cache[row] != [0]:
            super().wrap_range(start, old_end, new_end)
            return
        old = self._line_index_to_offsets[row]
        first, last = sorted((start[1], old_end[1]))
        breaks = wrap_edited(line, self._width, self._wrap_offsets[row], first, last, new_end[1])
        top, number = old[0], len(breaks) + 1
        shift = number - len(old)
        self._wrap_offsets[row] = breaks
        self._line_index_to_offsets[row] = list(range(top, top + number))
        self._offset_to_line_info[top : top + len(old)] = [(row, section) for section in range(number)]
        if shift:
            for later in self._line_index_to_offsets[row + 1 :]:
                later[:] = [offset + shift for offset in later]


MOST_CHARACTERS = 200_000
"""Most characters that the box takes: ten times what it must stay quick with. Longer pastes are cut, and the user is told."""


class TextBox(TextArea):
    """Typing goes here as soon as the mode opens. The chosen token's characters are selected while the keys are free."""

    HELP = (
        "**The text.** Type or paste; the tokens follow each key. `escape` frees the keys for the tokens, `e` comes back. "
        "`ctrl+n` clears the box; `ctrl+z` undoes, also what `n`, `o` and `u` have put here."
    )
    BINDINGS = [
        Binding("ctrl+n", "clear_text", "Clear", id="text.clear", tooltip="Empty the text box; ctrl+z brings the text back"),
    ]

    def __init__(self, example: str, *, id: str) -> None:
        """The example stands in the box, dim, while it is empty."""
        super().__init__(id=id, show_line_numbers=False, placeholder=example, soft_wrap=True, tab_behavior="focus")
        self.match_cursor_bracket = False
        self.highlight_cursor_line = False

    def _set_document(self, text: str, language: str | None) -> None:
        super()._set_document(text, language)
        self.wrapped_document = QuickWrappedDocument(self.document, tab_width=self.indent_width)
        self.navigator = DocumentNavigator(self.wrapped_document)
        self._rewrap_and_refresh_virtual_size()

    def render_line(self, y: int) -> Strip:
        """A row of the text. TextArea styles, wraps and checks the whole line for each of its rows, which takes most of a key's
        time; a line with tabs, and the example, are left to it."""
        document, wrapped = self.document, self.wrapped_document
        row = y + self.scroll_offset.y
        if not document.lines[0] and document.line_count == 1:
            return super().render_line(y)
        width, theme = self.scrollable_content_region.width, self._theme
        base = theme.base_style if theme is not None and theme.base_style is not None else self.rich_style
        if row >= wrapped.height:
            return Strip.blank(width, base)
        index, section = wrapped._offset_to_line_info[row]
        line = document.get_line(index)
        if "\t" in line:
            return super().render_line(y)
        cuts = [0, *wrapped.get_offsets(index), len(line) + 1]
        start, end = cuts[section], cuts[section + 1]
        marks: list[tuple[int, int, Style]] = []
        (top, first), (bottom, last) = sorted(self.selection)
        if (top, first) != (bottom, last) and top <= index <= bottom and theme is not None and theme.selection_style:
            marked = theme.selection_style
            if not line and index != self.selection.end[0]:
                return Strip([Segment("▌", base + Style(color=marked.bgcolor))]).adjust_cell_length(width, base)
            marks.append((first if index == top else 0, last if index == bottom else len(line), marked))
        cursor_row, cursor = self.selection.end
        if cursor_row == index and self._draw_cursor and theme is not None and theme.cursor_style:
            marks.append((cursor, cursor + 1, theme.cursor_style))
        inside = [
            (max(0, mark - start), min(stop, end) - start, style) for mark, stop, style in marks if mark < end and stop > start
        ]
        return Strip(styled_segments((line + " ")[start:end], inside, base)).adjust_cell_length(width, base)

    def replace_all(self, text: str) -> None:
        """Put another text into the box, so that `ctrl+z` brings the one before back."""
        self.replace(text[:MOST_CHARACTERS], (0, 0), self.document.end, maintain_selection_offset=False)
        self.move_cursor((0, 0))

    @property
    def character_before_cursor(self) -> int:
        """Place of the character before the cursor, 0 at the beginning."""
        row, column = self.selection.end
        newline = len(self.document.newline)
        return max(0, sum(map(len, self.document.lines[:row])) + newline * row + column - 1)

    def select_characters(self, first: int, end: int) -> None:
        """Mark these characters of the text."""
        self.selection = Selection(self._location(first), self._location(end))

    def _location(self, place: int) -> tuple[int, int]:
        """Line and column of a character."""
        newline = len(self.document.newline)
        for row, line in enumerate(self.document.lines):
            if place <= len(line):
                return row, place
            place -= len(line) + newline
        return self.document.end

    def on_focus(self) -> None:
        """Leave nothing selected: a letter typed replaces no token that was only looked at."""
        self.selection = Selection.cursor(self.selection.end)
        self.border_subtitle = "typing goes here · escape frees the keys"

    def on_blur(self) -> None:
        self.border_subtitle = "e edit"

    def action_clear_text(self) -> None:
        self.replace_all("")

    def on_paste(self, event: events.Paste) -> None:
        """Cut what is longer than the box takes; TextArea's own handler, which is called next, inserts the rest of them."""
        room = max(0, MOST_CHARACTERS - len(self.document.text) + len(self.selected_text))
        if len(event.text) > room:
            self.notify(f"The box takes {MOST_CHARACTERS:,} characters; the end of the paste is left out.", severity="warning")
            event.prevent_default()
            self.replace(event.text[:room], *self.selection, maintain_selection_offset=False)


def styled_segments(text: str, marks: Sequence[tuple[int, int, Style]], base: Style) -> list[Segment]:
    """The text in segments, made fit to show; the style of each mark, from its first to before its last character, comes over
    those before it."""
    cuts = sorted({0, len(text), *(place for first, end, _ in marks for place in (first, end))})
    segments = []
    for start, end in pairwise(cuts):
        style = base
        for first, stop, over in marks:
            if first <= start and end <= stop:
                style += over
        segments.append(Segment(visible(text[start:end]), style))
    return segments
