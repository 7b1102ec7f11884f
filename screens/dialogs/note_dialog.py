"""The dialog that writes a note about the state in view, or changes one; and the place of a state in words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, cast

from rich.text import Text
from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea

from lab.core.errors import UserError
from lab.core.visible_text import shortened, visible
from lab.inspect.stages.stage_registry import IN_LAYERS, OF_ANY_LAYER, STAGES
from lab.lessons.learner.notes import Note, add_note, change_note, is_same_place, list_notes
from lab.lessons.lesson import claim_titles, lessons_and_problems
from lab.runs.home_folder import home
from lab.training.one_step.step_stages import STAGES as STEP_STAGES
from lab.views.screen_state import ScreenState
from screens.app_state import AppState

LONGEST_TEXT = 48

ASIDES = {
    "attribution": "direct logit attribution",
    "evidence": "evidence in the training text",
    "effect": "effect of the interventions",
    "compare": "two prompts compared",
    "patches": "every patch from a second prompt",
    "built_head": "a head built by hand",
    "code": "source code",
}
TRAIN_PAGES = {
    "new": "a new run",
    "words": "loss",
    "curves": "learning rate and gradient norm",
    "machine": "machine usage",
    "heads": "head scores",
    "probe": "next token",
    "updates": "update sizes",
    "one step": "one step",
}


def describe_place(state: ScreenState) -> str:
    """The mode, then from the whole to the part; layers, heads, positions and steps of a lesson are counted from 1."""
    of_mode = {"inspect": _inspect, "train": _train, "data": _data, "tokens": _tokens, "learn": _learn}.get(state.mode, _run)
    return " · ".join([state.mode.title(), *filter(None, of_mode(state))])


def _inspect(state: ScreenState) -> Iterator[str]:
    yield _name(state.run)
    if state.checkpoint not in ("", "best"):
        yield f"step {state.checkpoint}" if state.checkpoint.isdecimal() else f"{_name(state.checkpoint)} checkpoint"
    in_layer = state.stage in (*IN_LAYERS, *OF_ANY_LAYER)
    stage = STAGES.get(state.stage)
    yield ASIDES.get(state.aside, stage.title if stage else "")
    if not state.aside:
        yield f"layer {state.layer + 1}" if in_layer and state.layer is not None else ""
        yield f"head {state.head + 1}" if stage and stage.of_head and state.head is not None else ""
    if state.trail:
        yield f"explained: {_name(state.trail[-1])}"
    yield f"token {state.position + 1}" if state.position is not None else ""
    if state.interventions:
        yield f"{len(state.interventions)} intervention{'s' if len(state.interventions) > 1 else ''}"
    yield _quoted(state.prompt)


def _train(state: ScreenState) -> Iterator[str]:
    yield _name(state.run)
    if state.page == "compare":
        yield "compared with " + ", ".join(map(_name, state.others))
    yield TRAIN_PAGES.get(state.page, "")
    if state.page == "one step":
        yield STEP_STAGES.get(state.stage, "")
        yield _quoted(state.prompt)
    elif state.layer is not None and state.head is not None:
        yield f"head {state.layer + 1}.{state.head + 1}"
    yield f"evaluation of step {state.step:,}" if state.step is not None else ""


def _data(state: ScreenState) -> Iterator[str]:
    yield _name(Path(state.text).name if state.text else "")
    yield _name(state.page)


def _tokens(state: ScreenState) -> Iterator[str]:
    yield _name(state.page)
    yield {"run": f"tokenizer of {_name(state.run)}", "gpt2": "GPT-2", "bytes": "bytes"}.get(state.tokenizer, "")
    yield f"token {state.position + 1}" if state.position is not None else ""
    yield _quoted(state.prompt)


def _learn(state: ScreenState) -> Iterator[str]:
    yield (
        f"lesson {_title(state.lesson, _lesson_titles())}"
        if state.lesson
        else f"claim {_title(state.claim, _titles_of_claims())}"
        if state.claim
        else _name(state.page)
    )
    yield f"step {state.step + 1}" if state.lesson and state.step is not None else ""
    yield _name(state.run)


def _title(name: str, titles: Mapping[str, str]) -> str:
    """The title of a lesson or a claim in quotation marks; of one that there is no more, its name."""
    title = titles.get(name, "")
    return f"“{visible(title)}”" if title else _name(name)


_titles_of_claims = cache(claim_titles)


@cache
def _lesson_titles() -> dict[str, str]:
    return {lesson.name: lesson.title for lesson in lessons_and_problems()[0]}


def _run(state: ScreenState) -> Iterator[str]:
    yield _name(state.run)


def _name(text: str) -> str:
    return visible(shortened(text, LONGEST_TEXT))


def _quoted(text: str) -> str:
    return f"“{visible(text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + '…')}”" if text else ""


MOST_CHARACTERS = 100_000
"""Most characters of a paste, which TextArea wraps at once."""

FOUND_AGAIN = "n in 6 Learn lists your notes"


class NoteDialog(ModalScreen[Note | None]):
    """A text area over the screen. Returns the note once it is on disk; None where nothing was written."""

    BINDINGS = [
        Binding("ctrl+s", "save", "Save", id="note.save", tooltip="Save the note"),
        Binding("escape", "leave", "Leave", id="note.leave", tooltip="Leave; asks before a text is lost"),
    ]
    DEFAULT_CSS = """
    NoteDialog {
        align: center middle;
        #note { width: 84; max-width: 100%; height: 80%; min-height: 10; border: round $primary; background: $surface; }
        #note { border-title-color: $foreground; }
        #note-place { padding: 0 2; color: $foreground; max-height: 3; }
        #note-line { padding: 0 2; color: $foreground 70%; }
        #note-line.-wrong { color: $text-error; text-style: bold; }
        #note-text { height: 1fr; border: round $foreground 30%; background: $surface; padding: 0 1; margin: 0 1; }
        #note-text:focus { border: round $accent; }
    }
    """

    def __init__(self, title: str, place: str, text: str, save: Callable[[str], Note], about: ScreenState | None = None) -> None:
        """`save` writes the text, in a thread, and raises UserError where it cannot; other notes `about` a state are counted."""
        super().__init__()
        self._title, self._place, self._text, self._save, self._about = title, place, text, save, about
        self._is_saving = False
        self._saved: Note | None = None
        self._path: Path | None = None

    @classmethod
    def about(cls, state: ScreenState) -> NoteDialog:
        place = describe_place(state)
        return cls("note", place, "", lambda text: add_note(home(), text, place, state), state)

    @classmethod
    def changing(cls, note: Note) -> NoteDialog:
        dialog = cls("change the note", note.place, note.text, lambda text: change_note(note, text))
        dialog._path = note.path
        return dialog

    def compose(self) -> ComposeResult:
        with Vertical(id="note") as box:
            box.border_title = Text(self._title)
            box.border_subtitle = Text("ctrl+s save · Esc leave")
            yield Static(Text(visible(self._place)), id="note-place")
            yield NoteText(self._text, id="note-text", show_line_numbers=False, soft_wrap=True, placeholder="In Markdown.")
            yield Static("", id="note-line", markup=False)

    def on_mount(self) -> None:
        area = self.query_one(TextArea)
        area.move_cursor(area.document.end)
        area.focus()
        if self._about is not None:
            self._count(self._about)

    @work(group="count", exit_on_error=True)
    async def _count(self, state: ScreenState) -> None:
        try:
            notes = await asyncio.to_thread(list_notes, home())
        except UserError:
            return  # writing the note meets the same folder, and its sentence is shown
        found = sum(note.state is not None and is_same_place(note.state, state) for note in notes)
        if found:
            self._say(f"{found} note{'s' if found > 1 else ''} about this place already: {FOUND_AGAIN}.")

    def _say(self, words: str, *, wrong: bool = False) -> None:
        line = self.query_one("#note-line", Static)
        line.set_class(wrong, "-wrong")
        line.update(visible(words))

    @property
    def text(self) -> str:
        return self.query_one(TextArea).text

    def would_be_lost(self) -> str:
        return "the note being written" if self.text.strip() and self.text != self._text else ""

    def action_save(self) -> None:
        if not self.text.strip():
            self._say("The note is empty: type something, or leave with Esc.", wrong=True)
        elif not self._is_saving:
            self._is_saving = True
            self._write(self.text)

    @work(group="save", exit_on_error=True)
    async def _write(self, text: str) -> None:
        try:
            note = await asyncio.to_thread(self._save, text)
        except UserError as error:
            self._is_saving = False
            self._say(str(error), wrong=True)
        else:
            cast(AppState, self.app).notes_version += 1
            words = f"Saved your note: {FOUND_AGAIN}."
            if self._path not in (None, note.path):
                words = f"Another program has changed that note meanwhile. Both are kept; yours is {note.path.name}."
            self.app.notify(words, markup=False)
            self._saved = note
            if self.is_active:  # else it would close the screen over it, such as the question before quitting
                self.dismiss(note)

    def on_screen_resume(self) -> None:
        if self._saved is not None:
            self.dismiss(self._saved)

    def action_leave(self) -> None:
        if self._is_saving:
            return  # it closes once the note is written
        if self.would_be_lost():
            self.app.push_screen(LeaveNote(), self._leave_as)
        else:
            self.dismiss(None)

    def _leave_as(self, answer: Answer | None) -> None:
        if answer == "save":
            self.action_save()
        elif answer == "discard":
            self.dismiss(None)


class NoteText(TextArea):
    """The text of the note."""

    def on_paste(self, event: events.Paste) -> None:
        """Cut a paste that would hold the screen up; TextArea's own handler, which is called next, inserts shorter ones."""
        if len(event.text) > MOST_CHARACTERS:
            self.notify(f"The first {MOST_CHARACTERS:,} characters of the paste are taken.", severity="warning")
            event.prevent_default()
            self.replace(event.text[:MOST_CHARACTERS], *self.selection, maintain_selection_offset=False)


