"""Learn BPE: merges forward and back by key, and what the page shows of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lab.tokenization.bpe_session import BpeSession
from lab.tokenization.learnable_text import LearnableText, whole_text
from models.tokenizers.tokenizer import Tokenizer
from screens.app import LabApp
from screens.tokens.bpe_page import BpePage
from screens.tokens.bpe_widgets import MergeList, PairList, TextStrip, lay_strip
from screens.widgets.status_line import StatusLine
from tests.screens.tokens.conftest import TokensApp, screen_of, settle

LINE = "The big dog ran, and the small dog's 12 friends ran too.\n"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "dogs.txt"
    path.write_text(LINE * 40)
    return path


@pytest.fixture
def app(home: Path, text: Path) -> LabApp:
    app = TokensApp(preload=False)
    app.set_reactive(LabApp.text_source, str(text))
    return app


def page_of(pilot: Pilot[None]) -> BpePage:
    return pilot.app.screen.query_one(BpePage)


async def opened(pilot: Pilot[None]) -> BpePage:
    await pilot.press("]", "]")
    await settle(pilot)
    return page_of(pilot)


def line(pilot: Pilot[None], id: str) -> str:
    return pilot.app.screen.query_one(id, StatusLine).left


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(pilot)


async def test_keys_merge_and_step_back_on_the_text_in_use(app: LabApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        assert pilot.app.focused is page.query_one("#bpe-pairs")
        assert line(pilot, "#bpe-sources").startswith("learn from  ● text dogs.txt")
        start = page.state
        assert start is not None
        pairs = page.query_one(PairList)
        pairs.show(replace(start, different_pairs=len(start.pairs) + 459))
        assert str(pairs.border_title).startswith(f"pair counts · {len(start.pairs)} of ")
        pairs.show(start)
        assert (start.name, len(start.merges)) == ("the training part of dogs", 0)
        await press(pilot, "enter", "+")
        await pilot.app.run_action("step(100)", page)
        await settle(pilot)
        state = page.state
        assert state is not None
        learned = Tokenizer.train([LINE * 36], 256 + 111)
        assert list(state.vocabulary) == [learned.token_bytes(id) for id in range(learned.vocab_size)]
        assert line(pilot, "#bpe-next") == "Every word is a single token: no pair is left to merge."
        await press(pilot, "u")
        assert len(page.state.merges) == len(state.merges) - 1  # type: ignore[union-attr]
        assert page.query_one(PairList).border_title == "pair counts · 1 pair"
        await pilot.app.run_action("restart", page)
        await settle(pilot)
        assert page.state is not None
        assert page.state.excerpt_ids == start.excerpt_ids
        assert page.state.pairs == start.pairs
        await press(pilot, "+", "-", "enter", "v")
        assert pilot.app.focused is page.query_one("#bpe-merges")
        assert line(pilot, "#bpe-parts") == '"an" = a n'
        assert page.query_one(MergeList).border_title == "1 merge"
        shown, merges, parts = (page.query_one(f"#bpe-{name}").region for name in ("pairs", "merges", "parts"))
        assert shown.bottom == merges.bottom == parts.y, "the boxes of the upper row end on one line"


async def test_escape_stops_merges_space_plays_and_pauses_and_the_end_stops_it(
    app: LabApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        page = await opened(pilot)
        with monkeypatch.context() as patch:
            patch.setattr("screens.tokens.bpe_page.SLICE_SECONDS", 0.0)  # a merge a slice
            page.action_step(100)
            assert page.go_back()
            await settle(pilot)
            assert page.state is not None
            assert len(page.state.merges) == 1
            assert not page.go_back()
            page.action_step(20)
            page.action_restart()
            await settle(pilot)
            assert page.state.merges == ()
        await pilot.press("space")
        assert page.playing
        await press(pilot, "space")
        assert not page.playing
        made = len(page.state.merges)  # type: ignore[union-attr]
        page._tick()  # one that was posted before the pause
        await settle(pilot)
        assert len(page.state.merges) == made  # type: ignore[union-attr]
        page.action_step(108)
        await settle(pilot)
        page.playing = True
        for _ in range(5):
            page._tick()
            await settle(pilot)
        assert not page.playing
        assert page.state is not None
        assert not page.state.pairs
        await press(pilot, "space")
        assert not page.playing


async def test_the_text_box_and_the_text_in_use_as_its_rules_leave_it_are_learned_from_and_learned_again_when_they_change(
    app: LabApp, text: Path, tmp_path: Path, until: Any
) -> None:
    text.write_text((LINE + "\a\n") * 20)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = screen_of(pilot)
        screen.box.text = "abab abab"
        page = await opened(pilot)
        assert page.state is not None
        raw = page.state.text_bytes
        app.text_cleaning = (*app.text_cleaning, "control-characters")
        await until(pilot, lambda: page.state is not None and page.state.name == "the training part of dogs, cleaned")
        assert page.state.text_bytes == raw - 18 - 1, "and the blank line that is left is cut before its last newline"

        at = line(pilot, "#bpe-sources").index("the text box")
        await pilot.click("#bpe-sources", offset=(at + 2, 0))
        assert page.source == "box"
        await settle(pilot)
        await press(pilot, "enter")
        assert page.state.text_sentence == "the text in the box: 9 bytes"
        assert page.state.vocabulary[256] == b"ab"
        assert line(pilot, "#bpe-sources").endswith("● the text box")
        screen.box.text = "xyxy"
        await until(pilot, lambda: page.state is not None and page.state.text_sentence == "the text in the box: 4 bytes")

        other = tmp_path / "other [red]\x1b.txt"
        other.write_text("other words\n" * 9)
        app.text_source = str(other)
        await until(pilot, lambda: page.state is not None and page.state.name.startswith("the training part of other [red]\x1b"))
        title = page.query_one(TextStrip)._border_title
        assert title is not None
        assert title.plain.startswith("the beginning of the training part of other [red]␛")
        page.source = "box"
        assert page.go_back()
        assert line(pilot, "#bpe-counts").startswith("Reading was cancelled")
        await press(pilot, "enter")
        assert page.state.name == "the text in the box"

        app.text_source = str(tmp_path / "gone.txt")
        await until(pilot, lambda: "gone.txt does not exist" in line(pilot, "#bpe-counts"))
        await pilot.press("enter", "space", "u", "-", "v")
        assert page.state is None
        assert not page.playing


async def test_a_text_that_is_read_late_is_not_learned_from(app: LabApp, until: Any, late_answer: Any) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        screen_of(pilot).box.text = "abab"
        page = await opened(pilot)
        for then in ("another text", "escape"):
            late = late_answer("lab.tokenization.learnable_text.whole_text", lambda name, text: text == "abab", whole_text)
            page.source = "text"
            await settle(pilot)
            screen_of(pilot).box.text = "abab"
            page.source = "box"
            await until(pilot, late.asked.is_set)
            if then == "escape":
                assert page.go_back()
            else:
                screen_of(pilot).box.text = "xyxyxy"
                await until(pilot, lambda: page.state is not None)
            before = page.state
            await late.come(pilot)
            assert page.state is before


def test_letters_keep_their_places_while_tokens_grow() -> None:
    session = BpeSession(LearnableText("it", {"the": 5, " then": 2}, "the then\nthe"))
    places = []
    for _ in range(3):
        lines = lay_strip(session.state, 6)
        places.append(["".join(text for text, _, _ in line).replace(" ", "␣") for line in lines])
        session.move(1)
    assert places == [["the␣th", "en␊", "the"]] * 3
    assert [[(text, is_new) for text, _, is_new in line] for line in lay_strip(session.state, 6)][2] == [("the", False)]
    papers = [paper % 2 for _, paper, _ in lay_strip(session.state, 80)[0]]
    assert papers == [at % 2 for at in range(len(papers))]


def test_picture(app: LabApp, snap_compare: Any) -> None:
    async def go(pilot: Pilot[None]) -> None:
        await opened(pilot)
        await press(pilot, "+")
        await press(pilot, "enter")  # alone, so that only its token is bold

    assert snap_compare(app, terminal_size=(120, 40), run_before=go)
