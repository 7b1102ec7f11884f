"""The page of one's own notes: their list, newest first, and the one under the cursor."""

from __future__ import annotations

import asyncio

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Input, Markdown, OptionList, Static
from textual.widgets.option_list import Option

from lab.core.errors import UserError
from lab.core.number_format import date_and_time
from lab.core.visible_text import visible
from lab.lessons.learner.notes import Note, delete_note, list_notes, notes_folder
from lab.runs.home_folder import home
from screens.about_key import About
from screens.background import in_thread, latest
from screens.dialogs.ask import ConfirmDialog
from screens.dialogs.note_dialog import NoteDialog
from screens.learn.learn_page import LearnPage
from screens.messages import OpenState
from screens.widgets.page_bar import PageLink
from screens.widgets.text_fitting import fit

LONGEST_SHOWN = 20_000
"""Characters of a note that are shown: a file written elsewhere may be a book."""
MOST_LINES = 150
"""Lines up to which a note is laid out as Markdown: each item and cell is a widget; thousands stop the screen for a minute."""


class NoteList(OptionList):
    """The notes, two lines each: date and place, then the first line of the text."""

    HELP = "**Your notes.** `ctrl+o`, anywhere, writes one. They are Markdown files; `llmlab notes` lists them too."
    BINDINGS = [
        Binding("enter,right,l", "select", "Go there", id="notes.open", key_display="enter", tooltip="Open the note's place")
        | About(synonyms="bookmark place state again"),
        Binding("j", "cursor_down", "Note", id="notes.next", key_display="j/k", tooltip="The next note"),
        Binding("k", "cursor_up", "Previous", id="notes.previous", show=False, tooltip="The previous note"),
    ]

    class Resized(Message):
        """The list has another width: lines are cut to it."""

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.option_count > 0 or action not in ("select", "cursor_down", "cursor_up")


class NoteText(VerticalScroll, inherit_bindings=False):
    """The note under the cursor, as Markdown; links in it lead nowhere."""

    BINDINGS = [
        Binding("j,down", "scroll_down", "Scroll", id="note.down", key_display="j/k", tooltip="Scroll down"),
        Binding("k,up", "scroll_up", "Up", id="note.up", show=False, tooltip="Scroll up"),
    ]


