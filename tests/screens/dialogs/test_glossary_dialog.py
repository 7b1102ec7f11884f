"""The glossary on screen: found by typing, shown, and left for the term's place; the palette's way to it."""

import pytest
from textual.command import Hit
from textual.widgets import Input, OptionList, Static

from lab.lessons.glossary import glossary
from screens.app import LabApp
from screens.command_palette import LabCommands
from screens.dialogs.glossary_dialog import GlossaryDialog, terms_in_sight
from tests.fixture_types import Until
from tests.screens.fake_wire import SilentEngine
from tests.screens.pilot_waits import paste, press, resize

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


@pytest.fixture
def app() -> LabApp:
    return LabApp(preload=False)


def dialog(app: LabApp) -> GlossaryDialog:
    assert isinstance(app.screen, GlossaryDialog)
    return app.screen


def text(app: LabApp) -> str:
    return str(dialog(app).query_one("#glossary-text", Static).content)


async def test_typing_filters_the_terms_the_one_under_the_cursor_is_explained_and_enter_goes_to_its_place(
    app: LabApp, until: Until
) -> None:
    app._engine = SilentEngine()
    async with app.run_test(size=(80, 24)) as pilot:
        await press(pilot, "ctrl+r")
        assert dialog(app).listed == list(glossary())
        assert glossary()[0].text in text(app)
        await press(pilot, "l")
        await paste(pilot, "ogit")
        names = [term.name for term in dialog(app).listed]
        assert names[0] == "logit"
        assert set(names) < {term.name for term in glossary()}
        assert "vocabulary" in text(app)
        assert "Inspect · logits → softmax" in text(app)
        await press(pilot, "down")
        assert names[1] in text(app)
        await paste(pilot, "xyz")
        assert (dialog(app).listed, text(app)) == ([], "No term has these words.")
        await press(pilot, "enter", "escape")
        assert app.current_mode == "home"
        assert not isinstance(app.screen, GlossaryDialog)

        await app.run_action("app.glossary('mojibake')")
        await pilot.pause()
        assert dialog(app).listed[0].name == "mojibake"
        await press(pilot, "enter")
        await until(pilot, lambda: app.current_mode == "data" and getattr(app.screen, "page", "") == "clean")
        assert app.opened_from == "home"

        typed = {"what is entropy": "entropy", "SFT": "supervised fine-tuning", "memorized": "memorization"}
        for query, name in typed.items():
            hits = sorted([hit async for hit in LabCommands(app.screen).search(query)], reverse=True)
            lines = [(hit.text, str(hit.help)) for hit in hits if isinstance(hit, Hit)]
            found = next(each for each in glossary() if each.name == name)
            assert lines[0] == (f"Glossary: {name}", found.text)

        def first_found() -> str:
            found = app.screen.query_one(OptionList)
            return found.get_option_at_index(0).hit.text if found.highlighted == 0 else ""  # type: ignore[attr-defined]

        await press(pilot, "ctrl+p")
        app.screen.query_one(Input).value = "perplexity"
        await pilot.pause()
        await until(pilot, lambda: first_found() == "Glossary: perplexity")
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, GlossaryDialog))
        assert "e to the power of the loss" in text(app)


async def test_the_terms_on_the_screen_come_first_and_the_longest_text_is_all_in_sight(app: LabApp, until: Until) -> None:
    longest = max(glossary(), key=lambda term: len(term.text))
    async with app.run_test(size=(120, 40)) as pilot:
        await press(pilot, "3")
        await until(pilot, lambda: bool(terms_in_sight(app.screen_stack[0])))
        await press(pilot, "ctrl+r")
        first = dialog(app).listed[0]
        assert first.place.mode == "tokens"
        assert "on this screen come first" in str(dialog(app).query_one("#glossary").border_title)
        await press(pilot, "z", "backspace")
        assert dialog(app).listed[0] == first
        for size in ((120, 40), (80, 24)):
            await resize(pilot, *size)
            dialog(app).terms.highlighted = dialog(app).listed.index(longest)
            await pilot.pause()
            assert longest.text in text(app)
            box, words = dialog(app).query_one("#glossary").region, dialog(app).query_one("#glossary-text").region
            assert box in app.screen.region
            assert words in box
            assert words.height >= 5
