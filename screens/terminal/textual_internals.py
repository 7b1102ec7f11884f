"""Textual's private parts that the lab touches: all of them stand here, each with what it buys.

Made for Textual 8.2.8. Milliseconds are processor time at 120x40, megabytes the memory of the screen's process. What buys less
than 5 ms has no place here. Tests hold what can be seen of them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

import rich.text
import textual.content
import textual.screen
import textual.strip
from rich._wrap import divide_line
from rich.console import Console
from rich.segment import Segment
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.binding import Binding
from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.driver import Driver
from textual.events import ScreenResume
from textual.geometry import Size
from textual.keys import format_key
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from lab.core.visible_text import visible, without_hidden
from screens.terminal.terminal_cells import terminal_cells
from screens.widgets.text_fitting import HAS_WIDE, wide_breaks

if TYPE_CHECKING:
    from textual.widgets import TextArea

SECONDS_BETWEEN_PAINTS = 0.005
"""Textual waits 17 to 33 ms after a paint; a key's answer from the engine comes within a few after what the key alone changes."""

STYLES_KEPT = 1024
"""Parsed style texts that are kept, more than there are classes of widgets. Textual keeps 64: the lab has more, and then each new
class has the styles of all parsed again: 50 to 90 ms of the first palette or help."""


class NoCache:
    """A cache that keeps nothing.

    Textual gives each painted line seven caches. The lab seldom asks for the same part of the same line again: without them a
    whole paint at 200x60 takes 6 ms less, and the screen 12 MB.
    """

    def get(self, key: object) -> None:
        """No value for any key."""

    def __setitem__(self, key: object, value: object) -> None:
        """Keep nothing."""


NO_CACHE = NoCache()


class ComponentStyles(dict[str, Any]):
    """The styles by component class, worked out when they are first asked for.

    Textual works all of them out for each widget, also the hidden ones, at each change of a class. Most are never painted: 12 ms
    of the first paint, 8 to 26 of the first visit to a mode.
    """

    def __init__(self, stylesheet: Stylesheet, node: DOMNode) -> None:
        super().__init__()
        self._stylesheet, self._node = stylesheet, ref(node)  # without a cycle, which would keep a removed widget

    def __contains__(self, name: object) -> bool:
        node = self._node()
        return node is not None and name in node._get_component_classes()

    def __missing__(self, name: str) -> Any:
        component = DOMNode(classes=name)
        node = self._node()
        assert node is not None
        component._attach(node)
        self._stylesheet.apply(component)
        self[name] = component.styles
        return component.styles


def _process_component_classes(stylesheet: Stylesheet, node: DOMNode) -> None:
    """Work out anew the styles that were asked for, and paint the widget again if one has changed."""
    if node._get_component_classes():
        before, after = node._component_styles, ComponentStyles(stylesheet, node)
        node._component_styles = after
        if [name for name, styles in before.items() if after[name] != styles]:
            node.refresh()


def _layout(update: LayoutUpdate, console: Console) -> str:
    terminal = terminal_cells(console)
    terminal.forget()  # a new size, or a screen that others have drawn on
    for y, line in enumerate(update.strips, update.region.y):
        x = update.region.x
        for strip in line:
            terminal.draw(y, x, strip, console)
            x += strip.cell_length
    return terminal.take()


def _chops(update: ChopsUpdate, console: Console) -> str:
    terminal = terminal_cells(console)
    for y, first, last in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is not None and x <= last and end > first:
                terminal.draw(y, x, strip if end <= last else strip.crop(0, last - x), console)
    return terminal.take()


def shown(text: str) -> str:
    """The text as a widget may show it, line breaks and tabs kept."""
    return visible(text.replace("\r\n", "\n"), keep="\n\t")


_draw = Strip.render


def _render(strip: Strip, console: Console) -> str:
    if all(segment.text.isprintable() for segment in strip):
        return _draw(strip, console)
    return _draw(Strip([Segment(without_hidden(text), style) for text, style, _ in strip]), console)


_screens_behind = cast(Callable[[App[Any]], list[Screen[Any]]], cast(property, App._background_screens).fget)


def _screens_in_sight(app: App[Any]) -> list[Screen[Any]]:
    """Those behind the screen in front: none behind one that covers all, which Textual would paint anew for each change there.

    The help over a running training answers 10 to 20 ms sooner at 200x60.
    """
    return [] if app.screen.styles.background.a == 1 else _screens_behind(app)


def _divide_line(text: str, width: int, fold: bool = True) -> list[int]:
    """Rich breaks lines at spaces alone, and where there are none in the midst of signs."""
    return wide_breaks(text, width) if fold and HAS_WIDE.search(text) else divide_line(text, width, fold)


