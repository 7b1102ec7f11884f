"""Keys of Inspect, over the fake engine."""

import asyncio
import math
import re
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from msgspec import structs
from rich.text import Text
from textual.widgets import Input, OptionList

from lab.core.errors import UserError
from lab.core.preferences import Preferences, preferences_path, read_preferences
from lab.engine.client import EngineError
from lab.runs import home_folder
from lab.views.blocks import Prediction, StageEntry
from models.config import SamplingSettings
from screens.blocks.block_view import BlockView
from screens.dialogs.ask import RunChooser
from screens.inspect.run_hold import read_first_prompt
from screens.inspect.selection import Prompt, after_refusal
from screens.inspect.widgets.prompt_bar import SettingError, in_short, settings_from
from screens.messages import RunChosen
from screens.widgets.forward_pass_list import ForwardPassDrawing, ForwardPassList
from screens.widgets.key_bar import KeyBar
from screens.widgets.prompt_input import PromptInput
from tests.screens.inspect.conftest import Open, to_stage
from tests.screens.pilot_waits import settle


async def test_j_and_k_walk_every_step_of_every_layer_and_g_leads_to_the_ends(inspect: Open, steps: list[StageEntry]) -> None:
    async with inspect() as pilot:
        expected = [f"layer {s.layer + 1} · {s.stage} · head 1" if s.layer is not None else s.stage for s in steps]
        seen = [pilot.title]
        for _ in expected:
            await pilot.go("j")
            seen.append(pilot.title)
        assert seen == [*expected, "sample"], "there is none beyond"
        assert pilot.status == "No stage comes after this one."
        await pilot.go("k", "k", "k")
        assert pilot.title == expected[-4]
        await pilot.go("end")
        assert pilot.status == f"stage {len(steps)}/{len(steps)}"
        await pilot.go("home")
        assert (pilot.title, pilot.status) == ("tokens", f"stage 1/{len(steps)} · x hides token 4 “ ran”")
        await pilot.go("k")
        assert (pilot.title, pilot.status) == ("tokens", "No stage comes before this one.")


WAYS_IN = (
    (["enter"], 1),
    (["enter", "enter"], 2),
    (["x", "c"], 1),
    (["x", "tab", "tab"], 1),
    (["inspect.guess"], 1),
    (["e"], 1),
)
"""Keys, and how many levels they enter."""


async def test_the_keys_name_the_way_out_of_whatever_is_entered(inspect: Open) -> None:
    async with inspect() as pilot:
        keys_shown = pilot.screen.query_one(KeyBar)
        for keys, levels in WAYS_IN:
            assert "esc" not in keys_shown.render_line(0).text, keys
            await pilot.go(*keys)
            await pilot.until(lambda: " esc " in keys_shown.render_line(0).text)
            await pilot.go(*["escape"] * levels)
            assert pilot.app.focused is pilot.screen.query_one(ForwardPassDrawing), keys
            await pilot.go("inspect.all_on")


SAID_OF_KEYS = {
    "No layer comes before this place.": ["left_curly_bracket"],
    "No layer comes after this place.": ["right_curly_bracket"] * 3,
    "No token comes before this one.": ["left"] * 4,
    "No token comes after this one. space samples the next.": ["right"] * 4,
    "stage 11/31 · x ablates attention 1, all its heads": to_stage("resid_mid"),
    "stage 15/31 · x ablates mlp 1, all its neurons": to_stage("resid_post"),
    "stage 1/31 · drawn at random: “ fast” had 41.2% · x hides token 5 “ fast”": ["space"],
}


async def test_a_key_that_cannot_act_says_why_and_one_that_draws_or_takes_away_says_what(inspect: Open) -> None:
    async with inspect(size=(120, 40)) as pilot:
        for words, keys in SAID_OF_KEYS.items():
            await pilot.go("home", *keys)
            assert pilot.status.partition(" · logit lens")[0] == words


