"""The help (`?`): every key of the screen in view by purpose, found by typing and done by enter; one key further, its words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest

from rich.cells import cell_len
from rich.markdown import Markdown
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from lab.lessons.glossary import Term, glossary
from screens.about_key import NOT_POSSIBLE, about, key_table, reason, synonyms_of, why_not
from screens.action_index import MOVES, Action, bindings_of, own_actions, page_actions, score_of, with_keys
from screens.base_screen import LabScreen
from screens.terminal.textual_internals import QuickScreen
from screens.widgets.line_scroll_view import LineScrollView
from screens.widgets.text_fitting import Piece, fit, painted_line, wrap

FIRST_KEYS = 5
"""Number of keys to know first."""

BY_KEY, BY_KEY_ELSEWHERE, NOT_NOW = 3.0, 2.0, 0.5
"""Scores of a line by one of its keys, above all words; and weight of one that is not possible now, by its words."""


@dataclass(eq=False)
class Found:
    """An action that a key has: of a part in the focus chain, or of a page of the screen."""

    binding: Binding
    words: str
    keys: list[str]
    node: DOMNode | None = None
    """The part that has it; None for an action of a page, which is shown first."""
    action: Action | None = None
    why_not: str = ""
    """The reason for which it is not possible now."""
    is_in_place: bool = True
    """False for a key that is neither possible nor matters here, such as that of a run where a form is in view."""

    @property
    def is_listed(self) -> bool:
        """True unless only typing finds it: an action without a key, and what every list does, such as a page down."""
        moves = self.binding.key in MOVES and not self.binding.show
        return bool(self.keys[0]) and about(self.binding).is_listed and self.is_in_place and not moves

    def score(self, query: str) -> float:
        """The score as an answer to what is typed; 0 for none."""
        return score_of(query, self.words, synonyms_of(self.binding), float(query.casefold() in self.words.casefold()))


@dataclass(eq=False)
class Row:
    """A line of the help: its keys, its words, and its action, or several, such as two opposite ones."""

    keys: str
    words: str
    found: list[Found]
    why_not: str = ""
    is_elsewhere: bool = False
    """True for a line of another page of the screen."""

    @property
    def is_listed(self) -> bool:
        """True where nothing is typed, too: not what never is possible here, such as with another experiment of a lesson."""
        return not self.is_elsewhere and self.found[0].is_listed and self.why_not != NOT_POSSIBLE

    def score(self, query: str) -> float:
        """The best score as an answer to what is typed: by a key, by its words, or by those of one of its actions."""
        if query in self.keys.split() or any(query == each.binding.key for each in self.found):
            return BY_KEY if self.found[0].action is None else BY_KEY_ELSEWHERE
        best = max(score_of(query, self.words, "", 0.0), *(each.score(query) for each in self.found))
        return best * NOT_NOW if self.why_not else best

    def answer(self, query: str) -> Row:
        """The line of one action alone, where what is typed is about that one of several; else itself."""
        best = max(self.found, key=lambda each: each.score(query))
        if len(self.found) < 3 or score_of(query, self.words, "", 0.0) > best.score(query):
            return self
        return Row(best.keys[0], best.binding.tooltip or self.words, [best], best.why_not)


Section = tuple[str, list[Row]]
"""A purpose, and its lines."""


Line = tuple[tuple[str, ...], str]
"""One line of the help: ids of an action, or of two opposite ones, and its words where these are not the tooltip."""

Group = tuple[str, tuple[Line, ...]]
"""A heading, and the lines under it."""


def sections_of(screen: LabScreen) -> list[Section]:
    """Every key by purpose: those to know first, the focused part's, the screen's, those of its pages, also of those that are
    not open, and those that work everywhere."""
    active: dict[str, Found] = {}
    bound, is_field = screen.active_bindings, isinstance(screen.focused, screen.TEXT_FIELDS)
    for node, binding, enabled, tooltip in bound.values():
        words = tooltip or binding.tooltip
        if not enabled or not words or binding.system:
            continue
        off = reason(binding) if screen.rank_of(binding) is None else ""
        found = active.setdefault(binding.id or binding.action, Found(binding, words, [], node, why_not=off))
        found.keys.append(screen.app.get_key_display(binding))
    for node in () if is_field else (screen.focused or screen).ancestors_with_self:
        for id, (binding, *_) in bindings_of(type(node)).items():
            if id not in active and binding.key not in bound and (off := why_not(node, binding)):
                keys, matters = [screen.app.get_key_display(binding)], screen.rank_of(binding) is not None
                active[id] = Found(binding, binding.tooltip, keys, node, why_not=off, is_in_place=matters)
    shown, of_pages = getattr(screen, "page", ""), list(page_actions(type(screen)))
    # Of the page in sight only those of parts that are there, such as a live view.
    there = {kind.__name__: part for part in reversed(screen.walk_children(Widget)) for kind in type(part).__mro__}
    of_pages = [action for action in of_pages if action.page != shown or action.holder in there]
    hidden = own_actions(type(screen)) if is_field else ()
    for action in (*of_pages, *hidden):
        key = screen.app.get_key_display(action.binding)
        holder = screen if not action.page else there[action.holder] if action.page == shown else None
        # A text field makes much impossible that is possible once it is left, which choosing the line does.
        off = ""
        if holder is not None and (not is_field or about(action.binding).needs):
            off = why_not(holder, action.binding)
        active.setdefault(action.id, Found(action.binding, action.words, [key], screen, action, off))
    in_order = {id: each for owner in (type(screen.app), type(screen)) for id, (each, *_) in bindings_of(owner).items()}
    in_order |= {id: each.binding for id, each in active.items()}
    *by_heading, everywhere = [_group(heading, in_order) for heading in (*screen.HEADINGS, "Everywhere")]
    grouped = {id for _, lines in (*by_heading, everywhere) for ids, _ in lines for id in ids}
    pages = _groups_of_pages(screen, [action for action in of_pages if action.id not in grouped])
    here = (*pages[:1], *by_heading, *pages[1:])
    grouped |= {id for _, lines in pages for ids, _ in lines for id in ids}
    rest = {id: each for id, each in active.items() if id not in grouped}
    own = (screen, screen.app)
    groups = (
        ("In the focused part", lines_of([each.binding for each in rest.values() if each.node not in own])),
        *here,
        ("More" if here else "Here", lines_of([each.binding for each in rest.values() if each.node in own])),
        everywhere,
    )
    sections: list[Section] = []
    for title, lines in groups:
        rows = [_row(active, ids, words, screen) for ids, words in lines if any(id in active for id in ids)]
        sections += [(title, rows)] if rows else []
    order = list(active.values())
    rows = [row for title, rows in sections if title != "Everywhere" for row in rows]
    first = _first(screen, sorted(rows, key=lambda row: order.index(row.found[0])))
    not_now = [row for row in rows if row.why_not]
    left = [(title, [row for row in rows if row not in first + not_now]) for title, rows in sections]
    return [(title, rows) for title, rows in (("To know first", first), *left, ("Not now", not_now)) if rows]


def _first(screen: LabScreen, rows: list[Row]) -> list[Row]:
    """The rows to know first: those of the keys that come first in the key bar, and then of others by their rank."""
    places: list[tuple[bool, bool, int, Row]] = []
    for row in rows:
        key, rank = row.found[0], screen.rank_of(row.found[0].binding)
        if rank is not None and row.is_listed and not row.why_not and (key.action is None or not key.action.page):
            places.append((not key.binding.show, key.binding.show and key.node is screen, rank, row))
    return [row for *_, row in sorted(places, key=lambda place: place[:3])[:FIRST_KEYS]]


def _row(active: Mapping[str, Found], ids: Sequence[str], words: str, screen: LabScreen) -> Row:
    found = sorted((active[id] for id in ids if id in active), key=lambda each: bool(each.why_not))
    # `j/k` or `[ ]`, as a binding displays its key, names that of its opposite, too.
    first = found[0].keys[0]
    named = [found[0], *(each for each in found[1:] if each.binding.show)] if set("/ ") & set(first) or "↑↓" in first else found
    keys = " ".join(dict.fromkeys(key for each in named for key in each.keys[: None if len(found) == 1 else 1]))
    is_elsewhere = all(each.action is not None and each.action.page not in ("", getattr(screen, "page", "")) for each in found)
    return Row(keys, words or found[0].words, found, found[0].why_not, is_elsewhere)


def term_row(term: Term) -> Row:
    """The line of a term of the glossary, which leads there."""
    words = f"{term.name}: {term.text}"
    return Row("g", words, [Found(Binding("g", f"app.glossary({term.name!r})", tooltip=words), words, ["g"])])


def _group(heading: str, bindings: Mapping[str, Binding]) -> Group:
    """The bindings of a heading, by id."""
    lines: dict[str, Line] = {}
    for id, key in sorted(((id, about(binding)) for id, binding in bindings.items()), key=lambda each: each[1].place):
        if key.description == heading and id not in lines:
            lines |= dict.fromkeys((id, *key.also), ((id, *key.also), key.words))
    return (heading, tuple(dict.fromkeys(lines.values())))


def lines_of(bindings: Sequence[Binding]) -> tuple[Line, ...]:
    """A line for each action. Two opposite actions share a line where the first displays both keys, such as `j/k`."""
    each = list({binding.id or binding.action: binding for binding in bindings}.items())
    lines: list[Line] = []
    while each:
        id, binding = each.pop(0)
        opposite = each[0][1] if each and not each[0][1].show else None
        keys = binding.key_display or ""
        if opposite is not None and (len(re.split("[/ ]", keys)) == 2 or keys == "↑↓"):
            words = f"{binding.tooltip}; {opposite.tooltip[:1].lower()}{opposite.tooltip[1:]}"
            lines.append(((id, each.pop(0)[0]), words))
        else:
            lines.append(((id,), ""))
    return tuple(lines)


def _groups_of_pages(screen: LabScreen, actions: Sequence[Action]) -> list[Group]:
    """The actions of each page of a screen, those of the page in sight first."""
    shown = getattr(screen, "page", "")
    links = sorted((page.LINK for page in screen.PAGES), key=lambda link: link.name != shown)
    return [
        (f"Page {link.title}", lines_of([action.binding for action in actions if action.page == link.name])) for link in links
    ]


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
        self._laid_out_for = 0
        self.lay_out()

    def lay_out(self) -> None:
        if self.room == self._laid_out_for:
            return
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
