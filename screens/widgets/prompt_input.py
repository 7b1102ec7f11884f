"""The prompt field: one line on screen, with line breaks drawn ␊, and a history."""

from textual import events, work
from textual.binding import Binding
from textual.widgets import Input

HOW_TO_APPLY = "Enter apply · Ctrl+U clears · Esc cancel"
"""The keys of a field that opens with a text in it, the cursor at its end: typing adds to it."""
NEWLINE, TAB = "␊", "⇥"
"""Characters for a line break and a tab in the field."""

PICTURES = {code: chr(0x2400 + code) for code in range(32)} | {127: "␡"}
"""Unicode's pictures of the other control characters, which a terminal would act on."""
CONTROLS = {ord(picture): chr(code) for code, picture in PICTURES.items()}


def shown(text: str) -> str:
    """The text as the field shows it, on one line."""
    return _whole(text).replace("\r\n", "\n").replace("\n", NEWLINE).replace("\t", TAB).translate(PICTURES)


def meant(field: str) -> str:
    """The text of the field's content."""
    return _whole(field).replace(NEWLINE, "\n").replace(TAB, "\t").translate(CONTROLS)


def _whole(text: str) -> str:
    """The text with lone surrogates, which cannot be encoded, as �."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class PromptInput(Input):
    """`ctrl+j` inserts a line break; pasted line breaks and tabs are kept."""

    BINDINGS = [
        Binding("ctrl+j", "newline", "Line break", id="prompt.newline", tooltip="Insert a line break, drawn ␊"),
        Binding("up", "earlier(1)", "Earlier prompts", id="prompt.earlier", key_display="↑↓", tooltip="The previous prompt"),
        Binding("down", "earlier(-1)", "Later", id="prompt.later", show=False, tooltip="The next prompt"),
    ]
    HELP = (
        "**The prompt.** Type text; `enter` applies, `escape` cancels, `ctrl+u` clears. `ctrl+j` inserts a line break, drawn ␊. "
        "`↑` and `↓`: earlier prompts."
    )

    def __init__(self, value: str = "", *, id: str | None = None, select_on_focus: bool = False, of_prompts: bool = True) -> None:
        """Without `of_prompts` the field is not for a prompt, and `↑` offers none."""
        super().__init__(value, id=id, select_on_focus=select_on_focus)
        self._of_prompts = of_prompts
        self.history: list[str] = []
        """Earlier prompts, oldest first."""
        self._back = 0
        self._draft = ""

    def on_focus(self) -> None:
        self._back = 0
        if self._of_prompts:
            self._read_history()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._of_prompts if action == "earlier" else super().check_action(action, parameters)

    @work(thread=True, exclusive=True, group="history")
    def _read_history(self) -> None:
        from lab.inspect.prompt_history import read_history
        from lab.runs.home_folder import home

        self.history = read_history(home())

    def keep(self, text: str = "", *, run: str = "") -> None:
        """Add `text`, by default the field's, to the history, as the last prompt of `run`."""
        if text or self.text:
            self._remember(text or self.text, run)

    @work(thread=True, group="remember")
    def _remember(self, text: str, run: str) -> None:
        from lab.core.errors import UserError
        from lab.inspect.prompt_history import remember
        from lab.runs.home_folder import home

        try:
            self.history = remember(home(), text, run)
        except UserError as error:
            self.app.call_from_thread(self.notify, str(error), severity="warning", markup=False)

    def action_earlier(self, by: int) -> None:
        """Go `by` prompts back; the text being typed is kept as the newest."""
        back = min(max(self._back + by, 0), len(self.history))
        if back == self._back:
            return
        if self._back == 0:
            self._draft = self.value
        self._back = back
        self.value = shown(self.history[-back]) if back else self._draft
        self.cursor_position = len(self.value)

    @property
    def text(self) -> str:
        return meant(self.value)

    def action_newline(self) -> None:
        self.insert_text_at_cursor(NEWLINE)

    def on_paste(self, event: events.Paste) -> None:
        """Insert it. Terminals send the line breaks of what is pasted as carriage returns."""
        start, end = sorted(self.selection)
        self.replace(shown(event.text.replace("\r\n", "\n").replace("\r", "\n")), start, end)
        event.stop()
        event.prevent_default()
