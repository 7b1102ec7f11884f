"""Main view of every mode on terminals of 16 colours, of none, and without UTF-8: what is sent, and that no colour stands alone.

Inspect, which needs an engine, is in tests/screens/inspect.
"""

from collections.abc import Callable
from typing import Any

import pytest
from textual.widgets import Button

from screens.app import LabApp
from screens.messages import CompareRuns, RunChosen
from screens.tokens.strip_page import TokenCard
from screens.train.run_form import RunForm
from screens.train.run_header import VerdictBar
from tests.screens.conftest import write_insights
from tests.screens.emitted_cells import PLAIN, SIXTEEN, Cells, as_text, codes_of, emitted_cells, without_ascii_mark
from tests.screens.pilot_waits import press, settle, show_home_as

OF_THE_EXAMPLE = set("éï🙂")
"""Letters of the text that Tokens begins with."""
pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


async def main_views(make_run: Any, until: Any, few: bool) -> dict[str, Cells]:
    """The main view of each mode, one after the other in one lab; `few`: those alone in which colour stands for numbers."""
    for name, step in (("one", 200), ("two", 100)):
        run = make_run(name, created=1_759_900_000.0 + step, step=step, steps=200)
        run.tokenizer_path.write_text("{}")
        write_insights(run, range(0, step + 1, 100))
    app = LabApp(preload=False)
    views: dict[str, Cells] = {}

    async with app.run_test(size=(80, 24)) as pilot:

        async def show(name: str, *keys: str, ready: Callable[[Any], object]) -> None:
            await press(pilot, *keys)
            await until(pilot, lambda: ready(app.screen))
            views[name] = emitted_cells(app)

        await show("home", ready=lambda home: len(home.query_one("#runs").curves) == 2 and home.query_one("#machine").content)
        await show("data", "2", ready=lambda data: len(data.choose_page._counts) == 2 and data.query_one("#texts").root.children)
        app.text_source = "fable.txt"
        await press(pilot, "3", "c")
        await until(pilot, lambda: corpus_fact(app.screen))
        await show("tokens", "right", ready=lambda tokens: "times in" in corpus_fact(tokens))
        if not few:
            await show("new run", "4", "n", ready=is_counted)
        app.post_message(RunChosen("two", "train"))
        await show("run", ready=lambda train: train.MODE == "train" and verdict_on(train, "two"))
        await show("heads", "a", ready=lambda train: train.view.page == "heads")
        if few:
            return views
        app.post_message(CompareRuns(("one", "two")))
        await show("compare", ready=lambda compare: compare.MODE == "compare" and compare.is_ready)
        await show("help", "question_mark", ready=lambda help: help.query("#help-keys"))
        await press(pilot, "escape", "escape")
        await show("learn", "6", ready=lambda learn: learn.MODE == "learn" and lists_lessons(learn))

        await press(pilot, "2")  # a button that does nothing now has its words
        use = app.screen.query_one("#use", Button)
        use.disabled = True
        await settle(pilot)
        assert (use.size.height, use.region.height) == (1, 1)
        await pilot.hover("#use")
        assert use.size.height == 1
    return views


def verdict_on(train: Any, run: str) -> bool:
    return (
        not train.making
        and train.view.watched is not None
        and train.view.watched.name == run
        and train.view.query_one(VerdictBar).verdict is not None
    )


def is_counted(train: Any) -> bool:
    """True once the form has the number of tokens, of a short text counted a second time, and what it says of its validation."""
    counts = [worker for worker in train.workers if worker.group == "count" and worker.is_running]
    return not counts and "also stands" in str(train.query_one(RunForm).cost)


def lists_lessons(learn: Any) -> bool:
    """True once the lessons are listed, above them the quiz, and below them how many are done."""
    lessons = learn.query("LessonList").first()
    return "quiz" in str(lessons.border_title) and "done" in str(lessons.border_subtitle or lessons.parent.border_subtitle)


def corpus_fact(screen: Any) -> str:
    """What the card of the chosen token says of the text in use, which is counted meanwhile."""
    return str(dict(screen.query_one(TokenCard).card.facts).get("corpus", "")) if screen.query(TokenCard) else ""


def few_colours(patch: pytest.MonkeyPatch, terminal: str) -> None:
    if terminal == "none":
        patch.setenv("NO_COLOR", "1")
    patch.setenv("TERM", "xterm-16color")
    patch.delenv("COLORTERM")


@pytest.mark.parametrize("terminal", ["16", "none"])
async def test_main_views(terminal: str, make_run: Any, until: Any, monkeypatch: pytest.MonkeyPatch, snapshot: Any) -> None:
    show_home_as(monkeypatch, "/home/you/runs")
    monkeypatch.setattr("screens.data.choose_inputs.short_path", lambda folder: "~/texts")
    few_colours(monkeypatch, terminal)
    for name, cells in (await main_views(make_run, until, few=terminal == "none")).items():
        assert codes_of(cells) <= (PLAIN if terminal == "none" else PLAIN | SIXTEEN), name
        assert without_ascii_mark(cells) <= OF_THE_EXAMPLE, name
        assert as_text(cells) == snapshot(name=name)
