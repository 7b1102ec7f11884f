"""The help screen (`?`): purpose of the screen in view and of the focused part, and every key."""

from rich.cells import cell_len
from rich.markdown import Markdown
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from screens.base_screen import LabScreen


class HelpScreen(ModalScreen[None]):
    """Help on a screen, with its keys from the active bindings. The app reuses one: making it is slower than a key may be."""

    BINDINGS = [
        Binding("escape,question_mark,q", "dismiss", "Close", id="help.close", tooltip="Close the help"),
        Binding("j,down", "scroll('down')", "Down", id="help.down", show=False),
        Binding("k,up", "scroll('up')", "Up", id="help.up", show=False),
    ]
    DEFAULT_CSS = """
    HelpScreen {
        align: center middle; background: $background;
        #help { width: 76; max-width: 100%; height: auto; max-height: 100%; border: round $primary; padding: 0 2; }
        #help { background: $surface; }
        #help-keys { margin: 1 0 0 0; }
    }
    """

    def explain(self, about: LabScreen) -> None:
        """Set the screen to explain; call this before pushing."""
        focused = about.focused
        # The focused widget may be a part, such as a field, of one that has a HELP.
        around = [node for node in focused.ancestors_with_self if isinstance(node, Widget)] if focused is not None else [about]
        words = "\n\n".join(node.HELP for node in around if node.HELP)
        self._title, self._words, self._keys = about.MODE.title(), Markdown(words), _keys_of(about)
        if self.is_mounted:
            self._fill()

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help") as box:
            box.border_subtitle = "Esc close"
            yield Static(id="help-words")
            yield Static(id="help-keys", markup=False)

    def on_mount(self) -> None:
        self._fill()

    def _fill(self) -> None:
        box = self.query_one("#help")
        box.border_title = f"{self._title}: help"
        box.scroll_home(animate=False)
        self.query_one("#help-words", Static).update(self._words)
        self.query_one("#help-keys", Static).update(self._keys)

    async def action_dismiss(self, result: None = None) -> None:
        self.dismiss(result)

    def action_scroll(self, direction: str) -> None:
        box = self.query_one("#help")
        if direction == "down":
            box.scroll_down(animate=False)
        else:
            box.scroll_up(animate=False)


def _keys_of(screen: LabScreen) -> str:
    """Every active key, those of one action on one line: `j down   Next line`."""
    keys: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for _node, binding, enabled, tooltip in screen.active_bindings.values():
        if not enabled or not (tooltip or binding.tooltip) or binding.system:
            continue
        keys.setdefault(binding.action, []).append(screen.app.get_key_display(binding))
        words[binding.action] = tooltip or binding.tooltip
    shown = {action: " ".join(dict.fromkeys(names)) for action, names in keys.items()}
    margin = min(18, max((cell_len(text) for text in shown.values()), default=0))
    return "\n".join(f"{text:<{margin}}  {words[action]}" for action, text in shown.items())
