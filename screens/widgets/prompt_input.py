"""A text field for a prompt, which may have line breaks although it is one line on screen."""

from textual import events
from textual.binding import Binding
from textual.widgets import Input

NEWLINE, TAB = "⏎", "⇥"
"""What stands for a line break and a tab in the field."""


def shown(text: str) -> str:
    """The text as it stands in the field: one line, whatever it holds."""
    return text.replace("\r\n", "\n").replace("\n", NEWLINE).replace("\t", TAB)


def meant(field: str) -> str:
    """The text that a field's content stands for."""
    return field.replace(NEWLINE, "\n").replace(TAB, "\t")


class PromptInput(Input):
    """`ctrl+j` puts a line break, drawn ⏎; pasted line breaks and tabs are kept."""

    BINDINGS = [
        Binding("ctrl+j", "newline", "Line break", id="prompt.newline", tooltip="Put a line break into the text, drawn ⏎")
    ]
    HELP = (
        "**The prompt.** Type text; `enter` shows it to the model, `escape` leaves it as it was. "
        "`ctrl+j` puts a line break, drawn ⏎."
    )

    @property
    def text(self) -> str:
        return meant(self.value)

    def action_newline(self) -> None:
        self.insert_text_at_cursor(NEWLINE)

    def _on_paste(self, event: events.Paste) -> None:
        start, end = sorted(self.selection)
        self.replace(shown(event.text), start, end)
        event.stop()
        event.prevent_default()
