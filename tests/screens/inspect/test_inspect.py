"""Keys of Inspect, over the fake engine."""

import asyncio
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from lab.core.errors import UserError
from lab.views.blocks import StageEntry
from models.tokenizers.tokenizer import Tokenizer
from screens.app import LabApp
from screens.blocks.block_view import BlockView
from screens.inspect.inspect_part import Loading, Starting
from screens.inspect.inspect_screen import InspectScreen
from screens.inspect.run_hold import read_first_prompt
from screens.inspect.selection import Prompt
from screens.inspect.widgets.sampling_form import SettingError, in_short, settings_from
from screens.widgets.forward_pass_list import ForwardPassDrawing, ForwardPassList
from screens.widgets.key_bar import KeyBar
from screens.widgets.prompt_input import PromptInput, meant, shown
from screens.widgets.status_line import StatusLine
from screens.widgets.token_strip import TokenStrip
from tests.fixture_types import Settle
from tests.screens.inspect.conftest import to_stage

Open = Callable[..., Any]


def screen_of(pilot: Pilot[None]) -> InspectScreen:
    screen = pilot.app.screen
    assert isinstance(screen, InspectScreen)
    return screen


def status(pilot: Pilot[None]) -> str:
    return screen_of(pilot).query_one("#inspect-status", StatusLine).left


def facts(pilot: Pilot[None]) -> str:
    line = screen_of(pilot).query_one("#prompt-facts", StatusLine)
    return f"{line.left} {'  '.join(line.right)}"


def shown_view(pilot: Pilot[None]) -> str:
    view = screen_of(pilot).query_one(BlockView).view
    assert view is not None
    return view.title


async def press(pilot: Pilot[None], settle: Settle, *keys: str) -> None:
    await pilot.press(*keys)
    await settle(pilot)


async def test_j_and_k_walk_every_step_of_every_layer_and_g_leads_to_the_ends(
    inspect: Open, settle: Settle, steps: list[StageEntry]
) -> None:
    async with inspect() as pilot:
        expected_steps = steps
        titles = [shown_view(pilot)]
        for _ in expected_steps[1:]:
            await press(pilot, settle, "j")
            titles.append(shown_view(pilot))
        expected = [f"layer {s.layer + 1} · {s.stage} · head 1" if s.layer is not None else s.stage for s in expected_steps]
        assert titles == expected
        await press(pilot, settle, "j")
        assert shown_view(pilot) == "sample"
        back = [shown_view(pilot)]
        for _ in expected_steps[1:]:
            await press(pilot, settle, "k")
            back.append(shown_view(pilot))
        assert back == expected[::-1]
        await press(pilot, settle, "G")
        assert (shown_view(pilot), status(pilot)) == ("sample", "step 31/31")
        await press(pilot, settle, "g")
        assert (shown_view(pilot), status(pilot)) == ("tokens", "step 1/31 · x hides token 4 “ ran”")


