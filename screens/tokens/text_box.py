"""The text box of Tokens: a text area that stays quick with 20,000 characters on one line."""

from collections.abc import Iterable, Sequence
from typing import TypeVar, overload

from rich.containers import Lines
from rich.text import Span, Text
from textual import events
from textual.binding import Binding
from textual.document._document_navigator import DocumentNavigator
from textual.widgets import TextArea
from textual.widgets.text_area import Selection

from screens.tokens.quick_wrap import QuickWrappedDocument

MOST_CHARACTERS = 200_000
"""Most characters that the box takes: ten times what it must stay quick with. Longer pastes are cut, and the user is told."""


class TextBox(TextArea):
    """Typing goes here as soon as the mode opens. The chosen token's characters are selected while the keys are free."""

    HELP = (
        "**The text.** Type or paste; the tokens follow each key. `escape` frees the keys for the tokens, `e` comes back. "
        "`ctrl+z` undoes, also what `n`, `o` and `u` have put here."
    )
    BINDINGS = [
        Binding("ctrl+l", "clear_text", "Clear", id="text.clear", tooltip="Empty the text box; ctrl+z brings the text back"),
    ]

    def __init__(self, example: str, *, id: str) -> None:
        """The example stands in the box, dim, while it is empty."""
        super().__init__(id=id, show_line_numbers=False, placeholder=example, soft_wrap=True, tab_behavior="focus")
        self.match_cursor_bracket = False
        self.highlight_cursor_line = False
        self._line_drawn = ("", "")
        """The line drawn last, and its text as it can be shown: a long one is drawn in many sections."""

    def _set_document(self, text: str, language: str | None) -> None:
        super()._set_document(text, language)
        self.wrapped_document = QuickWrappedDocument(self.document, tab_width=self.indent_width)
        self.navigator = DocumentNavigator(self.wrapped_document)
        self._rewrap_and_refresh_virtual_size()

    def get_line(self, line_index: int) -> Text:
        line = self.document.get_line(line_index)
        if line is not self._line_drawn[0]:
            self._line_drawn = (line, Text(line).plain)
        return _made(_LineInSections(end="", no_wrap=True), self._line_drawn[1])

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
        self.border_subtitle = "Esc leave"

    def on_blur(self) -> None:
        self.border_subtitle = "e edit"

    def action_clear_text(self) -> None:
        self.replace_all("")

    def _on_paste(self, event: events.Paste) -> None:  # type: ignore[override]
        """Cut what is longer than the box takes; TextArea's own handler, which is called next, inserts the rest of them."""
        room = max(0, MOST_CHARACTERS - len(self.document.text) + len(self.selected_text))
        if len(event.text) > room:
            self.notify(f"The box takes {MOST_CHARACTERS:,} characters; the end of the paste is left out.", severity="warning")
            event.prevent_default()
            self.replace(event.text[:room], *self.selection, maintain_selection_offset=False)


TextKind = TypeVar("TextKind", bound=Text)


def _made(text: TextKind, plain: str, spans: Sequence[Span] = ()) -> TextKind:
    """An empty text with this content, which has been made fit to show: checking it again takes most of a key's time."""
    text._text, text._length, text._spans = [plain], len(plain), list(spans)
    return text


class _LineInSections(Text):
    """A line whose wrapped sections are made when they are asked for: TextArea divides the whole line for each one in sight."""

    def divide(self, offsets: Iterable[int]) -> Lines:
        return _Sections(self.plain, self.spans, [0, *offsets, len(self.plain)])  # type: ignore[return-value]


class _Sections(Sequence[Text]):
    """The parts of a line between the cuts."""

    def __init__(self, plain: str, spans: Sequence[Span], cuts: list[int]) -> None:
        self._plain, self._spans, self._cuts = plain, spans, cuts

    def __len__(self) -> int:
        return len(self._cuts) - 1

    @overload
    def __getitem__(self, index: int) -> Text: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Text]: ...
    def __getitem__(self, index: int | slice) -> Text | Sequence[Text]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        start, end = self._cuts[index], self._cuts[index + 1]
        spans = [
            Span(max(0, span.start - start), min(end, span.end) - start, span.style)
            for span in self._spans
            if span.start < end and span.end > start
        ]
        return _made(Text(end=""), self._plain[start:end], spans)
