"""The page of the exercises: a function written in an editor, its mistake named and drawn, and the model that uses it."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from typing import Any, ClassVar

import pytest
from textual.widgets import OptionList

from lab.exercises.check_result import CheckResult
from lab.exercises.exercise import NAMES, words_of
from lab.exercises.learner_files import file_of, write_folder
from lab.views.blocks import MatrixPanels
from screens.app import LabApp
from screens.dialogs.ask import ConfirmDialog
from screens.inspect.inspect_screen import InspectScreen
from screens.learn.learn_screen import LearnScreen
from screens.learn.write_page import CodeBox, WritePage
from tests.fixture_types import Until
from tests.screens.fake_wire import SilentEngine
from tests.screens.mode_app import ModeApp
from tests.screens.pilot_waits import rows_of

CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"
HEAD = NAMES.index("head")
WRONG = "def head(q, k, v):\n    return (q @ k.T).masked_fill(torch.ones(len(q), len(q)).triu(1).bool(), -1e9).softmax(-1) @ v\n"


class LearnOnATerminal(ModeApp):
    """A lab that hands over the terminal, where the test has none to hand over."""

    FIRST_MODE = "learn"
    MODES: ClassVar[dict[str, Any]] = {**LabApp.MODES, "learn": lambda: LearnScreen(SilentEngine(), "demo")}

    @contextmanager
    def suspend(self) -> Iterator[None]:
        yield


@pytest.fixture
def app(home: Path) -> LearnOnATerminal:
    copytree(CHECKPOINTS / "demo", home / "demo")
    return LearnOnATerminal(preload=False)


def page(app: LabApp) -> WritePage:
    return app.screen.query_one(WritePage)


async def open_exercise(pilot: Any, until: Until) -> None:
    await until(pilot, lambda: pilot.app.screen.query(WritePage))
    await pilot.press("[", "[")
    await until(pilot, lambda: page(pilot.app).is_shown and page(pilot.app).is_settled)
    await pilot.press(*["j"] * HEAD, "enter")
    await until(pilot, lambda: page(pilot.app).view.has_focus)


def writes(text: str, folder: Path) -> str:
    """Command of an editor that replaces the file by this text."""
    script = folder / "editor.py"
    script.write_text(f"import sys\nopen(sys.argv[1], 'w').write({text!r})\n")
    return shlex.join([sys.executable, str(script)])


async def test_a_mistake_is_named_above_its_picture_explained_in_inspect_and_what_passes_is_used_by_your_gpt_2(
    app: LearnOnATerminal, home: Path, tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr("lab.engine.client.EngineClient", SilentEngine)
    file = file_of(write_folder(), "head")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_exercise(pilot, until)

        async def after(key: str) -> str:
            before = dict(page(app).results)
            await pilot.press(key)
            await until(pilot, lambda: (key == "h" or page(app).results != before) and page(app).is_settled)
            await pilot.pause()
            return "\n".join(rows_of(pilot))

        monkeypatch.setenv("EDITOR", writes(f"import torch\n{WRONG}", tmp_path))
        said = await after("e")  # a file that the editor has changed is checked at once
        assert "Your pattern is exactly the one without ÷ √D." in said
        assert any(isinstance(block, MatrixPanels) for block in page(app).view.view.blocks)  # type: ignore[union-attr]
        result = page(app).results["head"]
        assert (result.problem.endswith("differ."), result.number) == (True, "blocks.3.attn.z[1,0,0]")
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, InspectScreen) and app.screen.selection.trail == (result.number,))
        selection = app.screen.selection  # type: ignore[attr-defined]
        assert (selection.stage, selection.layer, selection.head, selection.position) == ("matrix", 3, 0, 1)
        await pilot.press("6")
        await until(pilot, lambda: app.screen.query(WritePage))
        assert "Hint 1 of 3" in await after("h")
        await pilot.press("h", "escape", "enter")
        await until(pilot, lambda: page(app).view.has_focus)
        await pilot.pause()
        assert "Your pattern is exactly the one" in "\n".join(rows_of(pilot)), "an exercise opens with what its check has found"
        file.write_text(words_of("head").solution.replace("softmax(scores)", "torch.softmax(scores, -1)"))
        assert "✓ It passes" in await after("enter")
        await pilot.press("i")
        assert app.current_mode == "learn", "nothing differs"
        await pilot.press("escape")
        choices = page(app).query_one(OptionList)
        assert str(choices.get_option_at_index(HEAD).prompt).startswith("✓")
        assert str(choices.border_subtitle).startswith(f"1 of {len(NAMES)} pass")
        file_of(write_folder(), "softmax").write_text(words_of("softmax").solution)
        await pilot.press("end", "enter")
        said = await after("enter")
        assert f"Yours in it, 2 of {len(NAMES)}: softmax, head." in said, "one that was never checked is checked first"
        assert page(app).view.view.parity.max_delta < 1e-5  # type: ignore[union-attr]


async def test_without_an_editor_it_is_written_in_a_box_and_anew_keeps_what_was_there(
    app: LearnOnATerminal, home: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("screens.learn.write_page.check_file", lambda name, *_, **__: CheckResult(name, "Line 1 is no Python."))
    file = file_of(write_folder(), "head")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_exercise(pilot, until)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.focused, CodeBox))
        await until(pilot, lambda: "⏎ check" not in rows_of(pilot)[-1])  # there enter begins a line
        template = file.read_text()
        await pilot.press("x", "(")
        await pilot.press("enter", "space", "space", "a", "enter", "b")
        assert page(app).would_be_lost() == "what you have written"
        await pilot.press("escape")
        await until(pilot, lambda: "head" in page(app).results and page(app).is_settled)
        await pilot.pause()
        written = f"x(\n  a\n  b{template}"  # a line begins as deep as the one before
        assert file.read_text() == written
        assert "is no Python" in "\n".join(rows_of(pilot))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("x")
        await until(pilot, lambda: file.read_text() == template)
        assert [each.read_text() for each in file.parent.glob("08_head*") if each != file] == [written]