async def test_a_held_key_asks_only_for_the_place_where_it_is_released(
    inspect: Open, settle: Settle, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screens.inspect.engine_session.PATIENCE", math.inf)  # however long the keys take on a busy machine
    async with inspect() as pilot:
        engine.gate = asyncio.Event()
        before = len(engine.wanted_views)
        await pilot.press(*to_stage("neurons"))
        assert screen_of(pilot).query_one(ForwardPassList).current == len(to_stage("neurons"))
        engine.gate.set()
        await settle(pilot)
        stages = [(call["stage"], call["layer"]) for call in engine.wanted_views[before:]]
        assert shown_view(pilot) == "layer 1 · neurons · head 1"
        assert len(stages) < 8
        assert ("neurons", 0) in stages


async def test_a_view_that_takes_long_is_marked_and_the_old_one_stays(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect() as pilot:
        engine.gate = asyncio.Event()
        await pilot.press("]")
        await pilot.press("G")
        view = screen_of(pilot).query_one(BlockView)
        async with asyncio.timeout(30):
            while not str(view.border_title).endswith("…"):
                await pilot.pause(0.01)
        assert shown_view(pilot) == "tokens"
        assert str(view.border_title).endswith("…")
        engine.gate.set()
        await settle(pilot)
        assert (shown_view(pilot), view.border_title) == ("sample", "sample")


async def test_position_head_and_layer_keys(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect() as pilot:
        assert "position 4/4: predicts token 5" in facts(pilot)
        await press(pilot, settle, *to_stage("scores"), "left", "]", "]", "right_curly_bracket")
        assert "position 3/4: predicts token 4" in facts(pilot)
        assert shown_view(pilot) == "layer 2 · scores · head 3"
        wanted = {"stage": "scores", "layer": 1, "head": 2, "position": 2}
        assert any({key: call[key] for key in wanted} == wanted for call in engine.asked("view"))
        assert screen_of(pilot).query_one(TokenStrip).chosen == 2
        await press(pilot, settle, "[", "[", "[", "left_curly_bracket", "l")
        assert shown_view(pilot) == "layer 1 · scores · head 4"
        assert "position 4/4" in facts(pilot)


async def test_space_appends_the_sampled_token_as_an_id_and_u_takes_it_back(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, "space")
        await press(pilot, settle, "space")
        strip = screen_of(pilot).query_one(TokenStrip)
        assert [token.label for token in strip.tokens] == ["The", " big", " dog", " ran", " fast", " fast"]
        assert engine.asked("lens")[-1]["ids"] == (464, 1263, 3290, 4966, 3049, 3049)
        assert "position 6/6" in facts(pilot)
        await press(pilot, settle, "u", "u")
        assert [token.label for token in strip.tokens] == ["The", " big", " dog", " ran"]
        assert engine.asked("lens")[0]["ids"] is None


async def test_digits_and_command_letters_stay_in_the_prompt(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, "e")
        await pilot.press("1", "2", "q", "j", "space", "G", "question_mark", "s")
        assert pilot.app.screen.query_one(PromptInput).value == "The big dog ran12qj G?s"
        await press(pilot, settle, "enter")
        labels = [token.label for token in screen_of(pilot).query_one(TokenStrip).tokens]
        assert labels[-5:] == ["j", " ", "G", "?", "s"]
        assert isinstance(pilot.app.focused, ForwardPassList)


async def test_escape_goes_back_one_level_at_a_time(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, "enter")
        assert isinstance(pilot.app.focused, BlockView)
        await press(pilot, settle, "e")
        await pilot.press("x")
        assert isinstance(pilot.app.focused, Input)
        await press(pilot, settle, "escape")
        assert isinstance(pilot.app.focused, ForwardPassList)
        assert [token.label for token in screen_of(pilot).query_one(TokenStrip).tokens][-1] == " ran"
        await press(pilot, settle, "enter", "escape")
        assert isinstance(pilot.app.focused, ForwardPassList)
        await press(pilot, settle, "escape")
        assert pilot.app.current_mode == "inspect"


async def test_the_tokens_are_there_before_the_engine_answers(
    app: LabApp, settle: Settle, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.runs.load_tokenizer.tokenizer_of", lambda run: Tokenizer.bytes_())
    engine.opens = asyncio.Event()
    async with app.run_test(size=(80, 24)) as pilot:
        async with asyncio.timeout(30):
            while screen_of(pilot).query_one(BlockView).view is None:
                await pilot.pause(0.01)
        strip, view = screen_of(pilot).query_one(TokenStrip), screen_of(pilot).query_one(BlockView).view
        assert "".join(token.label for token in strip.tokens) == "The␣big␣dog␣ran"
        assert strip.chosen == len("The big dog ran") - 1
        assert strip.guess is None
        assert view is not None
        assert view.sentence == "“n” is token 15 of 15: id 110, a single byte."
        engine.opens.set()
        await settle(pilot)
        assert [token.label for token in strip.tokens] == ["The", " big", " dog", " ran"], "then the engine's own"


async def test_escape_leads_back_from_a_jump_and_not_along_the_steps(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, "j", "j")
        started = shown_view(pilot)
        await press(pilot, settle, "G", "k")
        await press(pilot, settle, "H")
        jumped = shown_view(pilot)
        assert "thumbnails" in jumped
        await press(pilot, settle, "escape")
        assert shown_view(pilot) == "logits"
        await press(pilot, settle, "escape")
        assert shown_view(pilot) == started
        await press(pilot, settle, "escape")
        assert shown_view(pilot) == started
        assert "nothing to go back to" in screen_of(pilot).query_one(KeyBar).render_line(0).text


async def test_tab_moves_between_the_columns_and_the_border_of_the_model_names_its_origin(
    inspect: Open, settle: Settle, engine: Any
) -> None:
    engine.origin = "imported from g[b]pt2"
    async with inspect() as pilot:
        kinds = []
        for _ in range(3):
            kinds.append(type(pilot.app.focused))
            await press(pilot, settle, "tab")
        assert kinds == [ForwardPassDrawing, BlockView, ForwardPassDrawing]
        title = pilot.app.screen.query_one(ForwardPassList).border_title
        assert title == r"imported from g\[b]pt2 · forward pass", "markup, in which a bracket is escaped"


async def test_the_cursor_says_name_and_full_value_of_a_number(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, *to_stage("scores"), "enter")
        table = engine.view("The big dog ran", None, "scores", 0, 0, None).blocks[0]
        cell = table.rows[table.selected][-1]
        assert status(pilot) == f" big · softmax  zero-indexed: blocks.0.attn.softmax[0,3,1]  = {cell.value:.9g}".strip()
        await press(pilot, settle, "up")
        assert "blocks.0.attn.softmax[0,3,0]" in status(pilot)
        await press(pilot, settle, "h")
        assert "blocks.0.attn.exp[0,3,0]" in status(pilot)
        await press(pilot, settle, "right_square_bracket")
        assert "blocks.0.attn.exp[1,3,0]" in status(pilot), "the cursor stays in its place when the head changes"


async def test_a_prompt_longer_than_the_window_is_marked_and_said(inspect: Open, settle: Settle) -> None:
    async with inspect(prompt="The big dog ran. The big dog ran fast.", size=(120, 40)) as pilot:
        strip = screen_of(pilot).query_one(TokenStrip)
        assert (len(strip.tokens), strip.dropped) == (8, 4)
        assert "context 8 tokens: 4 earlier ones (left of ┆) are cut off" in status(pilot)
        assert strip.render_line(strip.above).text.startswith("4 before ┆")
        await press(pilot, settle, "space")
        assert (len(strip.tokens), strip.dropped) == (8, 5)


async def test_an_empty_prompt_and_a_checkpoint_that_is_not_there_are_said_and_what_was_in_view_stays(
    inspect: Open, settle: Settle, engine: Any
) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, "e")
        await pilot.press("ctrl+u")
        await press(pilot, settle, "enter")
        assert status(pilot) == "The prompt is empty: type some text for the model to go on with."
        assert screen_of(pilot).selection.prompt.text == "The big dog ran"  # the one that is still in view
        assert not str(screen_of(pilot).query_one(BlockView).border_title).endswith("…")
        await press(pilot, settle, "j")
        assert (shown_view(pilot), status(pilot)[:9]) == ("embed", "step 2/31")
        assert not screen_of(pilot).check_action("undo", ())
        await press(pilot, settle, "c")
        assert "has no last checkpoint" in status(pilot)
        assert "(best)" in facts(pilot)
        await press(pilot, settle, "j")
        assert shown_view(pilot) == "layer 1 · ln1 · head 1"
        assert engine.asked("view")[-1]["checkpoint"] == "best"


async def test_a_dead_engine_is_said_and_the_next_key_shows_what_it_leads_to(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect() as pilot:
        engine.dies = True
        await press(pilot, settle, "G")
        assert status(pilot) == "The engine was killed by SIGKILL. The next key starts another."
        await press(pilot, settle, "left")
        assert shown_view(pilot) == "sample"
        assert "position 3/4" in facts(pilot)
        assert "step 31" in status(pilot)
        engine.pid = None
        screen_of(pilot).notices.pulse()
        assert status(pilot).startswith("The engine has ended."), "one that ends while idle is told of, too"
        await press(pilot, settle, "left")
        assert status(pilot).startswith("step 31/31")


async def test_sampling_settings_are_applied_or_refused_in_words(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await press(pilot, settle, "s")
        await pilot.press("ctrl+u", "x")
        await press(pilot, settle, "enter")
        assert status(pilot) == "The temperature must be a number, 0 or above, not 'x'."
        await pilot.press("ctrl+u", "0", ".", "5", "tab", "ctrl+u", "4", "0")
        await press(pilot, settle, "enter")
        assert "T=0.5 k=40 p=-" in facts(pilot)
        sampling = engine.asked("lens")[-1]["sampling"]
        assert (sampling.temperature, sampling.top_k, sampling.top_p) == (0.5, 40, 1.0)


async def test_coming_back_asks_whether_the_weights_are_newer(inspect: Open, settle: Settle, engine: Any) -> None:
    async with inspect() as pilot:
        await pilot.press("1")
        await pilot.pause()
        engine.step = 2500
        await pilot.press("5")
        await settle(pilot)
        assert "step 2,500" in facts(pilot)


async def test_the_engine_is_closed_with_the_app(inspect: Open, engine: Any) -> None:
    async with inspect() as pilot:
        pilot.app.exit()
    assert engine.calls[-1][0] == "close"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("1", "0", "1", "0"), "T=1 k=- p=- seed 0"),
        (("0", "", "0,9", ""), "T=0 greedy k=- p=0.9 seed 0"),
        (("0.7", "40", "-", "3"), "T=0.7 k=40 p=- seed 3"),
    ],
)
def test_settings_in_short(fields: tuple[str, str, str, str], words: str) -> None:
    assert in_short(settings_from(*fields)) == words


@pytest.mark.parametrize(
    "fields", [("-1", "", "", ""), ("nan", "", "", ""), ("", "1.5", "", ""), ("", "", "0", ""), ("", "", "", "x")]
)
def test_settings_that_cannot_be_are_one_sentence(fields: tuple[str, str, str, str]) -> None:
    with pytest.raises(SettingError, match=r"^[A-Z].*\.$"):
        settings_from(*fields)


def test_line_breaks_and_tabs_of_a_prompt_stand_on_one_line() -> None:
    text = "ROMEO:\n\tHark!"
    assert "\n" not in shown(text)
    assert meant(shown(text)) == text


async def test_a_tokenizer_that_cannot_be_read_is_said_and_does_not_end_the_app(
    inspect: Open, settle: Settle, home: Path
) -> None:
    async with inspect() as pilot:
        await press(pilot, settle, "space")
        (home / "tale" / "tokenizer.json").write_text("{}")
        await press(pilot, settle, "e")
        async with asyncio.timeout(60):
            while any(worker.group == "edit" for worker in pilot.app.workers):
                await pilot.pause()
        assert "tokenizer" in status(pilot)
        assert "damaged" in status(pilot)
        assert isinstance(pilot.app.focused, ForwardPassList)
        await press(pilot, settle, "j")
        assert shown_view(pilot) == "embed"


async def test_an_engine_that_does_not_answer_is_waited_for_in_words_and_r_starts_another(
    inspect: Open, settle: Settle, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inspect() as pilot:
        screen = screen_of(pilot)
        assert not screen.check_action("restart_engine", ())
        monkeypatch.setattr("screens.engine_notices.SLOW_AFTER", 0.0)
        engine.gate, engine.is_halted = asyncio.Event(), True
        await pilot.press("G")
        screen.notices.pulse()
        assert re.fullmatch(r"No answer from the engine… \d s\. If it is stuck, R restarts the engine\.", status(pilot))
        await pilot.press("R")
        monkeypatch.setattr("screens.engine_notices.SLOW_AFTER", 60.0)
        await settle(pilot)
        assert engine.asked("kill") == [{}]
        assert shown_view(pilot) == "sample"
        assert "step 31" in status(pilot)
        assert screen.notices.waited == 0.0


async def test_the_run_is_held_and_loading_is_marked_until_the_engine_holds_it(app: Any, engine: Any, home: Path) -> None:
    from lab.runs.run_locks import inspect_lock_is_held

    engine.opens = asyncio.Event()
    async with app.run_test(size=(80, 24)) as pilot, asyncio.timeout(60):
        screen = screen_of(pilot)
        line = screen.query_one("#inspect-status", StatusLine)
        while not engine.asked("open") or not line.mark:
            await pilot.pause(0.01)
        assert inspect_lock_is_held(home / "tale")
        engine.opens.set()
        while isinstance(screen.model, Starting | Loading):
            await pilot.pause()
        assert not inspect_lock_is_held(home / "tale")  # the fake engine holds nothing
        while not screen.is_settled:
            await asyncio.sleep(0)
        assert line.mark == ""


async def test_the_key_leads_to_all_heads_and_to_the_one_under_the_cursor(inspect: Open, settle: Settle) -> None:
    async with inspect() as pilot:
        screen = screen_of(pilot)
        await pilot.press("H")
        await settle(pilot)
        assert screen.selection.stage == "thumbnails"
        view = screen.query_one(BlockView)
        await pilot.press("right_curly_bracket", "right_square_bracket")
        await settle(pilot)
        spot = view.laid.spot(view.laid.followed())  # type: ignore[arg-type]
        assert spot.label == "Head 2.2 does this."
        assert view.top <= spot.line
        assert spot.line + spot.height <= view.top + view.window
        await pilot.press("enter", "right")
        await settle(pilot)
        await pilot.press("H")
        await settle(pilot)
        assert (screen.selection.stage, screen.selection.layer, screen.selection.head) == ("matrix", 1, 2)
        assert not view.has_focus
        await pilot.press("j", "H", "escape")
        await settle(pilot)
        assert screen.selection.stage not in ("thumbnails", "matrix"), "where H was pressed"


async def test_enter_and_a_click_on_a_thumbnail_lead_to_the_pattern_of_its_head(inspect: Open, settle: Settle) -> None:
    async with inspect(size=(120, 40)) as pilot:
        screen = screen_of(pilot)
        view = screen.query_one(BlockView)
        await pilot.press("H", "enter")
        await settle(pilot)
        await pilot.press("down", "right", "enter")
        await settle(pilot)
        assert (screen.selection.stage, screen.selection.layer, screen.selection.head) == ("matrix", 1, 1)
        await pilot.press("H")
        await settle(pilot)
        last = view.laid.spot((1, 1, 3))
        await pilot.click(view, offset=(2 + last.start + 1, 1 + last.line - view.top + 1))
        await settle(pilot)
        assert (screen.selection.stage, screen.selection.layer, screen.selection.head) == ("matrix", 1, 3)


async def test_a_run_that_is_read_late_does_not_replace_the_newer_one(
    inspect: Open, settle: Settle, make_run: Any, until: Any, late_answer: Any
) -> None:
    make_run("slow")
    late = late_answer("screens.inspect.inspect_screen.read_first_prompt", lambda name, asked: name == "slow")
    async with inspect() as pilot:
        screen, app = screen_of(pilot), screen_of(pilot).lab
        app.run_name = "slow"
        await until(pilot, late.asked.is_set)
        for name in ("tale", "slow"):
            app.run_name = name
            await until(pilot, lambda name=name: screen.selection.run == name)  # type: ignore[misc]
            await settle(pilot)
        screen.sampling.change_prompt(Prompt("The big dog"))
        await settle(pilot)
        await late.come(pilot)
        assert screen.selection.prompt.text == "The big dog"


@pytest.mark.parametrize(
    ("where", "key"),
    [("screens.inspect.inspect_screen.read_first_prompt", ""), ("screens.inspect.time_travel._stops_of", "t")],
)
async def test_a_late_problem_of_a_run_is_not_told_of_another(
    inspect: Open, settle: Settle, make_run: Any, until: Any, late_answer: Any, where: str, key: str
) -> None:
    make_run("bad")
    make_run("good")

    def refuse(name: str, *asked: Any) -> Any:
        if name == "bad":
            raise UserError("bad is gone.")
        return read_first_prompt(name, *asked)

    late = late_answer(where, lambda name, *asked: name == "bad", refuse)
    async with inspect() as pilot:
        screen = screen_of(pilot)
        screen.lab.run_name = "bad"
        if key:
            await until(pilot, lambda: screen.selection.run == "bad")
            await settle(pilot)
            await pilot.press(key)
        await until(pilot, late.asked.is_set)
        screen.lab.run_name = "good"
        await until(pilot, lambda: screen.selection.run == "good")
        await settle(pilot)
        await late.come(pilot)
        assert "bad is gone" not in status(pilot)
