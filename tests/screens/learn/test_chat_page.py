"""Learn: the chat page, over the real engine on the demo."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lab.engine.method_registry import CHAT, EngineMethod
from lab.runs.find_runs import open_run
from lab.runs.run_folder import tokenizer_of
from lab.runs.weights_file import load_model
from models.chat import PLAIN, Chat, Turn
from models.config import SamplingSettings
from screens.app import LabApp
from screens.inspect.inspect_screen import InspectScreen
from screens.learn.chat_page import MOST, ChatInput, ChatLines, ChatPage, ChatWidget
from screens.widgets.status_line import StatusLine
from tests.lab.conftest import one_core
from tests.screens.in_process_engine import InProcessEngine
from tests.screens.learn.conftest import hold, learn_app

__all__ = ["one_core"]
pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabApp:
    monkeypatch.setenv("LLMLAB_HOME", str(tmp_path))
    return learn_app(InProcessEngine)


def text_of(pilot: Pilot[None], part: str) -> str:
    """All lines of a part, without borders."""
    return pilot.app.screen.query_one(f"#chat-{part}", ChatLines).text_to_copy()


def talk(pilot: Pilot[None]) -> ChatWidget:
    return pilot.app.screen.query_one(ChatWidget)


async def open_chat(pilot: Pilot[None], until: Any) -> None:
    await until(pilot, lambda: pilot.app.screen.query(ChatPage))
    pilot.app.screen.action_page("chat")  # type: ignore[attr-defined]
    await until(pilot, lambda: pilot.app.screen.page == "chat" and talk(pilot).talk.answer is not None)  # type: ignore[attr-defined]
    await until(pilot, lambda: isinstance(pilot.app.focused, ChatLines))
    await pilot.press("e")
    await until(pilot, lambda: isinstance(pilot.app.focused, ChatInput))


async def send(pilot: Pilot[None], until: Any, text: str) -> None:
    pilot.app.screen.query_one(ChatInput).value = text
    await pilot.press("enter")
    await until(pilot, lambda: talk(pilot).is_settled)


def expected(turns: tuple[Turn, ...], most: int = MOST, **settings: Any) -> Chat:
    """The answer to the last turn, computed without the engine."""
    run = open_run("demo")
    model, _ = load_model(run)
    sampling = SamplingSettings(temperature=settings.pop("temperature", 1.0), seed=settings.pop("seed", 0))
    chat = Chat(tokenizer_of(run), PLAIN, turns=turns, **{"stops": (PLAIN.stop,), **settings})
    *_, last = chat.answers(model, sampling, most)
    return last


async def test_a_message_is_answered_beside_its_document(app: LabApp, until: Any) -> None:
    """The answer is the one that the model gives when it is asked without pauses; escape frees the keys."""
    async with app.run_test(size=(120, 40)) as pilot:
        await open_chat(pilot, until)
        assert "continues the document" in pilot.app.screen.query_one("#chat-status", StatusLine).left
        await send(pilot, until, "Hello")
        chat = expected((Turn("Hello"),))
        assert talk(pilot).talk.turns == chat.turns
        words = " ".join(text_of(pilot, "bubbles").replace("│", " ").split())
        assert "Hello" in words
        assert " ".join(chat.answer_text(chat.turns[0]).split()) in words
        assert f"It did not end its turn: stopped after {MOST} tokens." in words
        document = text_of(pilot, "document").replace("\n", "").replace("│", "")
        assert "User:␣Hello␊Assistant:" in document
        ids = chat.document(128, MOST).ids
        title = str(pilot.app.screen.query_one("#chat-document").border_title)
        assert title == f"document · {len(ids)} of 128 tokens"
        await send(pilot, until, "More")
        assert talk(pilot).talk.answer.left_out == 1  # type: ignore[union-attr]
        assert "The first turn has no room" in pilot.app.screen.query_one("#chat-status", StatusLine).left
        await pilot.press("escape", "n")
        await until(pilot, lambda: talk(pilot).is_settled and not talk(pilot).talk.turns)


async def test_the_settings_are_behind_the_message_and_what_is_typed_is_kept_as_is_a_chat_with_its_run(
    app: LabApp, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screens.learn.chat_page.MOST", 24)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, until)
        field = pilot.app.screen.query_one(ChatInput)
        # The keys of the pages and modes are typed in the field, and work on arrival and after escape.
        await pilot.press("]", "5")
        assert field.value == "]5"
        assert "esc leaves the field" in str(field.border_title)
        await pilot.press("escape")
        assert "e types it" in str(field.border_title)
        for _ in range(2):
            await pilot.press("]")
            await until(pilot, lambda: pilot.app.screen.page == "write")  # type: ignore[attr-defined]
            await pilot.press("[")
            await until(pilot, lambda: isinstance(pilot.app.focused, ChatLines))
        await pilot.press("e", "ctrl+u", *"Hi", "down")
        field.value = "A dog."
        await hold(pilot, "down", "down")
        field.value = "hot"
        await pilot.press("down")
        assert (field.text, talk(pilot).talk.system, talk(pilot).talk.temperature) == ("Hi", "A dog.", 1.0)

        settings = {"system": "A dog.", "stops": (), "temperature": 0.5}
        for keys, typed in ((["down", "down"], ""), (["up"], "0.5")):
            await hold(pilot, *keys)
            await send(pilot, until, typed)
            assert str(field.border_title) == "message · enter sends it · esc leaves the field"
            assert "no stop text ends an answer" in pilot.app.screen.query_one("#chat-status", StatusLine).left
        await send(pilot, until, "Hello")
        assert talk(pilot).talk.turns == expected((Turn("Hello"),), most=24, **settings).turns
        await pilot.press("escape", "r")
        await until(pilot, lambda: talk(pilot).is_settled and talk(pilot).talk.seed == 1)
        assert talk(pilot).talk.turns == expected((Turn("Hello"),), most=24, seed=1, **settings).turns

        before = talk(pilot).talk
        for name in ("induction", "demo"):
            pilot.app.screen.query_one(ChatPage).run = name
            await until(pilot, lambda: talk(pilot).talk.run == name and talk(pilot).is_settled)  # noqa: B023
        assert talk(pilot).talk is before


class HaltingEngine(InProcessEngine):
    """Writes the first tokens of an answer, and no more."""

    async def _result(self, method: EngineMethod[Any, Any], asked: Any) -> Any:
        if method is CHAT and asked.tokens and asked.turns[-1].answer:
            await asyncio.Event().wait()
        return await super()._result(method, asked)


async def test_an_answer_is_stopped_where_it_is_and_its_document_opens_in_inspect(app: LabApp, until: Any) -> None:
    async with learn_app(HaltingEngine).run_test(size=(80, 24)) as pilot:
        await open_chat(pilot, until)
        pilot.app.screen.query_one(ChatInput).value = "Hello"
        await pilot.press("enter", "escape")
        await until(pilot, lambda: talk(pilot).talk.is_open and talk(pilot).talk.turns[0].answer)
        assert "…" in text_of(pilot, "bubbles")
        await pilot.press("x")
        await until(pilot, lambda: talk(pilot).is_settled)
        (turn,) = talk(pilot).talk.turns
        assert turn.end == "interrupt"
        assert turn.answer
        assert turn.answer == expected((Turn("Hello"),)).turns[0].answer[: len(turn.answer)]
        ids = talk(pilot).talk.answer.ids  # type: ignore[union-attr]
        talk(pilot).action_inspect()
        await until(pilot, lambda: isinstance(pilot.app.screen, InspectScreen))
        await until(pilot, lambda: pilot.app.screen.selection.prompt.ids == ids)  # type: ignore[attr-defined]