Answer = Literal["save", "discard"]


class LeaveNote(ModalScreen[Answer | None]):
    """The question before a note is left unsaved; None goes on writing. No letter answers it: who types on must not lose the
    note."""

    BINDINGS = [
        Binding("enter,ctrl+s", "answer('save')", "Save", id="leave-note.save"),
        Binding("ctrl+d", "answer('discard')", "Discard", id="leave-note.discard"),
        Binding("escape", "answer('')", "Go on", id="leave-note.stay"),
    ]
    DEFAULT_CSS = """
    LeaveNote {
        align: center middle;
        #leave-note { width: 64; max-width: 100%; height: auto; border: round $primary; background: $surface; padding: 1 2; }
        #leave-note-keys { margin: 1 0 0 0; text-style: bold; }
    }
    """

    def compose(self) -> ComposeResult:
        with Vertical(id="leave-note") as box:
            box.border_title = "Leave the note?"
            yield Static("It is not saved.")
            keys = (("save", "Enter save"), ("discard", "ctrl+d discard"), ("", "Esc go on writing"))
            links = " · ".join(f"[@click=screen.answer('{answer}')]{words}[/]" for answer, words in keys)
            yield Static(links, id="leave-note-keys")

    def action_answer(self, answer: str) -> None:
        self.dismiss("save" if answer == "save" else "discard" if answer == "discard" else None)