async def test_a_held_key_asks_only_for_the_place_where_it_is_released_and_until_that_comes_the_old_view_stays(
    inspect: Open, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screens.inspect.engine_session.PATIENCE", math.inf)  # however long the keys take on a busy machine
    monkeypatch.setattr("screens.inspect.engine_session.LOOK_AHEAD_TOKENS", 0)
    async with inspect() as pilot:
        engine.gate = asyncio.Event()
        before, view = len(engine.asked("view")), pilot.view
        await pilot.press(*to_stage("neurons"))
        assert pilot.screen.query_one(ForwardPassList).current == len(to_stage("neurons"))
        engine.gate.set()
        await pilot.settle()
        stages = [(call["stage"], call["layer"]) for call in engine.asked("view")[before:]]
        assert pilot.title == "layer 1 · neurons · head 1"
        assert len(stages) < 8
        assert ("neurons", 0) in stages
        engine.gate = asyncio.Event()
        await pilot.press("end")
        await pilot.until(lambda: str(view.border_title).endswith("…"))
        assert pilot.title == "layer 1 · neurons · head 1"
        engine.gate.set()
        await pilot.settle()
        assert (pilot.title, view.border_title) == ("sample", "sample")


async def test_keys_choose_position_head_and_layer_tab_the_column_and_the_cursor_says_name_and_full_value_of_a_number(
    inspect: Open, engine: Any
) -> None:
    engine.origin = "imported from g[b]pt2"
    async with inspect() as pilot:
        title = pilot.screen.query_one(ForwardPassList).border_title
        assert title == r"imported from g\[b]pt2 · forward pass", "markup, in which a bracket is escaped"
        assert "position 4/4: predicts token 5" in pilot.facts
        await pilot.go(*to_stage("scores"), "left", "]", "]", "right_curly_bracket")
        assert "position 3/4: predicts token 4" in pilot.facts
        assert pilot.title == "layer 2 · scores · head 3"
        wanted = {"stage": "scores", "layer": 1, "head": 2, "position": 2}
        assert any({key: call[key] for key in wanted} == wanted for call in engine.asked("view"))
        assert pilot.strip.chosen == 2
        await pilot.go("right_curly_bracket", *["left"] * 9)
        assert "position 1/4" in pilot.facts
        assert pilot.title == "layer 2 · scores · head 3", "keys stay within the model"
        await pilot.go("[", "[", "[", "left_curly_bracket", *["l"] * 9)
        assert pilot.title == "layer 1 · scores · head 4"
        assert "position 4/4" in pilot.facts

        await pilot.go("]")
        kinds = []
        for _ in range(3):
            kinds.append(type(pilot.app.focused))
            await pilot.go("tab")
        assert kinds == [ForwardPassDrawing, BlockView, ForwardPassDrawing]
        table = engine.view("The big dog ran", None, "scores", 0, 0, None).blocks[0]
        cell = table.rows[table.selected][-1]
        words = f" big · softmax  zero-indexed: blocks.0.attn.softmax[0,3,1]  = {cell.value:.9g}".strip()
        assert pilot.status.removesuffix(" · x ablates head 1.1") == words
        await pilot.go("up")
        assert "blocks.0.attn.softmax[0,3,0]" in pilot.status
        await pilot.go("h")
        assert "blocks.0.attn.exp[0,3,0]" in pilot.status
        await pilot.go("right_square_bracket")
        assert "blocks.0.attn.exp[1,3,0]" in pilot.status, "the cursor stays in its place when the head changes"


async def test_what_is_typed_stays_in_the_prompt_and_escape_goes_back_one_level_at_a_time(inspect: Open) -> None:
    async with inspect() as pilot:
        await pilot.go("e")
        await pilot.press("1", "2", "q", "j", "space", "G", "question_mark", "s")
        assert pilot.screen.query_one(PromptInput).value == "The big dog ran12qj G?s"
        await pilot.go("enter")
        assert pilot.labels[-5:] == ["j", " ", "G", "?", "s"]
        assert isinstance(pilot.app.focused, ForwardPassList)
        await pilot.go("enter")
        assert isinstance(pilot.app.focused, BlockView)
        await pilot.go("e")
        await pilot.press("x")
        assert isinstance(pilot.app.focused, Input)
        await pilot.go("escape")
        assert isinstance(pilot.app.focused, ForwardPassList)
        assert pilot.labels[-1] == "s"
        await pilot.go("enter", "escape")
        assert isinstance(pilot.app.focused, ForwardPassList)
        await pilot.go("escape")
        assert pilot.app.current_mode == "inspect"


async def test_v_leads_to_all_heads_and_to_the_one_under_the_cursor_and_escape_back_from_a_jump_and_not_along_the_steps(
    inspect: Open,
) -> None:
    async with inspect() as pilot:
        screen, view = pilot.screen, pilot.view

        def selected() -> tuple[str, int, int]:
            return screen.selection.stage, screen.selection.layer, screen.selection.head

        await pilot.go("j", "j")
        started = pilot.title
        await pilot.go("end", "k")
        await pilot.go("v")
        assert selected() == ("thumbnails", 0, 0)
        await pilot.go("escape")
        assert pilot.title == "logits"
        for _ in range(2):
            await pilot.go("escape")
            assert pilot.title == started
        assert "nothing to go back to" in screen.query_one(KeyBar).render_line(0).text

        await pilot.go("v")
        await pilot.go("right_curly_bracket", "right_square_bracket")
        spot = view.laid.spot(view.laid.followed())  # type: ignore[arg-type]
        assert spot.label == "Head 2.2 does this."
        assert view.top <= spot.line
        assert spot.line + spot.height <= view.top + view.window
        await pilot.go("enter", "right")
        await pilot.go("v")
        assert selected() == ("matrix", 1, 2)
        assert not view.has_focus
        await pilot.go("j", "v", "escape")
        assert screen.selection.stage not in ("thumbnails", "matrix"), "where v was pressed"

        await pilot.resize_terminal(120, 40)
        await pilot.go("v", "enter")
        await pilot.go("up", "left", "enter")
        assert selected() == ("matrix", 0, 1)
        await pilot.go("inspect.all_heads")
        last = view.laid.spot((1, 1, 3))
        await pilot.click(view, offset=(2 + last.start + 1, 1 + last.line - view.top + 1))
        await pilot.settle()
        assert selected() == ("matrix", 1, 3)


async def test_all_heads_begin_at_the_one_worth_a_look_until_the_user_chooses_one(inspect: Open, engine: Any) -> None:
    engine.worth_a_look = {3: (1, 2), 2: (0, 3)}
    async with inspect() as pilot:

        def head() -> tuple[int, int]:
            return pilot.screen.selection.layer, pilot.screen.selection.head

        await pilot.go("v")
        assert head() == (1, 2)
        await pilot.go("left", "escape", "v")
        assert head() == (0, 3), "of another token it is another one"
        await pilot.go("right_square_bracket", "escape", "right", "v")
        assert head() == (0, 0), "the user's own"
        pilot.screen.selection = replace(pilot.screen.selection, run="other", stage="tokens", head=9)
        pilot.screen.selection = replace(pilot.screen.selection, head=3)  # this model has four heads
        await pilot.go("v")
        assert head() == (1, 2), "a head of a larger model was chosen, none of this one"


async def test_what_cannot_be_shown_is_said_and_what_was_in_view_stays(inspect: Open, engine: Any, home: Path) -> None:
    async with inspect() as pilot:
        await pilot.go("e")
        await pilot.press("ctrl+u")
        await pilot.go("enter")
        assert pilot.status == "The prompt is empty: type some text for the model to go on with."
        assert pilot.screen.selection.prompt.text == "The big dog ran"  # the one that is still in view
        assert not str(pilot.view.border_title).endswith("…")
        await pilot.go("j")
        assert (pilot.title, pilot.status[:10]) == ("embed", "stage 2/31")
        assert not pilot.screen.check_action("do", ("undo",))
        await pilot.go("inspect.checkpoint")
        assert "has no last checkpoint" in pilot.status
        assert "(best)" in pilot.facts
        await pilot.go("j")
        assert pilot.title == "layer 1 · ln1 · head 1"
        assert engine.asked("view")[-1]["checkpoint"] == "best"
        await pilot.go("space")
        (home / "tale" / "tokenizer.json").write_text("{}")
        await pilot.go("e")
        await pilot.until(lambda: all(worker.group != "edit" for worker in pilot.app.workers))
        assert "tokenizer" in pilot.status
        assert "damaged" in pilot.status
        assert isinstance(pilot.app.focused, ForwardPassList)
        await pilot.go("j")
        assert pilot.title == "layer 1 · qkv · head 1"


async def test_an_engine_that_dies_or_does_not_answer_is_said_and_the_next_key_or_the_palette_starts_another(
    inspect: Open, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inspect() as pilot:
        screen = pilot.screen
        engine.dies = True
        await pilot.go("end")
        assert pilot.status == "The engine was killed by SIGKILL. The next key starts another."
        await pilot.go("left")
        assert pilot.title == "sample"
        assert "position 3/4" in pilot.facts
        assert "stage 31" in pilot.status
        engine.pid = None
        screen.notices.pulse()
        assert pilot.status.startswith("The engine has ended."), "one that ends while idle is told of, too"
        await pilot.go("left", "left")  # the second is not at hand
        assert pilot.status.startswith("stage 31/31")

        assert not screen.check_action("restart_engine", ())
        monkeypatch.setattr("screens.engine_notices.SLOW_AFTER", 1e-6)
        engine.gate, engine.is_halted = asyncio.Event(), True
        await pilot.press("v")
        screen.notices.pulse()
        assert re.fullmatch(
            r"No answer from the engine… \d s\. If it is stuck, ctrl\+p, “restart”, starts another\.", pilot.status
        )
        await pilot.press("inspect.restart")
        await pilot.settle()
        assert engine.asked("kill") == [{}]
        assert "thumbnails" in pilot.title
        assert pilot.status.startswith("stage ")
        assert screen.notices.waited == 0.0


async def test_v_leads_from_lens_to_lens_in_their_grid_and_one_that_is_refused_leaves_the_logit_lens(
    inspect: Open, engine: Any
) -> None:
    async with inspect() as pilot:
        await pilot.go("inspect.lens_grid")
        for lens in ("Jacobian", "tuned", "logit"):
            await pilot.go("v")
            assert (pilot.screen.selection.stage, pilot.screen.selection.lens) == ("lens", lens)
        assert {asked["lens"] for asked in engine.asked("view") if asked["stage"] == "lens"} == {"logit", "Jacobian", "tuned"}
        chosen = replace(pilot.screen.selection, lens="tuned")
        assert after_refusal(chosen, chosen) == replace(chosen, lens="logit")


async def test_sampling_settings_are_applied_and_kept_or_refused_in_words(inspect: Open, engine: Any) -> None:
    async with inspect(size=(120, 40)) as pilot:
        await pilot.go("s", "enter")
        await pilot.press("ctrl+u", "x")
        await pilot.go("enter")
        assert pilot.status == "The temperature must be a number, 0 or above, not 'x'."
        await pilot.press("ctrl+u", "0", ".", "5", "tab", "ctrl+u", "4", "0")
        await pilot.go("enter")
        assert "T=0.5 k=40 p=-" in pilot.facts
        sampling = engine.asked("lens")[-1]["sampling"]
        assert (sampling.temperature, sampling.top_k, sampling.top_p) == (0.5, 40, 1.0)
        await pilot.until(lambda: preferences_path(home_folder.home()).exists())
    assert read_preferences(home_folder.home()) == (Preferences(sampling=SamplingSettings(temperature=0.5, top_k=40)), "")


async def test_newer_weights_are_loaded_when_inspect_comes_back_or_m_is_pressed_where_they_are_said_to_be_there(
    inspect: Open, engine: Any
) -> None:
    async with inspect() as pilot:
        lab, run = pilot.screen.lab, pilot.screen.model.facts.run
        await pilot.press("1")
        await settle(pilot)
        engine.step = 2500
        await pilot.go("5")
        assert "step 2,500" in pilot.facts
        assert "newer weights" not in pilot.status
        lab.runs = (replace(next(each for each in lab.runs if each.name == run), best_step=3000),)
        await settle(pilot)
        assert "step 2,500 (was best)" in pilot.facts
        first = pilot.status
        assert "newer weights: m, then enter" in first
        lab.runs = (replace(lab.runs[0], best_step=3100),)
        await settle(pilot)
        assert pilot.status == first, "each evaluation of a run that trains does not say it anew"
        lab.runs = (replace(lab.runs[0], best_step=3000),)
        engine.step = 3000
        await pilot.press("m")
        await pilot.until(lambda: isinstance(pilot.app.screen, RunChooser))
        await pilot.go("enter")
        await pilot.until(lambda: "step 3,000 (best)" in pilot.facts)
        assert "newer weights" not in pilot.status
        pilot.app.exit()
    assert engine.calls[-1][0] == "close", "with the app"


async def test_a_run_without_weights_leaves_the_model_before_in_view_says_so_and_is_opened_once_it_has_some(
    inspect: Open, engine: Any
) -> None:
    async with inspect() as pilot:
        lab, before = pilot.screen.lab, pilot.screen.model.facts.run
        copytree(home_folder.home() / before, home_folder.home() / "new")
        new = replace(lab.runs[0], name="new", best_step=None)
        lab.runs = (new,)
        open_model = engine.open

        def refuse(run: str, checkpoint: str) -> Any:
            if run == "new":
                raise EngineError("new has no weights yet: its first checkpoint comes soon.")
            return open_model(run, checkpoint)

        engine.open = refuse
        lab.post_message(RunChosen("new"))
        await pilot.until(lambda: pilot.status == f"new has no weights yet: its first checkpoint comes soon. In view: {before}.")
        await pilot.go("j")
        assert f"this is {before}: new has no weights yet" in pilot.status
        assert f"{before} step" in pilot.facts
        lab.runs = lab.runs
        await pilot.settle()
        assert f"{before} step" in pilot.facts
        engine.open = open_model
        lab.runs = (replace(new, best_step=2000),)
        await pilot.until(lambda: "new step" in pilot.facts)
        await pilot.go("j")
        assert "no weights yet" not in pilot.status


async def test_that_other_weights_stand_in_for_the_best_is_said_once(inspect: Open, engine: Any) -> None:
    engine.note = "tale has no best.safetensors: these are its last weights, of step 2,000."
    async with inspect() as pilot:
        await pilot.go("k", "1", "5")
        assert [str(each.message) for each in pilot.app._notifications] == [engine.note]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("1", "0", "1", "0", "1", "0"), "T=1 k=- p=- seed 0"),
        (("0", "", "0,9", "", "", ""), "T=0 greedy k=- p=0.9 seed 0"),
        (("0.7", "40", "-", "0.05", "1.2", "3"), "T=0.7 k=40 p=- min-p=0.05 penalty=1.2 seed 3"),
    ],
)
def test_settings_in_short(fields: tuple[str, str, str, str, str, str], words: str) -> None:
    assert in_short(settings_from(*fields)) == words


