"""The text box of Tokens: a text area that stays quick with 20,000 characters on one line."""

from rich.segment import Segment
from textual import events
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import Document, Selection

from lab.core.visible_text import visible
from screens.about_key import About, described, keyless
from screens.terminal.textual_internals import wrapped_row

MOST_CHARACTERS = 200_000
"""Most characters that the box takes: ten times what it must stay quick with. Longer pastes are cut, and the user is told."""

FREE = "e or enter edits"


class TextBox(TextArea):
    """Typing goes here once it is entered. The chosen token's characters are selected while the keys are free."""

    BORDER_TITLE = "text"
    HELP = (
        "**The text.** Type or paste; the tokens follow each key. `escape` frees the keys for the tokens, `e` comes back. "
        "`ctrl+z` undoes, also what `n` has put here."
    )
    BINDINGS = described(
        keyless("clear_text", "text.clear", "Empty the text box; ctrl+z brings the text back", "Clear"),
        About(synonyms="delete empty erase reset text"),
    )

    def __init__(self, example: str, *, id: str) -> None:
        """The example stands in the box, dim, while it is empty."""
        super().__init__(id=id, show_line_numbers=False, placeholder=example, soft_wrap=True, tab_behavior="focus")
        self.border_subtitle = FREE
        self.match_cursor_bracket = False
        self.highlight_cursor_line = False

    def render_line(self, y: int) -> Strip:
        """A row of the text. TextArea lays the whole line out for each of its rows, which takes 1 ms a row with 20,000 Chinese
        characters. The rows with the cursor, the selection or a tab are left to it."""
        found, base = wrapped_row(self, y + self.scroll_offset.y), self.rich_style
        if found is None or base.color is None or base.bgcolor is None:
            return super().render_line(y)
        index, section = found
        line = self.document.get_line(index)
        cuts = [0, *self.wrapped_document.get_offsets(index), len(line)]
        start, end = cuts[section], cuts[section + 1]
        first, last = sorted(self.selection)
        if "\t" in line or (first <= (index, end) and last >= (index, start)):
            return super().render_line(y)
        width = self.scrollable_content_region.width
        return Strip([Segment(visible(line[start:end]), base)]).adjust_cell_length(width, base)

    def replace_all(self, text: str) -> None:
        """Put another text into the box, so that `ctrl+z` brings the one before back."""
        self.replace(text[:MOST_CHARACTERS], (0, 0), self.document.end, maintain_selection_offset=False)
        self.move_cursor((0, 0))

    @property
    def character_before_cursor(self) -> int:
        """Place of the character before the cursor, 0 at the beginning."""
        return max(0, self._document.get_index_from_location(self.selection.end) - 1)

    def select_characters(self, first: int, end: int) -> None:
        size = len(self.text)
        self.selection = Selection(*(self._document.get_location_from_index(min(place, size)) for place in (first, end)))

    @property
    def _document(self) -> Document:
        assert isinstance(self.document, Document)
        return self.document

    def on_focus(self) -> None:
        """Leave nothing selected: a letter typed replaces no token that was only looked at."""
        self.selection = Selection.cursor(self.selection.end)
        self.border_subtitle = "typing goes here · escape leaves"

    def on_blur(self) -> None:
        self.border_subtitle = FREE

    def action_clear_text(self) -> None:
        self.replace_all("")

    def on_paste(self, event: events.Paste) -> None:
        """Cut what is longer than the box takes; TextArea's own handler, which is called next, inserts the rest of them."""
        room = max(0, MOST_CHARACTERS - len(self.document.text) + len(self.selected_text))
        if len(event.text) > room:
            self.notify(f"The box takes {MOST_CHARACTERS:,} characters; the end of the paste is left out.", severity="warning")
            event.prevent_default()
            self.replace(event.text[:room], *self.selection, maintain_selection_offset=False)