def adapt_textual() -> None:
    """Paint soon and little, send only the cells that differ, and make control characters visible.

    A key sends 1.5 kB at 200x60 in place of 12 kB: 80 ms less on a line of 1 Mbit/s. A text, a file name or a sample may hold
    escape sequences: Rich and Textual clean a text before they measure it, by a function of their module that removes five
    characters; here all are made visible. A widget that draws its own segments does so itself; if one forgets to, the characters
    are missing on the screen.
    """
    App._background_screens = property(_screens_in_sight)  # type: ignore[assignment, method-assign]
    vars(textual.screen)["UPDATE_PERIOD"] = SECONDS_BETWEEN_PAINTS
    vars(textual.strip)["FIFOCache"] = lambda size: NO_CACHE
    vars(rich.text)["strip_control_codes"] = vars(textual.content)["_strip_control_codes"] = shown
    vars(textual.content)["divide_line"] = _divide_line
    Strip.render = _render  # type: ignore[assignment, method-assign]
    LayoutUpdate.render_segments = _layout  # type: ignore[assignment, method-assign]
    ChopsUpdate.render_segments = _chops  # type: ignore[assignment, method-assign]
    Stylesheet._process_component_classes = _process_component_classes  # type: ignore[assignment, method-assign]


def keep_parsed_styles(app: App[Any]) -> None:
    """Keep all style texts as parsed."""
    app.stylesheet._parse_cache = LRUCache(STYLES_KEPT)


def begin_with_theme(app: App[Any], name: str) -> None:
    """Choose the theme before the first paint, as setting it does, without parsing the styles once more."""
    app.set_reactive(App.theme, name)
    dark = app.current_theme.dark
    app.set_class(dark, "-dark-mode", update=False)
    app.set_class(not dark, "-light-mode", update=False)
    app.add_class(f"-theme-{name}", update=False)
    app._refresh_truecolor_filter(app.ansi_theme)
    app.stylesheet.set_variables(app.get_css_variables())


class QuickScreen(Screen[None]):
    """A screen whose styles are parsed once, and which is laid out once when it is new."""

    def __init__(self) -> None:
        super().__init__()
        self._css_update_count = 0
        """Textual counts from -1, and would parse the styles of a new screen twice: 40 ms of the first paint, 50 to 150 of a
        first visit to a mode."""
        self._styled_for = self._theme_and_classes

    @property
    def _theme_and_classes(self) -> tuple[str, frozenset[str]]:
        return self.app.theme, frozenset(self.app.classes)

    def _on_screen_resume(self, event: ScreenResume) -> None:
        """Style the widgets anew only if the theme is another. Textual does it each time: 2 to 4 ms."""
        styled_for, self._styled_for = self._styled_for, self._theme_and_classes
        event.refresh_styles = styled_for != self._styled_for

    def _screen_resized(self, size: Size) -> None:
        """Lay the screen out in a size that is new to it. Textual tells a new screen the same size four times: 3 to 13 ms."""
        if size != self._compositor.size:
            super()._screen_resized(size)


def is_being_removed(node: DOMNode) -> bool:
    """True from the moment that its removal begins; Textual cancels its work only when its children have gone already."""
    return node._pruning


def forget_watchers(app: App[Any]) -> None:
    """Let go of the screens and widgets that are closed and watched the app.

    Textual does so at the next change of what they watched. The language seldom changes, and each keeps its whole screen.
    """
    for watchers in getattr(app, "__watchers", {}).values():
        watchers[:] = [each for each in watchers if not each[0]._closing]


def tell_changes(widget: Widget) -> None:
    """Tell the screen at once what has changed inside: else a key paints its text first, and the answer 8 to 18 ms later."""
    for each in widget.walk_children(Widget):
        each._check_refresh()


def wrapped_row(area: TextArea, row: int) -> tuple[int, int] | None:
    """The line of a wrapped row, and the row's number in it; None below the last. Textual's public way lays the line out."""
    rows = area.wrapped_document._offset_to_line_info
    return rows[row] if row < len(rows) else None


def write_beside(app: App[Any], sequence: str) -> None:
    """Write a sequence that draws nothing, such as a bell, to the terminal; Textual has a public way for the bell alone."""
    if app._driver is not None:
        app._driver.write(sequence)


def write_to(driver: Driver, out: io.TextIOBase | None) -> None:
    """Let the driver write there. Textual's for Unix writes to stderr, which may be redirected."""
    vars(driver)["_file"] = out


own_keys: dict[str, str] = {}
"""The user's own keys by the id of their action, as the app's keymap has them."""


def face_of(id: str, face: str) -> str:
    """The user's own key of an action as it is shown; else `face`."""
    return format_key(own_keys[id].split(",")[0]) if id in own_keys else face


def bindings_by_key(owner: type[DOMNode]) -> dict[str, list[Binding]]:
    """The bindings of a class, possible now or not, merged with those of its bases as Textual does, with the user's own keys."""
    if owner._merged_bindings is None:
        return {}
    bindings = owner._merged_bindings
    if own_keys:
        bindings = bindings.copy()
        bindings.apply_keymap(own_keys)
    return bindings.key_to_bindings
