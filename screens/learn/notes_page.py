"""The page of one's own notes: the text of their file, which `e` opens in the user's editor."""

from __future__ import annotations

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Markdown

from lab.core.errors import UserError
from lab.core.visible_text import visible
from lab.lessons.learner_notes import notes_path, prepare_notes, read_notes
from lab.runs.home_folder import home
from screens.about_key import About, described
from screens.background import in_thread, latest
from screens.learn.editor import edit
from screens.learn.learn_page import LearnPage, ReadingBox
from screens.widgets.top_bars import PageLink

LONGEST_SHOWN = 20_000
"""Characters at the end of the notes that are shown."""
MOST_LINES = 150
"""Lines that are shown: each item and cell of Markdown is a widget; thousands stop the screen for a minute."""


class NotesText(ReadingBox):
    """The notes, the newest last; links in them lead nowhere."""

    HELP = "**Your notes.** `ctrl+o`, anywhere, writes one. They are a Markdown file; `llmlab notes` prints it."


class NotesPage(LearnPage):
    """The page shows the end of a long file."""

    LINK = PageLink("notes", "my notes")
    REST = "#notes-text"
    PARTS = (NotesText,)
    BINDINGS = described(
        Binding("e", "edit", "Edit", id="notes.edit", tooltip="Edit your notes in your editor"),
        About(synonyms="change delete write editor vim"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._is_read = False

    def compose(self) -> ComposeResult:
        with NotesText(id="notes-text"):
            yield Markdown(open_links=False)

    @property
    def is_settled(self) -> bool:
        return self._is_read

    def on_mount(self) -> None:
        self.watch(self.app, "notes_version", self._read_if_shown, init=False)

    def _read_if_shown(self) -> None:
        if self.is_shown and self.is_mounted:
            self._read()

    watch_is_shown = _read_if_shown

    @latest("notes")
    async def _read(self) -> None:
        try:
            text = await in_thread(read_notes, home())
        except UserError as error:
            words = visible(str(error))
        else:
            words = end_of(visible(text, keep="\n\t")) or (
                "No notes yet.\n\n`ctrl+o`, anywhere in the lab, writes one about what is in view: a head in Inspect, a curve in "
                f"Train, a step of a lesson.\n\nThey are kept in `{visible(str(notes_path(home())))}`."
            )
        await self.query_one(Markdown).update(words)
        self.query_one(NotesText).scroll_end(animate=False)
        self._is_read = True

    @work(group="edit", exclusive=True, exit_on_error=True)
    async def action_edit(self) -> None:
        """Open the notes in $VISUAL or $EDITOR; the lab stands still meanwhile."""
        try:
            await in_thread(read_notes, home())  # refuses what is no file
            path = await in_thread(prepare_notes, home())
            problem = edit(self.app, path, f"your notes are in {path}.")
        except (OSError, UserError) as error:
            problem = str(error)
        if problem:
            self.notify(visible(problem), severity="warning", markup=False)
        self._read_if_shown()

    def take_focus(self) -> None:
        self._read_if_shown()
        self.query_one(NotesText).focus()


def end_of(text: str) -> str:
    """The last notes that the page can show, from a heading on; a line says how much of the text that is."""
    lines = text[-LONGEST_SHOWN:].splitlines()[-MOST_LINES:]
    if len(shown := "\n".join(lines)) >= len(text.rstrip("\n")):
        return text
    begin = next((at for at, line in enumerate(lines) if line.startswith("## ")), 0)
    shown = "\n".join(lines[begin:])
    return f"*The last {len(shown):,} of {len(text):,} characters; `e` opens all.*\n\n{shown}"
