"""Newest question only: an older one is given up, an error is told, and looking ahead gives way."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lab.engine.client import EngineDied, EngineError, Superseded
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

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def serve() -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []
    yield tasks
    for task in tasks:
        task.cancel()


def served(tasks: list[asyncio.Task[None]], patience: float = 0) -> Log:
    log = Log(patience)
    tasks.append(asyncio.create_task(log.newest.serve()))
    return log


async def test_questions_that_follow_at_once_are_never_asked_but_the_last(serve: list[asyncio.Task[None]]) -> None:
    log = served(serve)
    for question in "abc":
        log.newest.ask(question)
    assert not log.newest.is_idle
    await log.settle()
    assert (log.answered, log.ahead, log.newest.is_idle) == (["c"], ["c"], True)


async def test_without_patience_an_older_question_is_given_up(serve: list[asyncio.Task[None]]) -> None:
    log = served(serve)
    log.gates["a"] = asyncio.Event()
    log.newest.ask("a")
    await log.settle()
    log.newest.ask("b")
    await log.settle()
    assert log.answered == ["b"]


async def test_with_patience_an_older_question_is_answered_first(serve: list[asyncio.Task[None]]) -> None:
    log = served(serve, patience=60)
    gate = log.gates["a"] = asyncio.Event()
    log.newest.ask("a")
    await log.settle()
    log.newest.ask("b")
    await log.settle()
    assert log.answered == []
    assert log.newest.has_newer
    gate.set()
    await log.settle()
    assert log.answered == ["a", "b"]


async def test_looking_ahead_gives_way_at_once(serve: list[asyncio.Task[None]]) -> None:
    log = served(serve, patience=60)
    log.gates["after a"] = asyncio.Event()
    log.newest.ask("a")
    await log.settle()
    log.newest.ask("b")
    await log.settle()
    assert (log.answered, log.ahead) == (["a", "b"], ["b"])


async def test_errors_are_told_and_the_next_question_is_answered(serve: list[asyncio.Task[None]]) -> None:
    log = served(serve)
    log.errors = {"a": EngineError("No."), "b": EngineDied("Dead."), "c": Superseded("Newer.")}
    for question in "abcd":
        log.newest.ask(question)
        await log.settle()
    assert log.failures == [("No.", False), ("Dead.", True)]
    assert (log.answered, log.ahead) == (["d"], ["d"])


async def test_a_refusal_of_an_older_question_is_not_told(serve: list[asyncio.Task[None]]) -> None:
    log = served(serve, patience=60)
    gate = log.gates["a"] = asyncio.Event()
    log.errors = {"a": EngineError("No.")}
    log.newest.ask("a")
    await log.settle()
    log.newest.ask("b")
    gate.set()
    await log.settle()
    assert (log.failures, log.answered) == ([], ["b"])
