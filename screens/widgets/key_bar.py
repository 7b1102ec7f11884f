"""The key bar: the keys of the focused part and of the screen that matter now, on one line; `…` shows the rest on two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, islice
from typing import NamedTuple, Protocol, runtime_checkable

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.strip import Strip
from textual.widget import Widget

from screens.background import DelayedCall
from screens.terminal.textual_internals import face_of

OPEN_LINES = 2
"""Lines of the bar when it shows the rest."""

SECONDS_TOLD = 2.0
"""Time that a word stands in place of the keys."""


@dataclass(frozen=True, repr=False)
class Key:
    """A key, its description and its action."""

    key: str
    text: str
    action: str
    gap: int = 1
    """Empty cells behind it."""
    node: DOMNode | None = field(default=None, compare=False)
    """The widget that has the action; None for the screen in view."""
    id: str = ""
    """The id of the binding whose key it is, where the user may have given it another."""

    @property
    def face(self) -> str:
        """The key as it is shown."""
        return face_of(self.id, self.key)

    @property
    def width(self) -> int:
        return cell_len(self.face) + cell_len(self.text) + 2 + self.gap


HELP, PALETTE = Key("?", "help", "app.help", id="app.help"), Key("^p", "palette", "app.command_palette", id="app.find")

ALWAYS = (HELP, PALETTE, Key("q", "quit", "app.quit", id="app.quit"))
"""Always shown at the right: they lead to all other keys."""

IN_FIELD = (PALETTE, Key("^q", "quit", "app.quit", id="app.quit_anywhere"))
"""Shown there while a text field or a dialog takes the letters; with help where a field leaves `?` alone."""

LEAVE, BACK = Key("esc", "leave field", "back", id="screen.back"), Key("esc", "back", "back", id="screen.back")
"""Shown while a text field takes the letters: leads to the keys that are letters; and on a screen over that of its mode."""

MORE, PAGE = (Key("^k", text, "screen.more_keys", id="screen.more_keys") for text in ("…", "1/1"))
"""Shown where keys do not fit: leads to the rest; and on each page of these, where it says which one it is."""


@runtime_checkable
class ShowsKeys(Protocol):
    """A screen that says which of its keys matter."""

    def rank_of(self, binding: Binding) -> int | None:
        """Keys of a lower rank come first, where not all fit; None where the key does nothing here and now."""


class Row(NamedTuple):
    """The keys of one line, from the left and from the right."""

    left: tuple[Key, ...]
    right: tuple[Key, ...] = ()


def pages_of(keys: list[Key], tail: Sequence[Key], width: int, lines: int) -> Iterator[list[Row]]:
    """The keys on so many lines a page, `tail` at the right of each last line; where they take several, a key leads to the next.

    They stand closer where not all fit on one page otherwise.
    """
    loose = list(islice(_fill([replace(each, gap=2) for each in keys], tail, width, lines), 2))
    yield from loose if len(loose) == 1 else _fill(keys, tail, width, lines)


def _fill(keys: list[Key], tail: Sequence[Key], width: int, lines: int) -> Iterator[list[Row]]:
    rest, more, leads_on = keys, False, MORE if lines == 1 else PAGE
    while True:
        page = [Row(taken) for taken in _lines(rest, width, lines - 1)]
        rest = rest[sum(len(row.left) for row in page) :]
        room = width - sum(each.width for each in tail)
        taken = _fitting(rest, room)
        if more := more or len(taken) < len(rest):
            taken = _fitting(rest, room - leads_on.width)
        page.append(Row((*taken, leads_on) if more else taken, tuple(tail)))
        yield page
        rest = rest[len(taken) :]
        if not rest or not any(row.left[0] is not leads_on for row in page if row.left):
            return


def _lines(keys: list[Key], width: int, lines: int) -> Iterator[tuple[Key, ...]]:
    for _ in range(lines):
        yield (taken := _fitting(keys, width))
        keys = keys[len(taken) :]


def _fitting(keys: list[Key], room: int) -> tuple[Key, ...]:
    """The first of the keys, as many as fit."""
    ends = accumulate(each.width for each in keys)
    return tuple(key for key, end in zip(keys, ends, strict=True) if end <= room)


class KeyBar(Widget):
    """Like Textual's Footer, but drawn as lines: cheap to change. `?` shows all keys, a sentence each."""

    COMPONENT_CLASSES = {"key-bar--key", "key-bar--description"}
    DEFAULT_CSS = """
    KeyBar {
        dock: bottom; height: 1; background: $panel; color: $foreground;
        &.-open { height: 2; margin: -1 0 0 0; }  /* over the last line of the view, which stays as it is */
        & > .key-bar--key { color: $footer-key-foreground; text-style: bold; }
        & > .key-bar--description { color: $foreground 80%; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._places: list[tuple[int, int, int, Key]] = []
        """Line, first cell and end of each key drawn."""
        self._page: int | None = None
        """Number of the page shown on two lines; None while the bar is one line."""
        self._opened_at: Widget | None = None
        """What had the focus when the first page was opened."""
        self._rows: list[Row] | None = None
        """The rows as laid out; None once something has changed."""
        self._told = ""
        self._telling = DelayedCall(self)

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)
        self.app.mode_change_signal.subscribe(self, lambda _: self.close() and None)

    def on_unmount(self) -> None:
        self.app.mode_change_signal.unsubscribe(self)  # which would keep the bar, and with it the screen

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self.update_keys()

    def update_keys(self) -> None:
        """Show the keys that matter now."""
        self._rows = None
        self.refresh()

    on_resize = update_keys

    def tell(self, word: str) -> None:
        """Show a word in place of the keys for a moment."""
        self._told = word
        if word:
            self._telling.start(SECONDS_TOLD, lambda: self.tell(""))
        self.update_keys()

    def open_next(self) -> None:
        """Show all keys on two lines; where these take several pages, the next one; after the last, one line again."""
        following = 0 if self._page is None else self._page + 1
        if self._page is None:
            self._opened_at = self.screen.focused
        self._show_page(following if following < len(list(self._pages(OPEN_LINES))) else None)

    @property
    def is_on_top(self) -> bool:
        """True if pages are shown, and no other part has the focus since they were opened."""
        return self._page is not None and self.screen.focused is self._opened_at

    def close(self) -> bool:
        """Show one line again. False if it was."""
        was_open = self._page is not None
        self._show_page(None)
        return was_open

    def _show_page(self, page: int | None) -> None:
        self._page = page
        self.set_class(page is not None, "-open")
        self.update_keys()

    @property
    def _field(self) -> Widget | None:
        """The text field that takes the letters; None if none has the focus."""
        focused = self.screen.focused
        return focused if focused is not None and focused.check_consume_key("a", "a") else None

    @property
    def _is_covered(self) -> bool:
        """True while a dialog is over the screen: it takes the keys."""
        return isinstance(self.app.screen, ModalScreen)

    def _keys(self) -> Iterator[Key]:
        if self._is_covered:
            return
        field = self._field
        seen = {LEAVE.action} if field is not None else set()
        shown: set[str] = set()
        screen = self.screen
        shows = screen if isinstance(screen, ShowsKeys) else None  # asked once: of a protocol it is slow
        active = screen.active_bindings.values()
        if field is None and len(self.app.screen_stack) > 1:
            yield BACK
        # A focused widget's own keys stay in front of the screen's.
        ranks = [0 if shows is None else shows.rank_of(each.binding) for each in active]
        mattering = [(each, rank) for each, rank in zip(active, ranks, strict=True) if rank is not None]
        for (node, binding, enabled, _), _rank in sorted(mattering, key=lambda pair: (pair[0].node is screen, pair[1])):
            if not binding.show or not enabled or binding.action in seen or not binding.description:
                continue
            seen.add(binding.action)
            face = self.app.get_key_display(binding)
            if field is not None and node is not field and all(len(part) == 1 and part.isascii() for part in face.split()):
                continue  # it would be typed; Textual knows that of letters, not of `slash`
            if face in shown:  # of another node, whose key it is now: only a second key of this one is left
                continue
            shown.add(face)
            yield Key(face, binding.description.lower(), binding.action, node=node)
        if field is not None and shows is not None:
            yield LEAVE

    def _tail(self) -> list[Key]:
        if self._is_covered:
            return list(IN_FIELD)
        field = self._field
        if field is None:
            return list(ALWAYS)
        return list(IN_FIELD) if field.check_consume_key("question_mark", "?") else [HELP, *IN_FIELD]

    def _pages(self, lines: int) -> Iterator[list[Row]]:
        width = self.size.width
        keys, tail = list(self._keys()), self._tail()
        while sum(each.width for each in tail) > width:
            tail.pop()
        return pages_of(keys, tail, width, lines)

    def _laid(self) -> list[Row]:
        if self._rows is None:
            if self._page is None:
                self._rows = next(self._pages(1))
            else:
                pages = list(self._pages(OPEN_LINES))
                at = min(self._page, len(pages) - 1)
                named = replace(PAGE, text=f"{at + 1}/{len(pages)}")
                self._rows = [row._replace(left=tuple(named if key is PAGE else key for key in row.left)) for row in pages[at]]
            self._places.clear()
            for line, row in enumerate(self._rows):
                for keys, at in ((row.left, 0), (row.right, self.size.width - sum(key.width for key in row.right))):
                    for key in keys:
                        self._places.append((line, at, at := at + key.width, key))
        return self._rows

    def render_line(self, y: int) -> Strip:
        base, width = self.rich_style, self.size.width
        key_style = self.get_component_rich_style("key-bar--key")
        text_style = self.get_component_rich_style("key-bar--description")

        def segments_of(keys: Sequence[Key]) -> list[Segment]:
            pairs = ((f" {key.face} ", key.text + " " * key.gap) for key in keys)
            return [Segment(text, style) for pair in pairs for text, style in zip(pair, (key_style, text_style), strict=True)]

        rows = self._laid()
        row = rows[y] if y < len(rows) else Row(())
        right = segments_of(row.right)
        room = width - sum(key.width for key in row.right)
        told = bool(self._told) and y == 0
        left = [Segment(f" {self._told}", text_style)] if told else segments_of(row.left)
        return Strip.join([Strip(left).adjust_cell_length(room, base), Strip(right)]).adjust_cell_length(width, base)

    async def on_click(self, event: events.Click) -> None:
        for line, start, end, key in self._places:
            if line == event.y and start <= event.x < end:
                await self.app.run_action(key.action, key.node or self.screen)
                return
