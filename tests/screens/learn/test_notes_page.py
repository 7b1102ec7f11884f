"""Notes of one's own: written from anywhere, shown in Learn, opened in an editor."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Markdown

from lab.lessons.notes import add_note, notes_path, read_notes
from screens.app import LabApp
from screens.dialogs.ask import AskText
from screens.learn.notes_page import LONGEST_SHOWN, MOST_LINES, NotesPage
from screens.tokens.tokens_screen import TokensScreen
from tests.screens.fake_wire import SilentEngine


class LabOnATerminal(LabApp):
    """A lab that hands over the terminal, where the test has none to hand over."""

    has_terminal = True

    @contextmanager
    def suspend(self) -> Iterator[None]:
        if not self.has_terminal:
            with super().suspend():
                pass
        yield


@pytest.fixture
def app(make_run: Any) -> LabOnATerminal:
    make_run("tale")
    app = LabOnATerminal(run="tale", preload=False)
    app._engine = SilentEngine()
    return app


def page(app: LabApp) -> NotesPage:
    return app.screen.query_one(NotesPage)


def shown(app: LabApp) -> str:
    return page(app).query_one(Markdown).source


def told(app: LabApp) -> str:
    return " ".join(each.message for each in app._notifications)


async def open_notes(pilot: Pilot[None], until: Any) -> None:
    await pilot.press("6")
    await until(pilot, lambda: pilot.app.screen.query(NotesPage))
    await pilot.press("]", "]")
    await until(pilot, lambda: page(pilot.app).is_settled)  # type: ignore[arg-type]


async def test_a_note_is_written_over_a_text_field_and_shown_in_learn(app: LabApp, home: Path, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs_known)
        await open_notes(pilot, until)
        assert "No notes yet" in shown(app)
        assert str(notes_path(home)) in shown(app)
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, TokensScreen) and app.screen.is_ready)
        await pilot.press("e", "H", "i")
        await pilot.press("ctrl+o", *"x*y", "ctrl+j", "z")
        await until(pilot, lambda: isinstance(app.screen, AskText))
        assert app.screen.would_be_lost() == "the text being typed"  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: "Written to your notes" in told(app))
        [heading, text] = read_notes(home).split("\n\n")
        assert heading.startswith("## ")
        assert " · Tokens · strip · tokenizer of tale" in heading
        assert "“Hi”" in heading
        assert text == "x*y\nz\n"
        assert app.screen.box.text == "Hi"  # type: ignore[attr-defined]

        for keys in (["escape"], ["x", "escape"], ["space", "enter"]):
            await pilot.press("ctrl+o", *keys)
            await until(pilot, lambda: isinstance(app.screen, TokensScreen))
        assert read_notes(home) == f"{heading}\n\n{text}", "escape, or nothing typed, writes nothing"

        await pilot.press("escape", "c", "6")
        await until(pilot, lambda: app.screen.query(NotesPage) and shown(app).endswith("x*y\nz\n"))
        await pilot.press("ctrl+o", "n", "e", "w", "enter")
        await until(pilot, lambda: shown(app).endswith(" · Learn · notes · demo\n\nnew\n"))


async def test_a_note_that_cannot_be_written_comes_back_with_the_reason(app: LabApp, home: Path, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs_known)
        notes_path(home).mkdir(parents=True)
        await pilot.press("ctrl+o", "m", "i", "n", "e", "enter")
        dialog: Any = None
        await until(pilot, lambda: isinstance(app.screen, AskText) and "is a folder" in app.screen._words)
        dialog = app.screen
        assert dialog.query_one("PromptInput").text == "mine"
        assert dialog.would_be_lost() == "the text being typed", "quitting asks"
        notes_path(home).rmdir()
        await pilot.press("enter")
        await until(pilot, lambda: read_notes(home).endswith("\n\nmine\n"))


async def test_escapes_are_visible_long_notes_end_at_the_newest_and_what_is_no_file_is_a_sentence(
    app: LabApp, home: Path, until: Any
) -> None:
    notes_path(home).parent.mkdir(parents=True)
    notes_path(home).write_text("# Mine\n\nalpha [x](https://example.org) \x1b[2J\n")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_notes(pilot, until)
        assert shown(app) == "# Mine\n\nalpha [x](https://example.org) ␛[2J\n"
        for at in range(MOST_LINES):
            add_note(home, "Home", f"note {at}")
        await pilot.press("[", "]")
        await until(pilot, lambda: shown(app).endswith(f"\n\nnote {MOST_LINES - 1}"))
        first, _, rest = shown(app).partition("\n\n")
        assert first.startswith("*The last ")
        assert rest.startswith("## ")
        assert rest.count("\n") < MOST_LINES
        box = page(app).query_one("#notes-text")
        await until(pilot, lambda: box.scroll_y == box.max_scroll_y > 0)
        notes_path(home).write_text("x" * 2 * LONGEST_SHOWN)
        await pilot.press("[", "]")
        await until(pilot, lambda: shown(app).startswith(f"*The last {LONGEST_SHOWN:,} of {2 * LONGEST_SHOWN:,} "))
        notes_path(home).unlink()
        notes_path(home).symlink_to("/etc/passwd")
        await pilot.press("[", "]")
        await until(pilot, lambda: shown(app).endswith("is a link, not a regular file."))


EDITOR = "import sys; print('typed by hand', file=open(sys.argv[1], 'a'))"


WRONG = {
    "": "Neither $VISUAL nor $EDITOR names an editor",
    "/no/such/editor": "cannot be opened",
    "vim '": "cannot be opened",
    "false": "ended with exit code 1",
}


async def test_e_opens_the_notes_in_the_editor_shows_what_it_has_written_and_one_that_cannot_be_opened_is_a_sentence(
    app: LabOnATerminal, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.has_terminal = False
    monkeypatch.delenv("VISUAL", raising=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_notes(pilot, until)
        monkeypatch.setenv("EDITOR", "/no/such/editor")
        monkeypatch.setenv("VISUAL", shlex.join([sys.executable, "-c", EDITOR]))
        await pilot.press("e")
        await until(pilot, lambda: "No editor can be opened on this terminal" in told(app))
        assert str(notes_path(home)) in told(app)
        app.has_terminal = True
        await pilot.press("e")
        await until(pilot, lambda: shown(app) == "typed by hand\n")
        assert notes_path(home).read_text() == "typed by hand\n"

        secret = home / "secret"
        secret.write_text("as it was")
        notes_path(home).unlink()
        notes_path(home).symlink_to(secret)
        await pilot.press("e")
        await until(pilot, lambda: "is a link, not a regular file" in told(app))
        assert secret.read_text() == "as it was"
        notes_path(home).unlink()

        monkeypatch.delenv("VISUAL")
        for editor, sentence in WRONG.items():
            monkeypatch.setenv("EDITOR", editor)
            app.clear_notifications()
            await pilot.press("e")
            await until(pilot, lambda sentence=sentence: sentence in told(app))
            assert str(notes_path(home)) in told(app) or editor == "false"