class NotesPage(LearnPage):
    """On a narrow screen the note is below the list, on a wide one beside it."""

    LINK = PageLink("notes", "my notes")
    REST = "#notes-list"
    PARTS = (NoteList, NoteText)
    DEFAULT_CSS = """
    NotesPage {
        & #notes-filter { display: none; border: round $accent; height: 3; }
        & #notes-filter.-shown { display: block; }
        & #notes-body { height: 1fr; layout: horizontal; }
        & #notes-list { width: 45%; height: 1fr; max-height: 100%; border: round $foreground 30%; padding: 0 1; }
        & #notes-list { background: $background; border-title-color: $foreground 90%; border-subtitle-color: $foreground 70%; }
        & #notes-list:focus { border: round $accent; }
        & #notes-text { height: 1fr; width: 1fr; border: round $foreground 30%; padding: 0 1; border-title-color: $foreground; }
        & #notes-text:focus { border: round $accent; }
        & #notes-plain { max-width: 80; padding: 0 1; }
        & #notes-place { color: $foreground 70%; max-width: 80; padding: 0 1; }
        & Markdown { background: transparent; padding: 0 1; margin: 1 0 0 0; max-width: 80; }
        & MarkdownH1 { content-align: left middle; margin: 0 0 1 0; }
        & #notes-none { display: none; padding: 1 2; max-width: 80; height: 1fr; }
        &.-none #notes-body { display: none; }
        &.-none #notes-none { display: block; }
    }
    """
    BINDINGS = [
        Binding("e", "edit", "Edit", id="notes.edit", tooltip="Change the note"),
        Binding("x,delete", "delete", "Delete", id="notes.delete", key_display="x", tooltip="Delete the note; asks first"),
        Binding("slash", "filter", "Find", id="notes.filter", key_display="/", tooltip="Find notes by words")
        | About(synonyms="search words"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Note] = []
        """All, newest first."""
        self.listed: list[Note] = []
        """Those that the filter lets through."""
        self._is_read = False
        self._drawn: Note | None = None

    def compose(self) -> ComposeResult:
        yield Input(id="notes-filter", placeholder="words of the note or its place")
        with Container(id="notes-body"):
            yield NoteList(id="notes-list", markup=False)
            with NoteText(id="notes-text"), Vertical():
                yield Static(id="notes-place", markup=False)
                yield Markdown(id="notes-markdown", open_links=False)
                yield Static(id="notes-plain", markup=False)
        yield Static(id="notes-none", markup=False)

    @property
    def list(self) -> NoteList:
        return self.query_one(NoteList)

    @property
    def chosen(self) -> Note | None:
        """The note under the cursor."""
        at = self.list.highlighted
        return self.listed[at] if at is not None and at < len(self.listed) else None

    @property
    def is_settled(self) -> bool:
        return self._is_read and self._drawn is self.chosen

    def on_mount(self) -> None:
        self.watch(self.app, "notes_version", self._read_if_shown, init=False)

    def watch_is_shown(self) -> None:
        self._read_if_shown()

    def _read_if_shown(self) -> None:
        if self.is_shown and self.is_mounted:
            self._read()

    @latest("notes")
    async def _read(self) -> None:
        """Only the newest reading: an older one may hold a note that has been deleted since."""
        problem = ""
        try:
            self.notes = await in_thread(list_notes, home())
        except UserError as error:
            self.notes, problem = [], str(error)
        self._is_read = True
        self.set_class(not self.notes, "-none")
        words = problem or (
            "No notes yet.\n\nctrl+o, anywhere in the lab, writes one about what is in view: a head in Inspect, a curve in "
            "Train, a step of a lesson. It is listed here, and enter leads back to the place as it was.\n\n"
            f"Notes are Markdown files in {notes_folder(home())}."
        )
        self.query_one("#notes-none", Static).update(visible(words, keep="\n"))
        self._list()
        self.refresh_bindings()
        if self.notes and self.is_shown and self.screen.focused is None:
            self.list.focus()  # it was hidden while there were none

    @on(NoteList.Resized)
    @on(Input.Changed, "#notes-filter")
    def _list(self) -> None:
        """List the notes that the filter lets through, with the cursor on the same one as before."""
        chosen, words = self.chosen, self.query_one("#notes-filter", Input).value
        self.listed = [note for note in self.notes if note.holds(words)]
        choices = self.list
        choices.clear_options()
        width = choices.scrollable_content_region.width - 2
        choices.add_options(Option(_in_two_lines(note, width)) for note in self.listed)
        there = [note.path for note in self.listed]
        if there:
            choices.highlighted = there.index(chosen.path) if chosen is not None and chosen.path in there else 0
        count = f"{len(self.listed)} of {len(self.notes)}" if words.strip() else f"{len(self.notes)}"
        choices.border_title = Text(f"my notes · {count}")
        self._show_chosen()

    @on(OptionList.OptionHighlighted)
    def _show_chosen(self) -> None:
        self.refresh_bindings()
        self._draw(self.chosen)

    @work(exclusive=True, group="draw note", exit_on_error=True)
    async def _draw(self, note: Note | None) -> None:
        place, text = "", ""
        if note is not None and note.problem:
            text = f"`{note.path.name}` {note.problem}. `x` deletes it."
        elif note is not None:
            place, text = note.place or f"{note.path.name}, about no place of the lab", note.text
        if len(text) > LONGEST_SHOWN:
            text = f"{text[:LONGEST_SHOWN]}\n\n*The first {LONGEST_SHOWN:,} of {len(text):,} characters.*"
        is_long = text.count("\n") > MOST_LINES
        box = self.query_one("#notes-text", NoteText)
        box.border_title = Text("" if note is None else "damaged" if note.problem else date_and_time(note.created))
        self.query_one("#notes-place", Static).update(visible(place))
        text = visible(text, keep="\n\t")
        self.query_one("#notes-plain", Static).update(text if is_long else "")
        await self.query_one("#notes-markdown", Markdown).update("" if is_long else text)
        box.scroll_home(animate=False)
        self._drawn = note

    @on(OptionList.OptionSelected)
    def _open(self) -> None:
        note = self.chosen
        if note is not None and note.state is not None:
            self.post_message(OpenState(note.state))
        elif note is not None:
            self.notify("This note is about no place of the lab: it has no state in its front matter.", markup=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        note = self.chosen if self.is_mounted else None
        if action == "edit":
            return note is not None and not note.problem
        if action == "filter":
            return bool(self.notes)
        return action != "delete" or note is not None

    def action_edit(self) -> None:
        if self.chosen is not None:
            self.app.push_screen(NoteDialog.changing(self.chosen))

    @work(group="delete", exit_on_error=True)
    async def action_delete(self) -> None:
        note = self.chosen
        if note is None:
            return
        words = (
            f"“{fit(note.first_line or note.path.name, 50).rstrip()}” of {date_and_time(note.created)}. This cannot be undone."
        )
        if await self.app.push_screen_wait(
            ConfirmDialog("Delete this note?", visible(words), key="x", yes="delete", by_enter=False)
        ):
            try:
                await asyncio.to_thread(delete_note, note)
            except UserError as error:
                self.notify(str(error), severity="error", markup=False)
            self.lab.notes_version += 1

    def action_filter(self) -> None:
        field = self.query_one("#notes-filter", Input)
        field.add_class("-shown")
        field.focus()

    @on(Input.Submitted, "#notes-filter")
    def _filtered(self) -> None:
        self.list.focus()

    def take_focus(self) -> None:
        self._read_if_shown()
        self.list.focus()

    def go_back(self) -> bool:
        field = self.query_one("#notes-filter", Input)
        if field.has_class("-shown"):
            field.value = ""
            field.remove_class("-shown")
        elif self.screen.focused is self.list or not self.notes:
            return False
        self.list.focus()
        return True


def _in_two_lines(note: Note, width: int) -> Text:
    line = f"✗ {note.problem}" if note.problem else note.first_line or "(empty)"
    above = f"{date_and_time(note.created)}  {note.path.name if note.problem or not note.place else note.place}"
    return Text("\n".join((fit(above, width), fit(f"  {line}", width))))
