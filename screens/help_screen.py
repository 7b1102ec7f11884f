"""The help screen (`?`): the keys of the screen in view, found by typing and done by enter; one key further, its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import zip_longest

from rich.cells import cell_len
from rich.markdown import Markdown
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from lab.lessons.glossary import glossary
from screens.action_index import with_keys
from screens.base_screen import LabScreen
from screens.help_rows import Found, Row, Section, sections_of, term_row
from screens.key_map import key_table
from screens.terminal.textual_internals import QuickScreen
from screens.widgets.line_scroll_view import LineScrollView
from screens.widgets.text_fitting import Piece, fit, painted_line, wrap

WIDTH, FRAME = 100, 7
"""Columns of the box, and of its border, its padding and the scroll bar's thumb."""

GAP = 2
"""Columns between the keys of a line and its words."""

MOST_OF_KEYS = 16
"""Most columns for the keys of a line."""

NOTHING = "No key of this screen does that. The palette (^p) has the actions of every mode."


class KeyList(LineScrollView, can_focus=False):
    """The lines of the help, with a cursor on one."""

    COMPONENT_CLASSES = {"key-list--title", "key-list--key", "key-list--off", "key-list--cursor"}
    DEFAULT_CSS = """
    KeyList {
        height: 1fr; border: none; padding: 0;
        & > .key-list--title { text-style: bold underline; }
        & > .key-list--key { text-style: bold; }
        & > .key-list--off { color: $foreground 60%; }
        & > .key-list--cursor { background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold; }
    }
    """

    def show(self, sections: Sequence[Section], picture: str = "") -> None:
        """Show sections, the cursor on the first line. An empty title is left out."""
        self._sections, self._picture = sections, picture
        self._room = min(WIDTH, self.app.size.width) - FRAME  # until it has a size
        self.rows, self.cursor = [row for _, rows in sections for row in rows], 0
        self._lay_out()

    def _lay_out(self) -> None:
        self._lines = list(self._drawn_lines(self.room))
        self._laid_out_for = self.room
        self.top = 0
        self.set_extent(len(self._lines))

    def _drawn_lines(self, width: int) -> Iterator[tuple[Row | None, list[Piece]]]:
        if self._picture:
            yield from ((None, [(line, "key")]) for line in (*self._picture.split("\n"), ""))
        for at, (title, rows) in enumerate(self._sections):
            if title:
                yield from ((None, [(text, "title" if text else "")]) for text in ([""] * (at > 0) + [title]))
            column = max(1, min(MOST_OF_KEYS, max(cell_len(row.keys) for row in rows), (width - GAP) // 2))
            for row in rows:
                words = f"{row.words} · {row.why_not}" if row.why_not else row.words
                told = wrap(words[:1].upper() + words[1:], width - column - 2 * GAP)
                off = "off" if row.why_not else ""
                for key, line in zip_longest(wrap(row.keys, column), told, fillvalue=""):
                    yield row, [(fit(key, column + GAP), off or "key"), (line, off)]
        if not self.rows:
            yield None, [(NOTHING, "")]

    def on_resize(self) -> None:
        if self.room != self._laid_out_for:
            self._lay_out()
        super().on_resize()

    def draw(self, line: int) -> Strip:
        row, pieces = self._lines[line]
        if row is None:
            return painted_line(self, "key-list", pieces, self.room)
        if row is not self.rows[self.cursor]:
            return painted_line(self, "key-list", [("  ", ""), *pieces], self.room)
        mark = "▸ " if line == 0 or self._lines[line - 1][0] is not row else "  "
        return painted_line(self, "key-list", [(fit(mark + "".join(text for text, _ in pieces), self.room), "cursor")], self.room)

    def move(self, by: int) -> None:
        """Move the cursor by so many lines; above the first one is what stands over it."""
        if self.rows:
            self.cursor = max(0, min(self.cursor + by, len(self.rows) - 1))
            own = [at for at, (row, _) in enumerate(self._lines) if row is self.rows[self.cursor]]
            self.show_line(own[-1])
            self.show_line(own[0] if self.cursor else 0)
            self.refresh()

    async def on_click(self, event: events.Click) -> None:
        line = self.line_at(event.y)
        if line < len(self._lines) and (row := self._lines[line][0]) is not None:
            self.cursor = self.rows.index(row)
            await self.run_action("screen.choose")


class HelpScreen(QuickScreen, ModalScreen[None]):
    """Help on a screen, with its keys from the active bindings. The app reuses one: making it is slower than a key may be."""

    BINDINGS = [
        Binding("escape", "leave", "Close", id="help.leave", tooltip="Clear the filter, or close the help"),
        Binding("enter", "choose", "Do it", id="help.choose", priority=True, tooltip="Close the help, and do what the line says"),
        Binding("tab", "turn", "In words", id="help.turn", tooltip="The keys, or what the screen shows in words"),
        Binding("down", "move(1)", "Down", id="help.down", show=False),
        Binding("up", "move(-1)", "Up", id="help.up", show=False),
        Binding("pagedown", "move(10)", "Page down", id="help.page_down", show=False),
        Binding("pageup", "move(-10)", "Page up", id="help.page_up", show=False),
    ]
    DEFAULT_CSS = """
    HelpScreen {
        align: center middle; background: $background;
        &:ansi { background: ansi_default; }
        #help { max-width: 100%; max-height: 100%; border: round $primary; padding: 0 2; background: $surface; }
        #help-filter { height: 1; border: none; padding: 0; background: $surface; }
        #help-words { display: none; height: 1fr; }
        &.-words #help-words { display: block; }
        &.-words #help-keys { display: none; }
    }
    """

    MODE = ""
    """The mode that is explained."""

    def explain(self, screen: LabScreen) -> None:
        """Set the screen to explain; call this before pushing."""
        focused = screen.focused
        # The focused widget may be a part, such as a field, of one that has a HELP.
        around = [node for node in focused.ancestors_with_self if isinstance(node, Widget)] if focused is not None else [screen]
        words = "\n\n".join(node.HELP for node in around if node.HELP)
        self._title, self._words, self._sections = screen.MODE.title() or "Help", words, sections_of(screen)
        self._picture, self.MODE = screen.help_picture(), screen.MODE
        if self.is_mounted:
            self._fill()

    def compose(self) -> ComposeResult:
        with Vertical(id="help"):
            yield Input(id="help-filter", placeholder="type to find a key")
            yield KeyList(id="help-keys")
            with VerticalScroll(id="help-words", can_focus=False):
                yield Static()

    def on_mount(self) -> None:
        self._fill()

    def _fill(self) -> None:
        field = self.query_one(Input)
        with field.prevent(Input.Changed):
            field.value = ""
        self.remove_class("-words")
        self._show("")
        # A height of its own, so that typing does not move the box.
        box = self.query_one("#help")
        box.styles.width, box.styles.height = WIDTH, self.query_one(KeyList).extent[0] + 3
        self._name_page()

    def _show(self, query: str) -> None:
        """Show the lines that answer what is typed, the best first; those of this place by purpose where nothing is."""
        if not query:
            listed = [(title, [row for row in rows if row.is_listed]) for title, rows in self._sections]
            self.query_one(KeyList).show([(title, rows) for title, rows in listed if rows], self._picture)
            return
        scores = {row: row.score(query) for _, rows in self._sections for row in rows}
        best = [row.answer(query) for row in sorted(scores, key=lambda row: -scores[row]) if scores[row]]
        best += [term_row(term) for term in glossary() if query.casefold() in term.names]
        self.query_one(KeyList).show([("", best)] if best else [])

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        if "?" in event.value:  # the key that opened it
            self.dismiss()
            return
        self.remove_class("-words")
        self._show(event.value.strip())
        self._name_page()

    def _name_page(self) -> None:
        box = self.query_one("#help")
        this, other = ("in words", "keys") if self.has_class("-words") else ("keys", "in words")
        leaves = "clear" if self.query_one(Input).value else "close"
        box.border_title = f"{self._title}: {this}"
        box.border_subtitle = f"↑↓ ⏎ do it · Tab {other} · Esc {leaves}"

    def action_turn(self) -> None:
        self.toggle_class("-words")
        if self.has_class("-words"):
            shared = f"**These keys mean the same everywhere**\n\n{key_table()}"
            words = with_keys(self._words)
            self.query_one("#help-words Static", Static).update(Markdown(f"{words}\n\n{shared}"))
            self.query_one("#help-words").scroll_home(animate=False)
        self._name_page()

    def action_move(self, by: int) -> None:
        if self.has_class("-words"):
            self.query_one("#help-words").scroll_relative(y=by, animate=False)
        else:
            self.query_one(KeyList).move(by)

    def action_leave(self) -> None:
        field = self.query_one(Input)
        if field.value:
            field.value = ""
        else:
            self.dismiss()

    def action_choose(self) -> None:
        """Close the help, and do what the line under the cursor says; of several actions the one that answers best."""
        shown, query = self.query_one(KeyList), self.query_one(Input).value.strip()
        if self.has_class("-words") or not shown.rows:
            return
        row = shown.rows[shown.cursor]
        if row.why_not:
            self.notify(f"{row.found[0].words}: {row.why_not}", markup=False)
            return
        chosen = max(row.found, key=lambda each: each.score(query) if query else 0.0)
        self.dismiss()
        self.app.call_later(partial(self._do, chosen))

    async def _do(self, chosen: Found) -> None:
        from screens.command_palette import go_and_do

        if chosen.action is None:
            await self.app.run_action(chosen.binding.action, chosen.node)
        else:
            self.app.run_worker(go_and_do(self.app, chosen.action), group="palette", exclusive=True, exit_on_error=True)
