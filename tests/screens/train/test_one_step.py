"""One training step taken apart, over an engine made of hand-written answers: no torch, no process."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from lab.engine.method_registry import OneStepParams
from lab.training.one_step.step_stages import STAGES
from lab.views.blocks import Token
from screens.blocks.block_view import BlockView
from screens.engine_notices import LOADING, LOADS_WITHIN, SLOW_AFTER
from screens.messages import RunChosen
from screens.train.one_step_screen import OneStepScreen
from screens.train.one_step_widgets import BackwardView, LossStrip, StageList, loss_of
from screens.train.train_screen import TrainScreen
from screens.widgets.key_bar import KeyBar
from screens.widgets.status_line import StatusLine
from tests.screens.pilot_waits import keys_to, poll, press
from tests.screens.train.one_step_engine import WEIGHTS, FakeEngine
from tests.screens.train.train_app import TrainApp, watch

pytestmark = pytest.mark.usefixtures("home", "fixed_machine")


def screen_of(pilot: Pilot[None]) -> OneStepScreen:
    screen = pilot.app.screen
    assert isinstance(screen, OneStepScreen)
    return screen


async def settle(pilot: Pilot[None]) -> None:
    await pilot.pause(0)
    await poll(pilot, lambda: not isinstance(screen := pilot.app.screen, OneStepScreen) or screen.is_settled)
    await pilot.pause(0)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr("screens.train.one_step_screen.EngineClient", lambda: fake)
    return fake


@pytest.fixture
def opened(engine: FakeEngine, make_run: Callable[..., object], until: Any) -> Any:
    """Train with a run in view, and `w` pressed."""
    make_run("tale")

    @asynccontextmanager
    async def open_it(size: tuple[int, int] = (80, 24)) -> AsyncIterator[Pilot[None]]:
        app = TrainApp(run="tale", text="fable.txt", preload=False)
        async with app.run_test(size=size) as pilot:
            await watch(pilot, until, "tale")
            await press(pilot, "w")
            yield pilot

    return open_it


def answered(pilot: Pilot[None]) -> OneStepParams:
    return screen_of(pilot).answered  # type: ignore[return-value]


def status(pilot: Pilot[None]) -> str:
    return screen_of(pilot).query_one("#step-status", StatusLine).left


def text_of(view: BackwardView) -> list[str]:
    return ["".join(text for text, _ in line) for line in view.laid.lines]


async def test_w_in_train_opens_the_backward_pass_a_key_or_click_its_numbers_and_escape_leads_back_and_ends_the_engine(
    opened: Any, engine: FakeEngine, until: Any
) -> None:
    async with opened() as pilot:
        screen = screen_of(pilot)
        asked = [call.stage for call in engine.calls]
        assert engine.calls[0] == OneStepParams(run="tale", stage="backward")
        assert asked[:3] == ["backward", "changes", "backward"], "again, once the changes are found"
        backward, strip = screen.query_one(BackwardView), screen.query_one(LossStrip)
        assert backward.display
        assert strip.chosen == 4
        assert [loss_of(token) for token in strip.tokens] == ["loss", "0.69", "3.91", "0.11", "16.1", "<0.01"]
        shown = text_of(backward)
        assert "loss 4.000" in shown[0]
        assert "p − one-hot at “ fast”" in shown[0]
        assert any(line.split()[:1] == ["dog"] or " dog   −0.750" in line for line in shown)
        assert any("W_in, layer 2" in line for line in shown)
        assert any("step +0.00250" in line for line in shown)
        await press(pilot, "l", "j", "home")
        assert engine.calls.count(OneStepParams(run="tale", stage="changes")) == 1, "found once for each batch"
        await press(pilot, "space")
        assert "loss 3.750" in text_of(backward)[0]
        await until(pilot, lambda: OneStepParams(run="tale", stage="changes", applied=1) in engine.calls)
        await press(pilot, "enter")
        assert answered(pilot).stage == "gradients", "its numbers are a key away"
        assert screen.query_one(BlockView).display
        assert not backward.display
        await press(pilot, "escape", "home")
        await pilot.click(BackwardView, offset=(40, 3))
        await settle(pilot)
        assert answered(pilot).stage == "logits_gradient", "a click opens the numbers of what it is on"

        await press(pilot, "home", "ctrl+k")
        assert screen.query_one(KeyBar).has_class("-open")
        await press(pilot, "escape")
        assert not screen.query_one(KeyBar).has_class("-open"), "the keys' second line is the nearest to leave"
        await press(pilot, "e", "escape")
        assert screen.query_one(StageList).has_focus
        await press(pilot, "end", "k", "k", "enter")
        assert screen.query_one(BlockView).has_focus
        await press(pilot, "escape")
        assert screen.query_one(StageList).has_focus
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, TrainScreen)
        assert engine.closed


async def test_every_stage_is_reached_and_those_on_both_sides_are_at_hand(opened: Any, engine: FakeEngine, until: Any) -> None:
    async with opened() as pilot:
        seen = [answered(pilot).stage]
        await press(pilot, "j")
        seen.append(answered(pilot).stage)
        for stage in ("losses", "logits_gradient", "gradients"):
            await until(pilot, lambda stage=stage: any(call.stage == stage for call in engine.calls))
            await settle(pilot)
            await press(pilot, "j")
            assert answered(pilot).stage == stage
            assert [call.stage for call in engine.calls].count(stage) == 1
            assert screen_of(pilot).query_one(BlockView).view == engine.view(answered(pilot), 4)
            seen.append(stage)
        asked = len(engine.calls)
        await press(pilot, "k", "k")
        assert answered(pilot).stage == "losses"
        assert "logits_gradient" not in [call.stage for call in engine.calls[asked:]]
        for _ in STAGES:
            await press(pilot, "j")
            seen.append(answered(pilot).stage)
        assert list(dict.fromkeys(seen)) == list(STAGES)
        assert screen_of(pilot).query_one(StageList).current == len(STAGES) - 1
        await press(pilot, "home")
        assert answered(pilot).stage == "backward"
        assert status(pilot).startswith(f"stage 1/{len(STAGES)}")
        await press(pilot, *keys_to("changes", STAGES), "enter", "down")
        assert WEIGHTS[1] in status(pilot)
        await press(pilot, "enter")
        assert (answered(pilot).stage, answered(pilot).weight) == ("weight", WEIGHTS[1]), "one of the largest changes"
        assert screen_of(pilot).query_one(StageList).has_focus


async def test_steps_tokens_windows_and_batches_are_chosen_or_a_sentence_is_typed_unless_it_is_empty(
    opened: Any, engine: FakeEngine
) -> None:
    async with opened((120, 40)) as pilot:
        keys = screen_of(pilot).query_one(KeyBar)
        assert "space take the step" in keys.render_line(0).text
        assert "undo" not in keys.render_line(0).text
        assert all(binding.tooltip for binding in OneStepScreen.BINDINGS)  # type: ignore[union-attr]
        await press(pilot, "u")
        assert answered(pilot).applied == 0
        await press(pilot, "space", "space", "space")
        assert answered(pilot).applied == 3
        assert "u undo" in keys.render_line(0).text
        facts = screen_of(pilot).query_one("#step-facts", StatusLine)
        assert facts.right[-2:] == ("tale step 2,000 (last) + 3 taken", "loss 4.000 → 3.250")
        await press(pilot, "u")
        assert answered(pilot).applied == 2
        assert facts.right[-2:] == ("tale step 2,000 (last) + 2 taken", "loss 4.000 → 3.500")
        await press(pilot, "right", "right", "right")
        assert answered(pilot).position == 5
        await press(pilot, *["left"] * 9)
        assert answered(pilot).position == 1
        await press(pilot, "right_square_bracket", "right_square_bracket")
        assert answered(pilot).window == 1
        assert str(answered(pilot).position) == "None"
        await press(pilot, "space", "right_curly_bracket", "right_curly_bracket", "left_curly_bracket")
        assert answered(pilot).batch_offset == 1
        assert answered(pilot).applied == 0
        await press(pilot, "b")
        assert (answered(pilot).batch_offset, answered(pilot).window) == (0, 0)
        await press(pilot, "r")
        assert answered(pilot).opened == 1

        await press(pilot, "j", "space")
        before = screen_of(pilot).selected
        await press(pilot, "e")
        editor = screen_of(pilot).query_one("#step-editor", Input)
        assert editor.has_focus
        editor.value = ""
        await press(pilot, "enter")
        assert status(pilot).startswith("The sentence is empty")
        assert screen_of(pilot).query_one("#step-status").has_class("-error")
        assert screen_of(pilot).selected == before
        await press(pilot, "j")
        assert (answered(pilot).text, answered(pilot).applied, answered(pilot).stage) == (None, 1, "losses")
        assert not screen_of(pilot).query_one("#step-status").has_class("-error")
        await press(pilot, "e")
        editor.value = "abc"
        await press(pilot, "home", "ctrl+k")
        assert editor.value == "abc", "it shows the keys"
        assert screen_of(pilot).query_one(KeyBar).has_class("-open")
        await press(pilot, "enter")
        assert (answered(pilot).text, answered(pilot).applied) == ("abc", 0)
        assert screen_of(pilot).query_one("#step-facts", StatusLine).left == "sentence · token 3/3"
        await press(pilot, "b")
        assert answered(pilot).text is None


async def test_an_engine_that_dies_or_does_not_answer_is_told_of_and_another_run_that_is_chosen_is_shown(
    opened: Any, engine: FakeEngine, make_run: Callable[..., object], until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("other")
    async with opened() as pilot:
        screen, notices = screen_of(pilot), screen_of(pilot).notices
        await press(pilot, "space")
        engine.dies = True
        await press(pilot, "h")
        assert "SIGKILL. The next key starts another" in status(pilot)
        await press(pilot, "j")
        assert (answered(pilot).stage, answered(pilot).applied) == ("batch", 1)
        assert status(pilot).startswith(f"stage 2/{len(STAGES)}")
        engine.pid = None
        notices.pulse()
        assert status(pilot).startswith("The engine has ended."), "while idle"
        await press(pilot, "j")
        await settle(pilot)
        assert status(pilot).startswith(f"stage 3/{len(STAGES)}")

        assert not screen.check_action("restart_engine", ())
        engine.gate.clear()
        now = 1000.0
        monkeypatch.setattr("screens.engine_notices.time", SimpleNamespace(monotonic=lambda: now))
        await press(pilot, "space")
        now += SLOW_AFTER
        notices.pulse()
        assert status(pilot).startswith("Computing (a large model takes a while; Esc to Train cancels)… 2 s.")
        assert status(pilot).endswith("If it is stuck, ctrl+p, “restart”, starts another.")
        await pilot.app.run_action("restart_engine", pilot.app.screen)
        await settle(pilot)
        assert engine.killed == 1
        assert (answered(pilot).applied, notices.waited) == (2, 0.0)
        assert status(pilot).startswith(f"stage 3/{len(STAGES)}")
        engine.gate.clear()
        now = 1000.0
        notices.due = LOADING
        await press(pilot, "space")
        now += SLOW_AFTER
        notices.pulse()
        assert status(pilot) == "Loading PyTorch and the model… 2 s.", "not called stuck before it has taken long"
        now = 1000.0 + LOADS_WITHIN
        notices.pulse()
        assert status(pilot) == "Loading PyTorch and the model… 20 s. If it is stuck, ctrl+p, “restart”, starts another."
        engine.gate.set()
        await settle(pilot)

        screen.lab.run_name = "other"
        await settle(pilot)
        assert answered(pilot) == OneStepParams(run="other", stage="backward")
        pilot.app.post_message(RunChosen("other", "train"))
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainScreen))


def test_a_loss_of_a_token_that_had_no_probability_at_all_is_infinite() -> None:
    assert loss_of(Token(1, "x", 0.0)) == "∞"
    assert loss_of(Token(1, "x", math.exp(-9.94))) == "9.94"
    assert loss_of(Token(1, "x", math.exp(-9.96))) == "10.0"


@pytest.fixture
def pictured(engine: FakeEngine, make_run: Callable[..., object], snap_compare: Any) -> Callable[..., bool]:
    """Compares the screen after these keys with its picture."""
    make_run("tale")

    def compare(size: tuple[int, int], *keys: str) -> bool:
        async def go(pilot: Pilot[None]) -> None:
            pilot.app.push_screen(OneStepScreen(engine))
            await press(pilot, *keys)

        return snap_compare(TrainApp(run="tale", text="fable.txt", preload=False), terminal_size=size, run_before=go)

    return compare


def test_picture(pictured: Callable[..., bool]) -> None:
    assert pictured((80, 24), *keys_to("losses", STAGES), "space", "space")


def test_picture_of_the_backward_pass(pictured: Callable[..., bool]) -> None:
    assert pictured((120, 40))
