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

from lab.lessons.learner_notes import notes_path, read_notes
from screens.app import LabApp
from screens.dialogs.ask import AskText
from screens.learn.notes_page import LONGEST_SHOWN, MOST_LINES, NotesPage, end_of
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

        for keys in (["x", "escape"], ["space", "enter"]):
            await pilot.press("ctrl+o", *keys)
            await until(pilot, lambda: isinstance(app.screen, TokensScreen))
        assert read_notes(home) == f"{heading}\n\n{text}", "escape, or nothing typed, writes nothing"

        await pilot.press("escape", "c", "6")
        await until(pilot, lambda: app.screen.query(NotesPage) and shown(app).endswith("x*y\nz\n"))
        await pilot.press("ctrl+o", "n", "e", "w", "enter")
        await until(pilot, lambda: shown(app).endswith(" · Learn · notes · demo\n\nnew\n"))

        notes_path(home).rename(home / "kept")
        notes_path(home).mkdir()
        await pilot.press("ctrl+o", "m", "i", "n", "e", "enter")
        await until(pilot, lambda: isinstance(app.screen, AskText) and "is a folder" in app.screen._words)
        dialog: Any = app.screen
        assert dialog.query_one("PromptInput").text == "mine", "it comes back with the reason"
        assert dialog.would_be_lost() == "the text being typed", "quitting asks"
        notes_path(home).rmdir()
        await pilot.press("enter")
        await until(pilot, lambda: read_notes(home).endswith("\n\nmine\n"))


def test_of_long_notes_the_newest_are_shown_from_a_heading_on() -> None:
    notes = "".join(f"## Home\n\nnote {at}\n\n" for at in range(MOST_LINES))
    first, _, rest = end_of(notes).partition("\n\n")
    assert first == f"*The last {len(rest):,} of {len(notes):,} characters; `e` opens all.*"
    assert rest.startswith("## ")
    assert rest.endswith(f"\n\nnote {MOST_LINES - 1}\n")
    assert MOST_LINES - 6 < rest.count("\n") < MOST_LINES
    assert end_of("x" * 2 * LONGEST_SHOWN).startswith(f"*The last {LONGEST_SHOWN:,} of {2 * LONGEST_SHOWN:,} ")
    assert end_of("short\n") == "short\n"


EDITOR = "import sys; print('typed by hand', file=open(sys.argv[1], 'a'))"


WRONG = {
    "": "Neither $VISUAL nor $EDITOR names an editor",
    "/no/such/editor": "cannot be opened",
    "vim '": "cannot be opened",
    "false": "ended with exit code 1",
}


async def test_e_opens_the_notes_whose_escapes_are_visible_in_the_editor_and_one_that_cannot_be_opened_is_a_sentence(
    app: LabOnATerminal, home: Path, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.has_terminal = False
    monkeypatch.delenv("VISUAL", raising=False)
    notes_path(home).parent.mkdir(parents=True)
    mine = "# Mine\n\nalpha [x](https://example.org) \x1b[2J\n" + "\nbeta\n" * 20
    notes_path(home).write_text(mine)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_notes(pilot, until)
        assert shown(app) == mine.replace("\x1b", "␛")
        box = page(app).query_one("#notes-text")
        await until(pilot, lambda: box.scroll_y == box.max_scroll_y > 0)
        monkeypatch.setenv("EDITOR", "/no/such/editor")
        monkeypatch.setenv("VISUAL", shlex.join([sys.executable, "-c", EDITOR]))
        await pilot.press("e")
        await until(pilot, lambda: "No editor can be opened on this terminal" in told(app))
        assert str(notes_path(home)) in told(app)
        app.has_terminal = True
        await pilot.press("e")
        await until(pilot, lambda: shown(app).endswith("typed by hand\n"))
        assert notes_path(home).read_text() == mine + "typed by hand\n"

        secret = home / "secret"
        secret.write_text("as it was")
        notes_path(home).unlink()
        notes_path(home).symlink_to(secret)
        await pilot.press("e")
        await until(pilot, lambda: "is a link, not a regular file" in told(app))
        await until(pilot, lambda: shown(app).endswith("is a link, not a regular file."))
        assert secret.read_text() == "as it was"
        notes_path(home).unlink()

        monkeypatch.delenv("VISUAL")
        for editor, sentence in WRONG.items():
            monkeypatch.setenv("EDITOR", editor)
            app.clear_notifications()
            await pilot.press("e")
            await until(pilot, lambda sentence=sentence: sentence in told(app))
            assert str(notes_path(home)) in told(app) or editor == "false"
