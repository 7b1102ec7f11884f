"""The live widgets on the user's text: the funnel's rules switched by key, and BPE merged by key."""

from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from screens.app import LabApp
from screens.learn.lessons_page import LessonsPage
from screens.learn.live.live_widget import LiveWidget, ModelAtHand
from screens.learn.live.text_widgets import FunnelWidget, MergesWidget
from screens.widgets.status_line import StatusLine
from tests.screens.learn.conftest import lessons_page

PARAGRAPH = "The big dog ran to the old house and slept there until the next morning came with rain, and then it ran home again."


async def open_widget(pilot: Pilot[None], until: Any, lesson: str, widget: str, kind: type[LiveWidget]) -> Any:
    page = await lessons_page(pilot, until)
    found = next(each for each in page.lessons if each.name == lesson)
    at = next(i for i, step in enumerate(found.steps) if step.live is not None and step.live.widget == widget)
    page.add_class("-reading")
    page.reader.show(found, at)
    await until(pilot, lambda: isinstance(page.reader.live, kind) and page.reader.live.is_settled)
    return page.reader.live


async def test_rules_are_switched_and_merges_are_made_on_the_chosen_text(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        Path("doubled.txt").write_text(f"{PARAGRAPH}\n\n{PARAGRAPH}\n\nThe old cat sat.\n")
        app.text_source = "doubled.txt"
        funnel = await open_widget(pilot, until, "cleaning", "funnel", FunnelWidget)
        assert "doubled.txt" in funnel.view.view.title
        rows = funnel.view.view.blocks[0].rows
        assert rows[-1][2].value < rows[0][2].value, "the paragraph comes twice"
        await pilot.press("home", "down", "x")
        await until(pilot, lambda: funnel.left_out and funnel.is_settled)
        assert any(row[1].text == "off" for row in funnel.view.view.blocks[0].rows)
        state = funnel.full_screen()
        assert state is not None
        assert (state.mode, state.page, state.text) == ("data", "clean", "doubled.txt")

        page = pilot.app.screen.query_one(LessonsPage)
        merges = await open_widget(pilot, until, "tokens", "merges", MergesWidget)
        for key, made in (("enter", 1), ("+", 11), ("u", 10)):
            await pilot.press(key)
            await until(pilot, lambda: merges.is_settled and len(merges.session.state.merges) == made)  # noqa: B023
        assert merges.view.view.title == "10 merges"
        before = merges.view.view.blocks[0].title
        await pilot.press("e", "ctrl+u", "d", "o", "g", "enter")
        await until(pilot, lambda: merges.view.view.blocks[0].title != before)
        assert [row[0].text for row in merges.view.view.blocks[0].rows] == ["dog"]
        assert pilot.app.focused is merges.view
        state = merges.full_screen()
        assert (state.mode, state.page, state.run) == ("tokens", "bpe", merges._run), "the text that it has learned from"
        await pilot.press("space")
        await until(pilot, lambda: page.reader.live is not merges and page.reader.live is not None)
        await pilot.press("backspace")
        await until(pilot, lambda: isinstance(page.reader.live, MergesWidget) and page.reader.live.is_settled)
        assert len(page.reader.live.session.state.merges) == 10, "going on and back loses no merge"


async def test_the_text_of_a_run_that_is_found_late_does_not_replace_a_newer_one(
    app: LabApp, until: Any, make_run: Any, late_answer: Any
) -> None:
    make_run("tale")
    async with app.run_test(size=(80, 24)) as pilot:
        funnel = await open_widget(pilot, until, "cleaning", "funnel", FunnelWidget)
        status = pilot.app.screen.query_one("#lesson-status", StatusLine)
        await until(pilot, lambda: "no run called 'demo'" in status.left)
        late = late_answer("screens.learn.live.text_widgets.open_run", lambda name: name == "tale")
        funnel.show_model(ModelAtHand("tale", ""))
        await until(pilot, late.asked.is_set)
        Path("own.txt").write_text(PARAGRAPH)
        app.text_source = "own.txt"
        funnel.show_model(ModelAtHand("tale", ""))
        await late.come(pilot)
        assert funnel._own == ("own.txt", "")
