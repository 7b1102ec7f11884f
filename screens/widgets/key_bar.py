"""The key bar: the keys of the focused part and of the screen, as many as fit on one line."""

from collections.abc import Iterator

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

ALWAYS = (("?", "help", "app.help"), ("^p", "palette", "app.command_palette"), ("q", "quit", "app.quit"))
"""Always shown at the right: they lead to all other keys."""


class KeyBar(Widget):
    """Like Textual's Footer, but drawn as one line: cheap to change; `…` marks keys that do not fit (`?` shows all)."""

    COMPONENT_CLASSES = {"key-bar--key", "key-bar--description"}
    DEFAULT_CSS = """
    KeyBar {
        dock: bottom; height: 1; background: $panel; color: $foreground;
        & > .key-bar--key { color: $footer-key-foreground; text-style: bold; }
        & > .key-bar--description { color: $foreground 80%; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._places: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self.refresh()

    def _keys(self) -> Iterator[tuple[str, str, str]]:
        seen: set[str] = set()
        first: tuple[str, ...] = getattr(self.screen, "FIRST_KEYS", ())
        rank = {id_: place for place, id_ in enumerate(first)}
        active = self.screen.active_bindings.values()
        # A focused widget's own keys stay in front of the screen's.
        ordered = sorted(active, key=lambda each: (each.node is self.screen, rank.get(each.binding.id or "", len(first))))
        for node, binding, enabled, _tooltip in ordered:
            if binding.show and enabled and binding.action not in seen and binding.description:
                seen.add(binding.action)
                namespace = "app." if node is self.app else "screen." if node is self.screen else ""
                action = binding.action if "." in binding.action or not namespace else namespace + binding.action
                yield self.app.get_key_display(binding), binding.description.lower(), action

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        key_style, text_style = (
            self.get_component_rich_style("key-bar--key"),
            self.get_component_rich_style("key-bar--description"),
        )
        width = self.size.width
        tail = [(key, text, action, cell_len(key) + cell_len(text) + 2) for key, text, action in ALWAYS]
        tail_width = sum(size for *_, size in tail) + len(tail)
        while tail_width > width and tail:
            tail_width -= tail.pop()[3] + 1
        segments: list[Segment] = []
        self._places = []
        at = 0
        for key, text, action in self._keys():
            size = cell_len(key) + cell_len(text) + 4
            if at + size + 2 > width - tail_width:
                segments.append(Segment(" …", text_style))
                at += 2
                break
            segments += [Segment(f" {key} ", key_style), Segment(f"{text}  ", text_style)]
            self._places.append((at, at + size, action))
            at += size
        segments.append(Segment(" " * (width - tail_width - at), base))
        at = width - tail_width
        for key, text, action, size in tail:
            segments += [Segment(f" {key} ", key_style), Segment(f"{text} ", text_style)]
            self._places.append((at, at + size + 1, action))
            at += size + 1
        return Strip(segments).adjust_cell_length(width, base)

    async def on_click(self, event: events.Click) -> None:
        for start, end, action in self._places:
            if start <= event.x < end:
                await self.app.run_action(action, self.screen.focused or self.screen)
                return
