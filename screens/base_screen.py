"""The base classes of the modes: mode bar above, key bar below, escape one place back; and of those that have pages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Protocol, cast, runtime_checkable

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.reactive import var
from textual.widget import Widget
from textual.widgets import Input

from lab.core.errors import UserError
from lab.views.screen_state import ScreenState
from screens.about_key import About, Heading, about, described, keyless, why_not
from screens.app_state import AppState
from screens.messages import ModeChosen, RunChosen, ToApp
from screens.terminal.textual_internals import QuickScreen, bindings_by_key, forget_watchers
from screens.widgets.key_bar import KeyBar
from screens.widgets.top_bars import ModeBar, PageBar

if TYPE_CHECKING:
    from screens.widgets.top_bars import PageLink

NOTHING_BEHIND = "nothing to go back to"


class Page(Vertical):
    """A page of a `PagedScreen`; its `LINK` has its name, its key and its title."""

    LINK: ClassVar[PageLink]
    PARTS: ClassVar[tuple[type[Widget], ...]] = ()
    """Classes of the widgets in it that have keys of their own."""
    REST: ClassVar[str] = ""
    """Selector of the widget that has the focus when the keys are free; empty for none."""
    DEFAULT_CSS = """
    Page { display: none; }
    Page.-shown { display: block; }
    """

    is_shown: var[bool] = var(False, toggle_class="-shown")
    """True while the page is in sight."""

    @property
    def lab(self) -> AppState:
        """The state that all modes share: the text in use, the current run."""
        return cast(AppState, self.app)

    @property
    def is_settled(self) -> bool:
        """True if everything asked for has been answered."""
        return True

    def go_back(self) -> bool:
        """Go back one place inside the page. False if there is none."""
        return False

    def resting_focus(self) -> str | None:
        """Selector of the widget to focus after escape has left a text field; None for no widget."""
        return self.REST or None


@runtime_checkable
class HoldsWork(Protocol):
    """A screen, or a part of one, that may hold work which exists nowhere else."""

    def would_be_lost(self) -> str:
        """The work that quitting now would lose, such as `the prompt being typed`; "" if there is none."""


class LabScreen(QuickScreen):
    """A mode of the lab. A subclass names its `MODE`, says in `HELP` what it is for, and yields its content in `compose_body`.

    A screen follows shared state with `self.watch(self.lab, "run_name", self.follow_run)` in `on_mount`.
    """

    MODE: ClassVar[str] = ""
    """The name of the mode in `screens.app.LabApp.MODES`."""

    HELP: ClassVar[str | None] = ""
    """Markdown that `?` shows for this screen, after the HELP of a focused widget."""

    TEXT_FIELDS: ClassVar[tuple[type[Widget], ...]] = (Input,)
    """Widgets that take letters: escape leaves these first."""

    PAGES: ClassVar[tuple[type[Page], ...]] = ()
    """The pages of a `PagedScreen`, in order."""

    STYLES: ClassVar[tuple[str, ...]] = ("lab.tcss",)
    """Files of styles that it needs besides those of the first paint."""

    HEADINGS: ClassVar[tuple[Heading, ...]] = ()
    """Headings under which the help shows its keys; those of no heading are under one of their own."""

    VERTICAL_BREAKPOINTS = [(0, "-short"), (38, "-tall")]
    """A screen of 120x40 is tall: a mode has lines to spare."""

    BINDINGS = described(
        Binding("tab", "app.focus_next", "Next part", id="screen.next", tooltip="Focus the next part of the screen", show=False),
        About(
            "Everywhere",
            words="next part; one place back; copy; all keys in a line",
            also=("screen.back", "screen.copy", "screen.more_keys", "screen.previous"),
            place=-2,
        ),
        Binding(
            "shift+tab",
            "app.focus_previous",
            "Previous part",
            id="screen.previous",
            tooltip="Focus the previous part",
            show=False,
        ),
        Binding("escape", "back", "Back", id="screen.back", tooltip="Leave the text field, or go back one place", show=False),
        Binding(
            "y",
            "copy",
            "Copy",
            id="screen.copy",
            show=False,
            tooltip="Copy what the focused part has, without borders: the number under the cursor, a table, a text",
        ),
        About(synonyms="clipboard yank osc 52"),
        Binding(
            "ctrl+k",
            "more_keys",
            "More keys",
            id="screen.more_keys",
            show=False,
            priority=True,  # a text field would delete to the end of its line
            tooltip="All keys of this place",
        ),
    )

    @on(events.Unmount)
    def _unmounted(self) -> None:
        forget_watchers(self.app)

    @on(events.ScreenSuspend)
    @on(events.ScreenResume)
    def _update_keys(self) -> None:
        for bar in self.query(KeyBar):
            bar.update_keys()

    def compose(self) -> ComposeResult:
        for name in self.STYLES:
            self.lab.take_styles(name)
        self._take_classes_of_size()
        yield ModeBar(self.MODE)
        yield from self.compose_body()
        yield KeyBar()

    def _take_classes_of_size(self) -> None:
        """Set the breakpoints' classes before there is any widget: Textual sets them after the first resize, and then works out
        the styles of every widget once more."""
        (width, height), app = self.app.size, self.app
        across = app.HORIZONTAL_BREAKPOINTS if self.HORIZONTAL_BREAKPOINTS is None else self.HORIZONTAL_BREAKPOINTS
        for size, breakpoints in ((width, across or []), (height, self.VERTICAL_BREAKPOINTS)):
            reached = [name for least, name in sorted(breakpoints) if size >= least]
            self.add_class(*reached[-1:], update=False)
        app.stylesheet.apply(self)

    def post_message(self, message: Message) -> bool:
        if isinstance(message, ToApp):
            return self.app.post_message(message)
        return super().post_message(message)

    def compose_body(self) -> ComposeResult:
        """The widgets between the mode bar and the key bar."""
        yield from ()

    @property
    def lab(self) -> AppState:
        """The state that all modes share."""
        return cast(AppState, self.app)

    def go_back(self) -> bool:
        """Go back one place inside this screen. False if there is none: then escape leads to where this was opened."""
        return False

    def would_be_lost(self) -> str:
        """The work that one of its parts holds, by default."""
        found = (part.would_be_lost() for part in self.query("*") if isinstance(part, HoldsWork))
        return next(filter(None, found), "")

    def help_picture(self) -> str:
        """Lines above the keys in the help."""
        return ""

    def rank_of(self, binding: Binding) -> int | None:
        """Keys of a lower rank come first in the key bar; None where the key does nothing here and now: then it is not there."""
        key = about(binding)
        return key.rank if key.matters(self) and not self.lab.refusal(binding.action) else None

    def resting_focus(self) -> str | None:
        """Selector of the widget to focus after escape has left a text field; None for no widget."""
        return None

    def screen_state(self) -> ScreenState:
        """The state in view."""
        return ScreenState(mode=self.MODE, page=getattr(self, "page", ""), run=self.lab.run_name)

    def restore_state(self, state: ScreenState) -> None:
        """Show a state: its run is chosen, its page in view, the rest is the screen's own."""

    def action_back(self) -> None:
        if isinstance(self.focused, self.TEXT_FIELDS):
            rest = self.resting_focus()
            found = self.query(rest).first() if rest and self.query(rest) else None
            self.set_focus(found if found is not self.focused else None)
        elif self.query_one(KeyBar).close() or self.go_back():
            return
        elif self.lab.opened_from:
            before = self.lab.run_before
            if before != self.lab.run_name and self.lab.run_summary(before) is not None:
                self.post_message(RunChosen(before))
            self.post_message(ModeChosen(self.lab.opened_from))
        else:
            self.query_one(KeyBar).tell(NOTHING_BEHIND if self.MODE == "home" else f"{NOTHING_BEHIND} here; 1 leads to Home")

    def on_key(self, event: events.Key) -> None:
        """Close the pages of the key bar before what was there already; say why a key's action is not possible now."""
        bar = self.query_one(KeyBar)
        if event.key == "escape" and bar.is_on_top:
            bar.close()
            event.stop()
            return
        nodes = (self.focused or self).ancestors_with_self
        bound = [(node, binding) for node in nodes for binding in bindings_by_key(type(node)).get(event.key, ())]
        if bound and all(why_not(*each) for each in bound):
            binding = bound[0][1]
            bar.tell(f"{self.app.get_key_display(binding)} {binding.description.lower()}: {why_not(*bound[0])}")

    async def action_copy(self) -> None:
        from screens.terminal.clipboard import copy, text_to_copy

        try:
            self.query_one(KeyBar).tell(await copy(self.app, text_to_copy(self)))
        except UserError as error:
            self.notify(str(error), severity="error", markup=False)

    def action_more_keys(self) -> None:
        self.query_one(KeyBar).open_next()


