"""The client against an engine process over real pipes, whose methods are fake (fake_engine.py), so that no torch is imported."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from lab.engine.client import EngineClient, EngineDied, EngineError, Superseded
from lab.engine.method_registry import EngineMethod
from tests.lab.engine.fake_engine import DIE, ECHO, FAIL, LOG, POLLUTE, REFUSE, SLICED, SLOW, Params

FAKE = (sys.executable, "-P", str(Path(__file__).with_name("fake_engine.py")))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[EngineClient]:
    engine = EngineClient(log=tmp_path / "engine.log", command=FAKE)
    yield engine
    await engine.close()


async def outcome(call: Awaitable[str]) -> str:
    try:
        return await call
    except Superseded:
        return "superseded"


async def busy(client: EngineClient) -> asyncio.Task[str]:
    """Keeps the worker of an engine that has started busy for a moment, so that what follows has to wait."""
    await client.call(ECHO, Params())
    task = asyncio.create_task(client.call(SLOW, Params(text="first", seconds=0.3)))
    await asyncio.sleep(0.05)
    return task


async def test_starts_when_first_asked_and_only_once(client: EngineClient) -> None:
    assert client.starts == 0
    assert client.pid is None
    answers = await asyncio.gather(*(client.call(ECHO, Params(text=str(i))) for i in range(5)))
    assert answers == ["0", "1", "2", "3", "4"]
    assert client.starts == 1


async def test_a_newer_request_of_the_group_supersedes_those_that_wait(client: EngineClient) -> None:
    first = await busy(client)
    calls = [asyncio.create_task(outcome(client.call(ECHO, Params(text=f"v{i}"), group="view"))) for i in range(3)]
    other = asyncio.create_task(client.call(ECHO, Params(text="w"), group="lens"))
    assert await asyncio.gather(*calls, first, other) == ["superseded", "superseded", "v2", "first", "w"]
    assert await client.call(LOG, Params()) == ["", "first", "v2", "w"]


async def test_cancelling_the_caller_drops_the_waiting_request(client: EngineClient) -> None:
    first = await busy(client)
    unwanted = asyncio.create_task(client.call(ECHO, Params(text="unwanted")))
    await asyncio.sleep(0.05)
    unwanted.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await unwanted
    await first
    assert "unwanted" not in await client.call(LOG, Params())


async def test_a_result_made_in_slices_lets_calls_and_other_slices_in_between(client: EngineClient) -> None:
    async with asyncio.timeout(60):
        long = asyncio.create_task(client.call(SLICED, Params(text="long", n=20, until="the end")))
        assert await client.call(ECHO, Params(text="in between")) == "in between"
        assert await client.call(SLICED, Params(text="short", n=3)) == "short"
        assert not long.done()
        await client.call(ECHO, Params(text="the end"))
        assert await long == "long"
    log = await client.call(LOG, Params())
    assert [entry for entry in log if entry.endswith("of long")] == [f"slice {i} of long" for i in range(20)]
    assert log.index("in between") < log.index("slice 2 of short") < log.index("slice 19 of long")


async def test_cancelling_the_caller_ends_a_result_between_two_slices(client: EngineClient) -> None:
    unwanted = asyncio.create_task(client.call(SLICED, Params(n=1000, seconds=0.01)))
    while len(await client.call(LOG, Params())) < 3:
        await asyncio.sleep(0.01)
    unwanted.cancel()
    with pytest.raises(asyncio.CancelledError):
        await unwanted
    made = len(await client.call(LOG, Params()))
    await asyncio.sleep(0.1)
    assert len(await client.call(LOG, Params())) == made < 1000


async def test_a_newer_request_of_the_group_ends_one_that_is_made_in_slices(client: EngineClient) -> None:
    old = asyncio.create_task(outcome(client.call(SLICED, Params(n=1000, seconds=0.01), group="lens")))
    await client.call(ECHO, Params())
    assert await client.call(SLICED, Params(text="new", n=2), group="lens") == "new"
    assert await old == "superseded"


async def test_what_is_made_ahead_is_given_up_between_two_slices_for_any_other_call(client: EngineClient, tmp_path: Path) -> None:
    await client.call(ECHO, Params())
    ahead = asyncio.create_task(outcome(client.call(SLICED, Params(text="ahead", n=1000, seconds=0.01), ahead=True)))
    async with asyncio.timeout(60):
        while "of ahead" not in (tmp_path / "engine.log").read_text():  # to ask the engine would end it
            await asyncio.sleep(0.01)
    assert await client.call(SLICED, Params(text="wanted", n=3)) == "wanted"
    assert await ahead == "superseded"
    log = await client.call(LOG, Params())
    made = [entry for entry in log if entry.endswith("of ahead")]
    assert 0 < len(made) < 1000
    assert log.index(made[-1]) < log.index("slice 0 of wanted")
    assert await client.call(SLICED, Params(text="ahead", n=2), ahead=True) == "ahead"


async def test_a_users_mistake_is_its_sentence_and_a_bug_says_where_to_look(client: EngineClient, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"^There is no run called x; did you mean y\?$"):
        await client.call(REFUSE, Params())
    with pytest.raises(EngineError, match=r"failed on fail: ZeroDivisionError: division by zero\. See its log"):
        await client.call(FAIL, Params())
    with pytest.raises(EngineError, match="no method called nonsense"):
        await client.call(EngineMethod("nonsense", Params, str), Params())
    with pytest.raises(EngineError, match="failed on echo: ValidationError"):
        await client.call(ECHO, Params(text=3))  # type: ignore[arg-type]
    assert await client.call(ECHO, Params(text="alive")) == "alive"
    assert client.starts == 1
    assert "Traceback" in (tmp_path / "engine.log").read_text()


async def test_printing_does_not_corrupt_the_pipe(client: EngineClient, tmp_path: Path) -> None:
    assert await client.call(POLLUTE, Params()) == "clean"
    assert await client.call(ECHO, Params(text="after")) == "after"
    text = (tmp_path / "engine.log").read_text()
    assert all(words in text for words in ("python print", "native print", "print of a child"))


async def test_death_is_told_with_code_and_last_words_and_the_next_call_starts_another(client: EngineClient) -> None:
    assert await client.call(ECHO, Params(text="before")) == "before"
    with pytest.raises(EngineDied, match=r"^The engine ended with exit code 7; its last line: about to die of thirst\.$"):
        await client.call(DIE, Params())
    assert client.pid is None
    assert await client.call(ECHO, Params(text="after")) == "after"
    assert client.starts == 2


async def test_kill_9_ends_every_pending_call_at_once(client: EngineClient) -> None:
    await client.call(ECHO, Params())
    assert client.pid is not None
    waiting = [asyncio.create_task(client.call(SLOW, Params(seconds=30.0))) for _ in range(2)]
    waiting.append(asyncio.create_task(client.call(SLICED, Params(n=10))))
    await asyncio.sleep(0.1)
    os.kill(client.pid, signal.SIGKILL)
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
    assert [str(result) for result in results] == ["The engine was killed by SIGKILL."] * 3
    assert all(isinstance(result, EngineDied) for result in results)
    assert await client.call(ECHO, Params(text="again")) == "again"


async def test_an_engine_that_cannot_start_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineDied, match=r"^The engine could not be started: No such file or directory\.$"):
        await EngineClient(command=(str(tmp_path / "nothing"),)).call(ECHO, Params())
    broken = EngineClient(command=(sys.executable, "-c", "raise SystemExit('torch is missing')"))
    for _ in range(2):
        with pytest.raises(EngineDied, match=r"^The engine ended with exit code 1; its last line: torch is missing\.$"):
            await broken.call(ECHO, Params())


async def test_bytes_that_are_no_frame_end_the_engine_in_words() -> None:
    babbler = EngineClient(
        command=(sys.executable, "-c", "import time; print('Warning: hello world', flush=True); time.sleep(30)")
    )
    with pytest.raises(EngineDied, match="something else wrote into it"):
        await asyncio.wait_for(babbler.call(ECHO, Params()), 25)
    assert babbler.pid is None


async def test_the_engine_ends_when_its_input_closes_even_while_it_works(client: EngineClient) -> None:
    await client.call(ECHO, Params())
    task = asyncio.create_task(client.call(SLOW, Params(seconds=30.0)))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await client.close()
    assert time.monotonic() - began < 15
    with pytest.raises(EngineDied, match="exit code 0"):
        await task


async def test_large_answers_pass(client: EngineClient) -> None:
    text = "x" * 20_000_000
    assert await client.call(ECHO, Params(text=text)) == text


async def test_works_inside_a_running_textual_app(client: EngineClient) -> None:
    from textual.app import App

    app: App[None] = App()
    async with app.run_test() as pilot:
        worker = app.run_worker(client.call(ECHO, Params(text="from a worker")), exclusive=True)
        assert await worker.wait() == "from a worker"
        app.run_worker(client.call(SLOW, Params(text="unwanted", seconds=0.2)), group="g", exclusive=True)
        await pilot.pause()
        kept = app.run_worker(client.call(SLOW, Params(text="wanted")), group="g", exclusive=True)
        assert await kept.wait() == "wanted"


@pytest.mark.parametrize(
    "sent",
    [b"\x03\x00\x00\x00abc", b"\xff\xff\xff\xffrubbish", b"\x01\x00\x00\x00\xc1"],
    ids=["no request", "no frame", "no msgpack"],
)
async def test_an_engine_that_cannot_read_its_requests_ends(sent: bytes) -> None:
    """Else it would outlive whoever started it, and hold the run that it had open. Its input stays open here."""
    engine = await asyncio.create_subprocess_exec(
        *FAKE, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert engine.stdin is not None
    assert engine.stderr is not None
    try:
        engine.stdin.write(sent)
        await engine.stdin.drain()
        await asyncio.wait_for(engine.wait(), 60)
        assert (await engine.stderr.read()).startswith(b"The engine's requests cannot be read: ")
    finally:
        with contextlib.suppress(ProcessLookupError):
            engine.kill()


async def test_an_engine_that_is_halted_can_be_ended_and_replaced(client: EngineClient) -> None:
    await client.call(ECHO, Params())
    assert client.pid is not None
    os.kill(client.pid, signal.SIGSTOP)
    task = asyncio.create_task(client.call(ECHO, Params()))
    await asyncio.sleep(0)
    await client.kill()
    with pytest.raises(EngineDied, match="was killed by SIGKILL"):
        await task
    assert await client.call(ECHO, Params(text="again")) == "again"
    assert client.starts == 2