@pytest.mark.parametrize(
    ("at", "value"), [(0, "-1"), (0, "nan"), (1, "1.5"), (2, "0"), (3, "2"), (3, "x"), (4, "0.5"), (4, "x"), (5, "x")]
)
def test_settings_that_cannot_be_are_one_sentence(at: int, value: str) -> None:
    with pytest.raises(SettingError, match=r"^[A-Z].*\.$"):
        settings_from(*("" if place != at else value for place in range(6)))


async def test_m_chooses_the_run_or_its_other_checkpoint(inspect: Open, engine: Any, make_run: Any) -> None:
    make_run("other")
    engine.steps["last"] = 2500
    async with inspect() as pilot:
        await pilot.until(lambda: len(pilot.screen.lab.runs) >= 2)
        for checkpoint in ("last", "best"):
            await pilot.go("inspect.checkpoint")
            assert pilot.screen.selection.model == ("tale", checkpoint)
        await pilot.go("m", "home", "enter")
        assert pilot.screen.selection.model == ("tale", "last")
        await pilot.go("m")
        assert "best checkpoint" in pilot.text
        menu = pilot.app.screen.query_one(OptionList)
        await pilot.go("down" if menu.highlighted == 1 else "up", "enter")
        await pilot.until(lambda: pilot.screen.selection.model == ("other", "best"))


