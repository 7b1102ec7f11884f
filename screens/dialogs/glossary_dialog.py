"""The glossary: its terms, found by typing, the text of the one under the cursor, and on enter the place where it can be seen."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from lab.lessons.glossary.glossary import Term, find_terms, glossary
from screens.base_screen import LabScreen
from screens.dialogs.describe_place import describe_place
from screens.messages import OpenState
from screens.widgets.key_bar import KeyBar
from screens.widgets.top_bars import ModeBar, PageBar


class GlossaryDialog(ModalScreen[None]):
    """All terms, or those that answer what is typed."""

    BINDINGS = [
        Binding("escape,ctrl+r", "dismiss", "Close", id="glossary.close", tooltip="Close the glossary"),
        Binding("down", "move('cursor_down')", "Down", id="glossary.down", show=False, tooltip="The next term"),
        Binding("up", "move('cursor_up')", "Up", id="glossary.up", show=False, tooltip="The term before"),
        Binding("pagedown", "move('page_down')", "Page down", id="glossary.page_down", show=False, tooltip="A page further"),
        Binding("pageup", "move('page_up')", "Page up", id="glossary.page_up", show=False, tooltip="A page back"),
    ]
    DEFAULT_CSS = """
    GlossaryDialog {
        align: center middle;
        #glossary { width: 78; max-width: 100%; height: auto; border: round $primary; background: $surface; padding: 0 1; }
        #glossary-list { height: auto; max-height: 12; border: none; background: $surface; padding: 0; margin: 1 0; }
        &.-tall #glossary-list { max-height: 20; }
        #glossary-text { height: auto; min-height: 5; padding: 0 1; }
    }
    """

    def __init__(self, query: str = "", first: Sequence[Term] = ()) -> None:
        """Begin with a query, such as a term; where nothing is typed some terms come first, such as those on the screen."""
        super().__init__()
        self._query, self._first, self.listed = query, first, list[Term]()

    def compose(self) -> ComposeResult:
        with Vertical(id="glossary") as box:
            box.border_subtitle = "↑↓ term · Enter go there · Esc close"
            yield Input(self._query, placeholder="type a term, or a word about it", compact=True, select_on_focus=False)
            terms = OptionList(id="glossary-list", markup=False)
            terms.can_focus = False
            yield terms
            yield Static(id="glossary-text", markup=False)

    @property
    def terms(self) -> OptionList:
        return self.query_one(OptionList)

    def on_mount(self) -> None:
        self.query_one(Input).cursor_position = len(self._query)
        self._list()

    @on(Input.Changed)
    def _list(self) -> None:
        query = self.query_one(Input).value
        first = () if query.strip() else self._first
        self.listed = [*first, *(term for term in find_terms(query, glossary()) if term not in first)]
        self.terms.clear_options().add_options(Option(_line(term)) for term in self.listed)
        self.terms.highlighted = 0 if self.listed else None
        on_screen = f" · {len(first)} on this screen come first" if first else ""
        self.query_one("#glossary").border_title = Text(f"glossary · {len(self.listed)} of {len(glossary())} terms{on_screen}")
        if not self.listed:
            self.query_one("#glossary-text", Static).update("No term has these words.")

    @on(OptionList.OptionHighlighted)
    def _show(self, event: OptionList.OptionHighlighted) -> None:
        term = self.listed[event.option_index]
        self.query_one("#glossary-text", Static).update(
            Content.assemble((term.name, "bold"), f"\n{term.text}\n", ("→ ", "bold"), describe_place(term.place))
        )

    @on(Input.Submitted)
    def _enter(self) -> None:
        if self.terms.highlighted is not None:
            self._go(self.listed[self.terms.highlighted])

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self._go(self.listed[event.option_index])

    def _go(self, term: Term) -> None:
        self.dismiss()
        self.app.post_message(OpenState(term.place))

    def action_move(self, action: str) -> None:
        getattr(self.terms, f"action_{action}")()


def terms_in_sight(screen: LabScreen) -> list[Term]:
    """The terms that a screen shows: those of its mode, in Learn of all modes."""
    parts = [part for part in screen.query("*") if part.is_on_screen and not isinstance(part, (ModeBar, PageBar, KeyBar))]
    leaves = [part for part in parts if not part.children]
    text = "\n".join(line.text for part in leaves for line in part.render_lines(part.size.region)).casefold()
    terms = [term for term in glossary() if screen.MODE in (term.place.mode, "learn")]
    return [term for term in terms if any(re.search(_as_word(name), text) for name in term.names)]


def _as_word(name: str) -> str:
    """Pattern of a name as a word of its own; Chinese has no spaces between words."""
    return rf"\b{re.escape(name)}s?\b" if name.isascii() else re.escape(name)


def _line(term: Term) -> Text:
    others = ", ".join(term.also)
    return Text.assemble((term.name, "bold"), f"  {others}" if others else "", no_wrap=True, overflow="ellipsis")
