"""The page Vocabulary: list, search, sort, filter, details, on the model that ships with the lab."""

import time
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Input

from lab.core.errors import UserError
from lab.tokenization import vocabulary_facts
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.tokens.vocabulary_list import GAP, VocabularyList, _hex, columns_for
from screens.tokens.vocabulary_page import VocabularyPage
from screens.widgets.status_line import StatusLine
from tests.screens.pilot_waits import LONGEST_WAIT, paste
from tests.screens.tokens.conftest import TokensApp, settle

DEMO = Path(__file__).parents[3] / "checkpoints" / "demo"


@pytest.fixture
def app(home: Path) -> LabApp:
    """The model that ships with the lab, as the run `tale`."""
    (home / "tale").symlink_to(DEMO)
    return TokensApp(run="tale", preload=False)


def page_of(pilot: Pilot[None]) -> VocabularyPage:
    return pilot.app.screen.query_one(VocabularyPage)


def first_line(pilot: Pilot[None]) -> str:
    """The line below the head of the list."""
    return page_of(pilot).query_one(VocabularyList).render_line(1).text


async def open_page(pilot: Pilot[None], *keys: str) -> None:
    await settle(pilot)
    await pilot.press("[", *keys)
    await settle(pilot)


def lines(pilot: Pilot[None], count: int = 3) -> list[str]:
    listed = page_of(pilot).query_one(VocabularyList)
    return [listed.draw(line).text.rstrip() for line in range(min(count, listed.extent[0]))]


def title(pilot: Pilot[None]) -> str:
    return str(page_of(pilot).query_one(VocabularyList).border_title)


def facts(pilot: Pilot[None]) -> str:
    return page_of(pilot).query_one("#vocabulary-facts", StatusLine).left


async def test_the_runs_vocabulary(app: LabApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await open_page(pilot)
        assert facts(pilot).startswith(
            "535 of 746 tokens never occur in the training part of tale (673,201 tokens long, 4.01 bytes"
        )
        assert title(pilot) == "746 of 746 · commonest first"
        assert page_of(pilot).query_one(VocabularyList).cursor == 0
        assert lines(pilot)[1].split()[:3] == ["259", '"', 'the"']
        assert "40,796" in lines(pilot)[1]
        await pilot.press("f")
        assert title(pilot) == "never used · 535 of 746 · commonest first"
        assert all("never" in line for line in lines(pilot, 100))
        await pilot.press("f")
        assert facts(pilot) == (
            "Glitch candidates: 535 never used, 0 used with a like embedding, 0 unreachable. "
            "Of the 535 embeddings nearest to the mean, 535 are never used."
        )
        await pilot.press("s")
        assert title(pilot) == "glitch candidates · 535 of 746 · nearest to the mean first"
        assert all(" 0.94" in line for line in lines(pilot))
        await pilot.press("escape")
        assert title(pilot).startswith("746 of 746")
        await pilot.press("s", "s", "s")
        await app.run_action("reverse", page_of(pilot))
        await pilot.press("/", *"og")
        assert title(pilot) == "3 of 746 · rarest first"
        await pilot.press("enter", "down", "down")
        assert page_of(pilot).query_one(VocabularyList).chosen == 357
        detail = page_of(pilot).query_one(BlockView)
        assert not detail.display
        await pilot.press("enter")
        assert detail.display
        assert detail.view is not None
        assert detail.view.title == 'token 357: " dog"'
        await pilot.press("escape")
        assert page_of(pilot).query_one(Input).value == ""
        assert title(pilot) == "746 of 746 · rarest first"


async def test_a_fixed_vocabulary_is_counted_in_the_chosen_text(app: LabApp, tmp_path: Path) -> None:
    text = tmp_path / "dogs.txt"
    text.write_text("The dog ran.\n" * 30 + "\x1b[31m")
    async with app.run_test(size=(120, 40)) as pilot:
        app.text_source = str(text)
        await open_page(pilot, "c")
        assert facts(pilot).startswith("50,248 of 50,257 tokens never occur in dogs (154 tokens")
        assert page_of(pilot).query_one(BlockView).display, "there is room beside the list"
        await pilot.press("/")
        await paste(pilot, "^ do")
        await pilot.press("enter")
        assert lines(pilot, 1)[0].split()[1:4] == ["3290", '"', 'dog"']
        await pilot.press("/", "ctrl+u")
        await paste(pilot, "zzzz")
        await pilot.press("enter", "down")
        assert title(pilot).startswith("0 of 50,257")
        assert "No such token: Esc outside the field clears the search." in first_line(pilot)
        app.text_source = str(tmp_path / "gone.txt")
        await settle(pilot)
        assert facts(pilot).endswith("gone.txt does not exist; give the path of a text file, or stories or python.")


async def test_a_count_can_be_stopped_and_begun_again(app: LabApp, monkeypatch: pytest.MonkeyPatch, until: Any) -> None:
    counts = 0

    def endless(*arguments: Any) -> None:
        nonlocal counts
        counts += 1
        if counts > 1:
            raise UserError("This text is gone.")
        limit = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < limit:
            time.sleep(0.001)
            arguments[-1](1, 0)

    monkeypatch.setattr(vocabulary_facts, "vocabulary_facts", endless)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("[")
        page = page_of(pilot)
        await until(pilot, lambda: counts and page.query_one(VocabularyList).extent[0])
        assert page.query_one(VocabularyList).extent[0] == 746, "the tokens are there before they are counted"
        await pilot.press("escape")
        assert facts(pilot) == "The count was stopped; r counts again."
        await pilot.press("r")
        await settle(pilot)
        assert facts(pilot) == "This text is gone."


def test_the_columns_fit_and_a_label_wider_than_its_column_is_cut() -> None:
    for width, size, counted in product((20, 40, 60, 75, 76, 100, 150, 196), (256, 746, 50_257, 200_000), (True, False)):
        columns = columns_for(width, size, counted)
        parts = [columns.id, columns.token, columns.bytes, columns.merge, columns.count + columns.bar + 1 if counted else 0]
        used = 1 + sum(parts) + GAP * (sum(part > 0 for part in parts) - 1)
        assert used <= width or width < 50
        assert columns.merge > 0 or width < 75
    assert _hex(b"abc", 8) == "61 62 63"
    assert _hex(b"abcd", 10) == "61 62 63 …"
    assert cell_len(_hex(bytes(50), 11)) <= 11


def test_picture(app: LabApp, snap_compare: Any) -> None:
    async def go(pilot: Pilot[None]) -> None:
        await open_page(pilot)
        await pilot.press("f", "f")
        await settle(pilot)

    assert snap_compare(app, terminal_size=(120, 40), run_before=go)


async def test_counts_of_the_text_before_are_not_those_of_the_newer(
    app: LabApp, tmp_path: Path, until: Any, late_answer: Any
) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("The dog ran.\n" * 30)
    two.write_text("A cat sat on a mat. The\n" * 99)
    late = late_answer("lab.tokenization.vocabulary_facts.vocabulary_facts", lambda *asked: str(one) in asked)
    async with app.run_test(size=(80, 24)) as pilot:
        app.text_source = str(one)
        await pilot.press("c", "[")
        await until(pilot, late.asked.is_set)
        app.text_source = str(two)
        await until(pilot, lambda: " two" in facts(pilot))
        await late.come(pilot)
        assert " two" in facts(pilot)