async def test_what_is_read_late_of_a_run_neither_replaces_nor_is_told_of_the_newer_one(
    inspect: Open, make_run: Any, late_answer: Any
) -> None:
    for name in ("slow", "bad", "good"):
        make_run(name)

    def refuse(name: str, *asked: Any) -> Any:
        if name == "bad":
            raise UserError("bad is gone.")
        return read_first_prompt(name, *asked)

    async with inspect() as pilot:
        screen = pilot.screen

        async def choose(name: str) -> None:
            screen.lab.run_name = name
            await pilot.until(lambda: screen.selection.run == name and screen.is_settled)

        await choose("bad")
        late = late_answer("screens.inspect.time_travel._stops_of", lambda name, *asked: True, refuse)
        await pilot.press("t")
        await pilot.until(late.asked.is_set)
        await choose("good")
        await late.come(pilot)
        assert "bad is gone" not in pilot.status

        where = "screens.inspect.inspect_screen.read_first_prompt"
        late = late_answer(where, lambda name, *asked: name == "bad", refuse)
        screen.lab.run_name = "bad"
        await pilot.until(late.asked.is_set)
        await choose("good")
        await late.come(pilot)
        assert "bad is gone" not in pilot.status

        late = late_answer(where, lambda name, *asked: name == "slow", read_first_prompt)
        screen.lab.run_name = "slow"
        await pilot.until(late.asked.is_set)
        await choose("tale")
        await choose("slow")
        screen.sampling.change_prompt(Prompt("The big dog"))
        await pilot.settle()
        await late.come(pilot)
        assert screen.selection.prompt.text == "The big dog"


async def test_the_column_says_what_its_words_are_and_a_rank_that_has_no_room_is_said_below(inspect: Open) -> None:
    async with inspect() as pilot:
        await pilot.go(*to_stage("embed"))
        column = pilot.screen.query_one(ForwardPassList)
        heading = "if stopped here: token, %"
        for size, is_said, words, title in (
            ((80, 24), True, "predicts if stopped", "forward pass"),
            ((120, 40), True, heading, "forward pass"),
            ((200, 60), False, f"{heading}, rank of “fast”", "forward pass · stream norm up to "),
        ):
            await pilot.resize_terminal(*size)
            said = ("logit lens: “ fast” ranks 7th" if is_said else "", words)
            await pilot.until(lambda said=said: (column.rank_sentence, column.border_subtitle) == said)
            assert str(column.border_title).startswith(title)
            assert ("rank 7" in column.draw(1).text) is not is_said
        lens = Prediction(0, "[b]", 0.5)
        column.steps = tuple(step if step.rank is None else structs.replace(step, lens=lens) for step in column.steps)
        assert Text.from_markup(column.border_subtitle).plain == f"{heading}, rank of “[b]”", "a token is no markup"
