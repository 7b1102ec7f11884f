"""What leaving means while a run is training: nothing to the run, and the user is told so."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static


class QuitScreen(ModalScreen[None]):
    """Says which runs go on without the lab, and leaves or stays."""

    BINDINGS = [
        Binding("q,enter", "app.leave", "Leave", id="quit.leave", tooltip="Leave; training goes on"),
        Binding("escape", "dismiss", "Stay", id="quit.stay", tooltip="Stay in the lab"),
    ]
    DEFAULT_CSS = """
    QuitScreen {
        align: center middle;
        #quit { width: 60; max-width: 100%; height: auto; border: round $primary; background: $surface; padding: 1 2; }
    }
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names

    def compose(self) -> ComposeResult:
        what = f"{self._names[0]} goes on training" if len(self._names) == 1 else f"{len(self._names)} runs go on training"
        with Vertical(id="quit") as box:
            box.border_title = "Leave the lab?"
            yield Static(
                f"{what} when you leave: it does not need this terminal. Open the lab again to watch it.\n\n"
                "[b]q[/b] or [b]enter[/b]  leave        [b]escape[/b]  stay"
            )

    async def action_dismiss(self, result: None = None) -> None:
        self.dismiss(result)
