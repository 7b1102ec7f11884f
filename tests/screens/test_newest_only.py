"""Newest question only: an older one is given up, an error is told, and looking ahead gives way."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from lab.engine.client import EngineDied, EngineError
from screens.engine_client import NewestOnly


class Log:
    """Answers a question by noting it, once its gate is open."""

    def __init__(self, patience: float) -> None:
        self.answered: list[str] = []
        self.ahead: list[str] = []
        self.failures: list[tuple[str, bool]] = []
        self.errors: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.newest = NewestOnly(self._answer, self._look_ahead, lambda *failure: self.failures.append(failure), patience)

    async def _answer(self, question: str) -> None:
        if question in self.gates:
            await self.gates[question].wait()
        if question in self.errors:
            raise self.errors[question]
        self.answered.append(question)

    async def _look_ahead(self, question: str) -> None:
        if f"after {question}" in self.gates:
            await self.gates[f"after {question}"].wait()
        self.ahead.append(question)

    async def ask_in_turn(self, *questions: str) -> None:
        for question in questions:
            self.newest.ask(question)
            for _ in range(20):
                await asyncio.sleep(0)


@pytest.fixture
async def served() -> AsyncIterator[Callable[..., Log]]:
    """Makes a log whose questions are served until the test ends."""
    tasks: list[asyncio.Task[None]] = []

    def serve(patience: float = 0, gate: str = "") -> Log:
        log = Log(patience)
        log.gates = {gate: asyncio.Event()}
        tasks.append(asyncio.create_task(log.newest.serve()))
        return log

    yield serve
    for task in tasks:
        task.cancel()


async def test_questions_that_follow_at_once_are_never_asked_but_the_last_and_looking_ahead_gives_way(
    served: Callable[..., Log],
) -> None:
    log = served(patience=60, gate="after c")
    for question in "ab":
        log.newest.ask(question)
    assert not log.newest.is_idle
    await log.ask_in_turn("c", "d")
    assert (log.answered, log.ahead, log.newest.is_idle) == (["c", "d"], ["d"], True)


@pytest.mark.parametrize(("patience", "answered"), [(0, ["b"]), (60, ["a", "b"])])
async def test_an_older_question_is_answered_first_where_there_is_patience(
    patience: float, answered: list[str], served: Callable[..., Log]
) -> None:
    log = served(patience, gate="a")
    await log.ask_in_turn("a", "b")
    assert log.answered == ([] if patience else ["b"])
    assert log.newest.has_newer == bool(patience)
    log.gates["a"].set()
    await log.ask_in_turn()
    async with asyncio.timeout(30):
        while log.answered != answered:
            await asyncio.sleep(0)


async def test_errors_are_told_but_not_of_an_older_question_and_the_next_one_is_answered(served: Callable[..., Log]) -> None:
    log = served(patience=60, gate="d")
    log.errors = {"a": EngineError("No."), "b": EngineDied("Dead."), "d": EngineError("Old.")}
    await log.ask_in_turn(*"abd")
    log.newest.ask("e")
    log.gates["d"].set()
    await log.ask_in_turn("e")
    assert log.failures == [("No.", False), ("Dead.", True)]
    assert (log.answered, log.ahead) == (["e"], ["e"])


async def test_a_fault_in_the_answer_or_ahead_of_it_ends_the_serving_with_it() -> None:
    """The screen's worker that serves then ends the lab with it, in words."""
    for place in ("answer", "look_ahead"):
        log = Log(patience=60)
        log.errors = {"a": ZeroDivisionError("a bug")}
        if place == "look_ahead":
            log.newest._look_ahead = log._answer  # type: ignore[method-assign]
            log.newest._answer = Log(0)._answer  # type: ignore[method-assign]
        log.newest.ask("a")
        with pytest.raises(ZeroDivisionError, match="a bug"):
            await log.newest.serve()