def page_bindings(mode: str, pages: Iterable[type[Page]]) -> list[Binding]:
    """The pages of a mode, by name, for the palette; keys turn them one by one."""
    bindings = []
    for link in (page.LINK for page in pages):
        words, about = link.tooltip or f"Show the page: {link.title}", About("Pages", synonyms=link.synonyms)
        bindings.append(keyless(f"page('{link.name}')", f"{mode}.{link.name}", words, link.title, about))
    return bindings


def turn_bindings(mode: str) -> list[BindingType]:
    """The keys of a mode that turn to the next page and to the one before."""
    following, before = f"{mode}.next_page", f"{mode}.previous_page"
    return described(
        Binding("right_square_bracket", "turn(1)", "Pages", id=following, key_display="[ ]", tooltip="The next page"),
        About("Pages", words="next and previous page", also=(before,)),
        Binding("left_square_bracket", "turn(-1)", "Page back", id=before, show=False, tooltip="The page before"),
    )


class PagedScreen(LabScreen):
    """A mode that shows one of its `PAGES` at a time, under a PageBar."""

    page: var[str] = var("")
    """The name of the page in sight."""

    def page_bar(self) -> PageBar:
        return PageBar([page.LINK for page in self.PAGES], self.page, id=f"{self.MODE}-pages")

    @property
    def current(self) -> Page:
        """The page in sight."""
        return next(page for page in self.query(Page) if page.LINK.name == self.page)

    def resting_focus(self) -> str | None:
        return self.current.resting_focus()

    def go_back(self) -> bool:
        return self.current.go_back()

    def show_page(self) -> None:
        """Show the page of that name, and hide the others."""
        self.query_one(PageBar).current = self.page
        for page in self.query(Page):
            page.is_shown = page is self.current
        self.refresh_bindings()

    def action_page(self, name: str) -> None:
        self.page = name

    def action_turn(self, by: int) -> None:
        names = [page.LINK.name for page in self.PAGES]
        self.action_page(names[(names.index(self.page) + by) % len(names)])

    @on(PageBar.Chosen)
    def _page_clicked(self, message: PageBar.Chosen) -> None:
        self.action_page(message.page)
