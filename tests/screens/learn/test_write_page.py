"""Learn: an exercise is written, checked, drawn where it fails, and used once it passes."""

from pathlib import Path

import pytest

from lab.exercises.exercise import NAMES, words_of
from lab.views.blocks import MatrixPanels
from screens.app import LabApp
from screens.learn.write_page import CodeBox, WriteList, WritePage
from tests.fixture_types import Until
from tests.screens.learn.conftest import lessons_page

RIGHT = "def embed(ids, wte, wpe):\n    return wte[ids] + wpe[: len(ids)]\n"


async def test_what_fails_is_drawn_hints_come_one_by_one_and_what_passes_is_used(
    app: LabApp, home: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await lessons_page(pilot, until)
        await pilot.press("[", "[")
        page = pilot.app.screen.query_one(WritePage)
        file = home / ".learn" / "write" / "05_embed.py"
        await until(pilot, lambda: page.is_shown and page.is_settled)
        await pilot.press(*["down"] * NAMES.index("embed"), "enter", "e")
        await until(pilot, lambda: page.has_class("-editing"))
        box = page.query_one(CodeBox)
        assert box.text == words_of("embed").template
        box.load_text(RIGHT.replace(" + wpe[: len(ids)]", ""))
        assert page.would_be_lost() == "what you have written"
        await pilot.press("escape")
        await until(pilot, lambda: "embed" in page.results and page.is_settled)
        assert file.read_text() == "def embed(ids, wte, wpe):\n    return wte[ids]\n"
        view = page.view.view
        assert view is not None
        assert view.sentence.startswith("The position is missing: only the tokens' vectors are returned. Your prompt: ")
        [panels] = [block for block in view.blocks if isinstance(block, MatrixPanels)]
        yours, right, difference = (each.values.numpy() for each in panels.matrices)
        assert abs(yours - right - difference).max() < 1e-6
        await pilot.press("h", "h", "h")
        shown = str(page.view.view)
        assert all(hint.split("`")[0] in shown for hint in words_of("embed").hints)

        await pilot.press("x")
        await until(pilot, lambda: pilot.app.screen.query("#ask"))
        await pilot.press("x")
        await until(pilot, lambda: file.read_text() == words_of("embed").template)
        assert (file.parent / "05_embed.earlier-1.py").exists()

        file.write_text(RIGHT)
        await until(pilot, lambda: page.view.has_focus)
        await pilot.press("enter")
        await until(pilot, lambda: page.results["embed"].passes if "embed" in page.results else False)
        await until(pilot, lambda: "1 of 14 pass" in str(page.query_one(WriteList).border_subtitle))
        await pilot.press("escape", "end", "enter", "enter")
        await until(pilot, lambda: "Your GPT-2" in page.results and page.is_settled)
        model = page.results["Your GPT-2"].model
        assert model is not None
        assert model.used == ["embed"]
        assert model.is_equal
