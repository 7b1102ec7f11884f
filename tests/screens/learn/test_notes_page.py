"""Notes of one's own: written from anywhere, listed in Learn, opened again, changed and deleted."""

import threading
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, Markdown, Static, TextArea

from lab.core.errors import UserError
from lab.lessons.learner.notes import Note, add_note, list_notes, notes_folder
from lab.views.screen_state import ScreenState
from screens.app import LabApp
from screens.base_screen import NOTHING_BEHIND
from screens.dialogs.ask import ConfirmDialog
from screens.dialogs.note_dialog import LeaveNote, NoteDialog
from screens.learn.learn_screen import LearnScreen
from screens.learn.notes_page import LONGEST_SHOWN, NoteList, NotesPage
from screens.tokens.tokens_screen import TokensScreen
from screens.widgets.key_bar import KeyBar
from tests.screens.learn.conftest import SilentEngine


@pytest.fixture
def app(make_run: Any) -> LabApp:
    make_run("tale")
    make_run("other")
    app = LabApp(run="tale", preload=False)
    app._engine = SilentEngine()
    return app


def page(app: LabApp) -> NotesPage:
    return app.screen.query_one(NotesPage)


def listed(app: LabApp) -> list[str]:
    choices = page(app).list
    return [str(choices.get_option_at_index(at).prompt) for at in range(choices.option_count)]


def line(app: LabApp) -> str:
    return str(app.screen.query_one("#note-line", Static).render())


def shown(app: LabApp) -> str:
    return page(app).query_one("#notes-markdown", Markdown).source


async def open_notes(pilot: Pilot[None], until: Any) -> None:
    await pilot.press("6")
    await until(pilot, lambda: pilot.app.screen.query(NotesPage))
    await pilot.press("]", "]")
    await until(pilot, lambda: page(pilot.app).is_settled)  # type: ignore[arg-type]


async def test_a_note_is_written_in_one_place_and_leads_back_to_it_from_another(app: LabApp, home: Path, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs_known)
        await open_notes(pilot, until)
        assert "ctrl+o" in str(page(app).query_one("#notes-none", Static).render())
        assert str(notes_folder(home)) in str(page(app).query_one("#notes-none", Static).render()).replace("\n", "")
        keys = {each.binding.id for each in app.screen.active_bindings.values() if each.enabled}
        assert not keys & {"notes.open", "notes.next", "notes.edit", "notes.delete", "notes.filter"}, "there is nothing yet"
        await pilot.press("escape")
        await until(pilot, lambda: NOTHING_BEHIND in str(app.screen.query_one(KeyBar).render_line(0).text))

        # From a text field, over what is typed there.
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, TokensScreen) and app.screen.is_ready)
        await pilot.press("e", "H", "i")
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, NoteDialog) and isinstance(app.focused, TextArea))
        assert "Tokens · strip" in str(app.screen.query_one("#note-place", Static).render())
        await pilot.press("ctrl+s")
        assert "empty" in line(app)
        assert app.screen.would_be_lost() == ""
        await pilot.press("#", "space", "O", "n", "e", "enter", "t", "w", "o")
        assert app.screen.would_be_lost() == "the note being written"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, LeaveNote))
        await pilot.press("escape")
        assert app.screen.text == "# One\ntwo"  # type: ignore[attr-defined]
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, TokensScreen))
        [note] = list_notes(home)
        assert (note.text, note.state) == (
            "# One\ntwo",
            ScreenState(
                mode="tokens", page="strip", run="tale", prompt="Hi", tokenizer="run", position=note.state and note.state.position
            ),
        )

        # The next one there says that there is one; escape at an untouched one asks nothing.
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, NoteDialog) and line(app).startswith("1 note about this place already"))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, TokensScreen))

        await pilot.press("escape", "c", "6")
        await until(pilot, lambda: app.screen.query(NotesPage) and page(app).is_settled and listed(app))
        assert "One" in listed(app)[0]
        assert "Tokens · strip" in listed(app)[0]
        await until(pilot, lambda: shown(app) == "# One\ntwo")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TokensScreen))
        assert (app.screen.page, app.screen.box.text) == ("strip", "Hi")  # type: ignore[attr-defined]
        await pilot.press("escape", "escape")  # out of the text, and back to where the note is
        await until(pilot, lambda: app.screen.query(NotesPage) and page(app).is_shown)
        await pilot.press("3", "escape", "escape")
        await until(pilot, lambda: NOTHING_BEHIND in str(app.screen.query_one(KeyBar).render_line(0).text))
        assert app.current_mode == "tokens", "it was chosen by its key"


