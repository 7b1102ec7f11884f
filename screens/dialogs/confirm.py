"""A dialog with a yes-or-no question."""

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class ConfirmDialog(ModalScreen[bool]):
    """Returns True on enter or on the key that opened it, False on escape. `yes` and `no` label the two."""

    BINDINGS = [Binding("enter", "answer(True)", "Yes", id="ask.yes"), Binding("escape,n", "answer(False)", "No", id="ask.no")]
    DEFAULT_CSS = """
    ConfirmDialog {
        align: center middle;
        #ask { width: 64; max-width: 100%; height: auto; border: round $primary; background: $surface; padding: 1 2; }
        #ask-keys { margin: 1 0 0 0; text-style: bold; }
    }
    """

    def __init__(self, title: str, words: str, *, key: str, yes: str, no: str = "cancel", by_enter: bool = True) -> None:
        """Without `by_enter`, for what cannot be undone, only the key that opened the dialog confirms."""
        super().__init__()
        self._title, self._words = title, words
        self._yes, self._no = f"{key} or Enter {yes}" if by_enter else f"{key} again {yes}", f"Esc {no}"
        if not by_enter:
            del self._bindings.key_to_bindings["enter"]
        self._bindings.bind(key, "answer(True)", show=False)

    def compose(self) -> ComposeResult:
        with Vertical(id="ask") as box:
            box.border_title = self._title
            yield Static(self._words, markup=False)
            links = "[@click=screen.answer(True)]$yes[/] · [@click=screen.answer(False)]$no[/]"
            yield Static(Content.from_markup(links, yes=self._yes, no=self._no), id="ask-keys")

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)
