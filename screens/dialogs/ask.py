"""Dialogs that ask: a yes-or-no question, a line of text, a run of a list."""

from collections.abc import Callable, Iterable
from typing import ClassVar, TypeVar

from rich.cells import cell_len
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from screens.widgets.prompt_input import HOW_TO_APPLY, PromptInput, shown

T = TypeVar("T")


class ConfirmDialog(ModalScreen[bool]):
    """Returns True on enter or on the key that opened it, False on escape. `yes` and `no` label the two."""

    BINDINGS = [Binding("escape,n", "answer(False)", "No", id="ask.no")]
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
        self._yes_keys = {key, "enter"} if by_enter else {key}
        self._yes, self._no = f"{key} or Enter {yes}" if by_enter else f"{key} again {yes}", f"Esc {no}"

    def compose(self) -> ComposeResult:
        with Vertical(id="ask") as box:
            box.border_title = self._title
            yield Static(self._words, markup=False)
            links = "[@click=screen.answer(True)]$yes[/] · [@click=screen.answer(False)]$no[/]"
            yield Static(Content.from_markup(links, yes=self._yes, no=self._no), id="ask-keys")

    def on_key(self, event: events.Key) -> None:
        if event.key in self._yes_keys:
            event.stop()
            self.action_answer(True)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class AskText(ModalScreen[str | None]):
    """Returns the text on enter, None on escape. `refuse` gives the reason why an answer is invalid, or an empty string."""

    BINDINGS = [Binding("escape", "dismiss", "Cancel", id="ask-text.leave", tooltip="Cancel")]
    DEFAULT_CSS = """
    AskText {
        align: center middle;
        #ask-text { width: 72; max-width: 100%; height: auto; border: round $primary; background: $surface; padding: 0 2; }
        #ask-text Input { border: round $foreground 30%; background: $surface; }
        #ask-text Input:focus { border: round $accent; }
        #ask-text-words { margin: 1 0; }
        #ask-text-error { color: $error; text-style: bold; display: none; }
        #ask-text-error.-shown { display: block; }
    }
    """

    def __init__(
        self,
        title: str,
        words: str,
        value: str = "",
        *,
        draft: str = "",
        refuse: Callable[[str], str] = lambda _: "",
        select: bool = False,
        of_prompts: bool = False,
    ) -> None:
        """With `select`, for a number or an example, typing replaces `value`; with `of_prompts`, `↑` offers earlier prompts.
        A `draft` is shown in the place of `value`: it was typed before, and would be lost."""
        super().__init__()
        self._of_prompts = of_prompts
        self._title, self._words = title, words
        self._value, self._draft, self._refuse, self._select = value, draft, refuse, select

    def compose(self) -> ComposeResult:
        with Vertical(id="ask-text") as box:
            box.border_title = Text(self._title)
            box.border_subtitle = HOW_TO_APPLY
            yield Static(self._words, id="ask-text-words", markup=False)
            yield PromptInput(shown(self._draft or self._value), select_on_focus=self._select, of_prompts=self._of_prompts)
            yield Static("", id="ask-text-error", markup=False)

    def would_be_lost(self) -> str:
        return "the text being typed" if self.query_one(PromptInput).text != self._value else ""

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = self.query_one(PromptInput).text
        problem = self._refuse(text)
        if problem:
            line = self.query_one("#ask-text-error", Static)
            line.update(problem)
            line.add_class("-shown")
        else:
            self.dismiss(text)


class Choices(OptionList):
    """A list to choose from, in which `j` and `k` move as the arrows do."""

    BINDINGS = [
        Binding("down,j", "cursor_down", "Down", id="choices.down", show=False),
        Binding("up,k", "cursor_up", "Up", id="choices.up", show=False),
    ]


class ListDialog(ModalScreen[T]):
    """A list over the screen, with the cursor on one of its lines; a subclass says what a choice does."""

    LIST: ClassVar[type[OptionList]] = Choices
    DEFAULT_CSS = """
    ListDialog {
        align: center middle;
        OptionList { width: 64; max-width: 100%; height: auto; max-height: 80%; border: round $primary; background: $surface; }
    }
    """

    def __init__(self, lines: Iterable[str], title: str, words: str, at: int = 0) -> None:
        """`words` stand in the lower border."""
        super().__init__()
        self._lines, self._title, self._words, self._at = lines, title, words, at

    def compose(self) -> ComposeResult:
        chooser = self.LIST(*map(Option, self._lines), markup=False)
        chooser.border_title, chooser.border_subtitle = Text(self._title), Text(self._words)
        yield chooser

    def on_mount(self) -> None:
        chooser = self.query_one(OptionList)
        chooser.highlighted = self._at
        chooser.focus()


class RunChooser(ListDialog[str | None]):
    """Returns the name of the chosen run, or None on escape."""

    BINDINGS = [Binding("escape,q", "dismiss", "Close", id="runs.close", tooltip="Cancel")]

    def __init__(self, runs: list[tuple[str, str]], current: str, title: str = "choose a run") -> None:
        """`runs` are pairs of a run's name and its description."""
        self._names = [name for name, _ in runs]
        width = max(map(cell_len, self._names), default=0)
        lines = [f"{'▸' if name == current else ' '} {name}{' ' * (width - cell_len(name))}  {words}" for name, words in runs]
        at = self._names.index(current) if current in self._names else 0
        super().__init__(lines, title, "Enter choose · Esc close", at)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._names[event.option_index])
