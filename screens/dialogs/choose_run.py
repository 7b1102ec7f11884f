"""A dialog that lists the runs to choose one."""

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option


class RunChooser(ModalScreen[str | None]):
    """Returns the name of the chosen run, or None on escape."""

    BINDINGS = [
        Binding("escape,q", "dismiss", "Close", id="runs.close", tooltip="Cancel"),
        Binding("j", "cursor(1)", "Down", id="runs.down", show=False),
        Binding("k", "cursor(-1)", "Up", id="runs.up", show=False),
    ]
    DEFAULT_CSS = """
    RunChooser {
        align: center middle;
        OptionList { width: 64; max-width: 100%; height: auto; max-height: 80%; border: round $primary; background: $surface; }
    }
    """

    def __init__(self, names: list[tuple[str, str]], current: str, title: str = "choose a run") -> None:
        """`names` are pairs of a run's name and its description."""
        super().__init__()
        self._names = names
        self._current = current
        self._title = title

    def compose(self) -> ComposeResult:
        width = max((len(name) for name, _ in self._names), default=0)
        options = [
            Option(f"{'▸' if name == self._current else ' '} {name:<{width}}  {words}", id=str(index))
            for index, (name, words) in enumerate(self._names)
        ]
        chooser = OptionList(*options, markup=False)
        chooser.border_title = Text(self._title)
        chooser.border_subtitle = "Enter choose · Esc close"
        yield chooser

    def on_mount(self) -> None:
        chooser = self.query_one(OptionList)
        chooser.highlighted = next((i for i, (name, _) in enumerate(self._names) if name == self._current), 0)
        chooser.focus()

    def action_cursor(self, by: int) -> None:
        chooser = self.query_one(OptionList)
        if by > 0:
            chooser.action_cursor_down()
        else:
            chooser.action_cursor_up()

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._names[event.option_index][0])

    async def action_dismiss(self, result: str | None = None) -> None:
        self.dismiss(result)