async def test_notes_are_found_changed_and_deleted_and_damaged_ones_say_why(
    app: LabApp, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at, words in enumerate(("alpha [x](https://example.org)\n\n\x1b[2J", "beta", "gamma " + "x" * LONGEST_SHOWN)):
        monkeypatch.setattr("time.time", lambda at=at: 1000.0 + at)
        add_note(home, words, f"Home · {at}", ScreenState(mode="home", run="tale" if at else "gone"))
    (notes_folder(home) / "bad.md").write_bytes(b"\xff")
    (notes_folder(home) / "own.md").write_text("mine\n")
    async with app.run_test(size=(120, 40)) as pilot:
        await open_notes(pilot, until)
        assert len(listed(app)) == 5
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press("b", "e", "t")
        await until(pilot, lambda: len(listed(app)) == 1)
        await pilot.press("enter", "e")
        await until(pilot, lambda: isinstance(app.screen, NoteDialog))
        await pilot.press("space", "2", "escape")
        await until(pilot, lambda: isinstance(app.screen, LeaveNote))
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.query(NotesPage) and shown(app) == "beta 2")
        assert page(app).chosen.created == 1001.0  # type: ignore[union-attr]

        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, NoteDialog))
        theirs = next(note.path for note in list_notes(home) if note.text == "beta 2")
        theirs.write_text(theirs.read_text().replace("beta 2", "beta of theirs"))
        await pilot.press("3", "ctrl+s")
        await until(pilot, lambda: app.screen.query(NotesPage) and len(list_notes(home)) == 6)
        assert {note.text for note in list_notes(home)} >= {"beta 23", "beta of theirs"}
        await until(pilot, lambda: any("Another program has changed" in each.message for each in app._notifications))
        theirs.unlink()
        app.notes_version += 1
        await until(pilot, lambda: len(listed(app)) == 1)

        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("escape")
        assert len(list_notes(home)) == 5
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("x")
        await until(pilot, lambda: app.screen.query(NotesPage) and not listed(app))
        assert len(list_notes(home)) == 4
        await pilot.press("escape")
        await until(pilot, lambda: len(listed(app)) == 4 and isinstance(app.focused, NoteList))

        def go_to(words: str) -> None:
            page(app).list.highlighted = next(at for at, each in enumerate(listed(app)) if words in each)

        go_to("alpha")
        await until(pilot, lambda: shown(app) == "alpha [x](https://example.org)\n\n␛[2J")
        await pilot.press("enter")
        await until(pilot, lambda: "no run called 'gone'" in " ".join(each.message for each in app._notifications))
        assert app.current_mode == "learn"
        go_to("gamma")
        await until(pilot, lambda: shown(app).endswith(f"of {LONGEST_SHOWN + 6:,} characters.*"))
        go_to("bad.md")
        await until(pilot, lambda: "not text in UTF-8" in shown(app))
        await pilot.press("e")
        assert app.screen.query(NotesPage), "a damaged note cannot be changed"
        go_to("own.md")
        await until(pilot, lambda: shown(app) == "mine")
        await pilot.press("enter")
        await until(pilot, lambda: "about no place" in " ".join(each.message for each in app._notifications))


async def test_a_note_of_an_absurd_time_is_listed_and_one_of_thousands_of_cells_is_shown_at_once_as_it_is_written(
    app: LabApp, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Markdown, its table would stop the screen for a minute."""
    monkeypatch.setattr("lab.lessons.learner.notes._modification_time", lambda path: 1e17)
    notes_folder(home).mkdir(parents=True)
    (notes_folder(home) / "own.md").write_text("mine\n")
    (notes_folder(home) / "table.md").write_text("|a|b|\n|-|-|\n" + "|1|2|\n" * 3000)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_notes(pilot, until)
        assert [each[:8] for each in listed(app)] == ["9999-12-"] * 2
        for at, note in enumerate(list_notes(home)):
            page(app).list.highlighted = at
            plain = page(app).query_one("#notes-plain", Static)
            if note.text == "mine":
                await until(pilot, lambda: shown(app) == "mine")
            else:
                await until(pilot, lambda: str(plain.render()).startswith("|a|b|\n|-|-|\n|1|2|"))  # noqa: B023
                assert shown(app) == ""


async def test_a_note_that_cannot_be_written_stays_in_the_dialog_and_while_it_is_saved_nothing_else_is_closed(
    app: LabApp, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def refuse(*_: Any) -> Note:
        raise UserError("Cannot write the note: no space left on device.")

    def slowly(*note: Any) -> Note:
        goes_on.wait(60)
        return add_note(*note)

    async with app.run_test(size=(80, 24)) as pilot:
        for write in (refuse, slowly):
            monkeypatch.setattr("screens.dialogs.note_dialog.add_note", write)
            await pilot.press("ctrl+o")
            await until(pilot, lambda: isinstance(app.screen, NoteDialog) and isinstance(app.focused, TextArea))
            await pilot.press("x", "ctrl+s")
            if write is refuse:
                await until(pilot, lambda: "no space left" in line(app))
                assert app.screen.text == "x"  # type: ignore[attr-defined]
                await pilot.press("escape")
                await until(pilot, lambda: isinstance(app.screen, LeaveNote))
                await pilot.press("d", "s")
                assert isinstance(app.screen, LeaveNote), "no letter loses the note, or closes it"
                await pilot.press("ctrl+d")
                await until(pilot, lambda: not isinstance(app.screen, (NoteDialog, LeaveNote)))
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, NoteDialog), "it closes by itself"
        await pilot.press("ctrl+q")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        goes_on.set()
        await until(pilot, lambda: app._notifications)
        assert isinstance(app.screen, ConfirmDialog), "the question that was asked meanwhile"
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, (NoteDialog, ConfirmDialog)))
        assert [note.text for note in list_notes(home)] == ["x"]


async def test_a_deleted_note_does_not_come_back_with_a_late_reading(
    app: LabApp, home: Path, until: Any, late_answer: Any
) -> None:
    for words in ("first note", "second note"):
        add_note(home, words, "", None)
    is_slow = False
    late = late_answer("screens.learn.notes_page.list_notes", lambda folder: is_slow)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs_known)
        await open_notes(pilot, until)
        is_slow = True
        app.notes_version += 1
        await until(pilot, late.asked.is_set)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, LearnScreen) and len(listed(app)) == 1)
        await late.come(pilot)
        assert len(listed(app)) == 1
