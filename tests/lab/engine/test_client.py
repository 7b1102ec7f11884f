"""The client against an engine process over real pipes, whose methods are fake (fake_engine.py), so that no torch is imported."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from lab.engine.client import LOW_PRIORITY, EngineClient, EngineDied, EngineError
from lab.engine.method_registry import EngineMethod
from tests.lab.engine.fake_engine import DIE, ECHO, FAIL, JOB, LOG, OTHER_JOB, POLLUTE, QUESTION, REFUSE, SLOW, Params

FAKE = (sys.executable, "-P", str(Path(__file__).with_name("fake_engine.py")))


@pytest.fixture
async def client() -> AsyncIterator[EngineClient]:
    engine = EngineClient(FAKE)
    yield engine
    await engine.close()


async def test_it_starts_once_and_answers_in_order_what_is_still_wanted(client: EngineClient) -> None:
    assert (client.starts, client.pid) == (0, None)
    answers = await asyncio.gather(*(client.call(ECHO, Params(text=str(i))) for i in range(5)))
    assert answers == ["0", "1", "2", "3", "4"]

    first = asyncio.create_task(client.call(SLOW, Params(text="first", seconds=0.3)))  # so that what follows has to wait
    await asyncio.sleep(0.05)
    calls = [asyncio.create_task(client.call(ECHO, Params(text=text))) for text in ("v", "unwanted", "w")]
    await asyncio.sleep(0.05)
    calls.pop(1).cancel()
    assert await asyncio.gather(first, *calls) == ["first", "v", "w"]
    assert await client.call(LOG, Params()) == [*answers, "first", "v", "w"]

    text = "x" * 20_000_000
    assert await client.call(ECHO, Params(text=text)) == text
    assert client.starts == 1


async def log_of(log: Path, words: str) -> None:
    """Wait until the engine's log has these words, without asking the engine."""
    while words not in log.read_text():
        await asyncio.sleep(0.01)


async def test_a_job_lets_in_what_waits_questions_and_other_jobs(client: EngineClient) -> None:
    async with asyncio.timeout(60):
        long = asyncio.create_task(client.call(JOB, Params(text="long", n=20, until="the end")))
        assert await client.call(ECHO, Params(text="in between")) == "in between"
        assert await client.call(QUESTION, Params(text="short", n=3)) == "short"
        assert await client.call(JOB, Params(text="of its kind", n=3)) == "of its kind"
        other = asyncio.create_task(client.call(OTHER_JOB, Params(text="other", n=3, until="in the other")))
        assert await client.call(ECHO, Params(text="in the other")) == "in the other"
        assert await other == "other"
        assert not long.done()
        await client.call(ECHO, Params(text="the end"))
        assert await long == "long"
    log = await client.call(LOG, Params())
    assert [entry for entry in log if entry.endswith("of long")] == [f"part {i} of long" for i in range(20)]
    assert log.index("in between") < log.index("part 2 of short") < log.index("part 2 of of its kind") < log.index("the end")
    assert log.index("the end") < log.index("part 19 of long")


async def test_a_question_lets_nobody_in(client: EngineClient, engine_log: Path) -> None:
    async with asyncio.timeout(60):
        await client.start(low_priority=True)
        asked = asyncio.create_task(client.call(QUESTION, Params(text="asked", n=5, seconds=0.02)))
        await log_of(engine_log, "part 0 of asked")
        await client.call(ECHO, Params(text="after"))
        assert await asked == "asked"
        assert psutil.Process(client.pid).cmdline()[-1] == LOW_PRIORITY
    log = await client.call(LOG, Params())
    assert log.index("part 4 of asked") < log.index("after")


@pytest.mark.parametrize("method", [QUESTION, JOB])
async def test_what_is_given_up_stops_at_its_next_check(
    method: EngineMethod[Params, str], client: EngineClient, engine_log: Path
) -> None:
    async with asyncio.timeout(60):
        await client.start()
        unwanted = asyncio.create_task(client.call(method, Params(text="unwanted", n=1000, seconds=0.01)))
        await log_of(engine_log, "part 1 of unwanted")
        unwanted.cancel()
        with pytest.raises(asyncio.CancelledError):
            await unwanted
        assert await client.call(QUESTION, Params(text="new", n=2)) == "new"
        made = len(await client.call(LOG, Params()))
        await asyncio.sleep(0.1)
        assert len(await client.call(LOG, Params())) == made < 1000
    assert client.starts == 1


async def test_a_job_given_up_while_another_is_served_inside_it_ends_after_that(client: EngineClient, engine_log: Path) -> None:
    async with asyncio.timeout(60):
        await client.start()
        outer = asyncio.create_task(client.call(JOB, Params(text="outer", n=1000, seconds=0.01)))
        await log_of(engine_log, "part 1 of outer")
        inner = asyncio.create_task(client.call(OTHER_JOB, Params(text="inner", n=2, until="go on")))
        await log_of(engine_log, "part 0 of inner")
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        await client.call(ECHO, Params(text="go on"))
        assert await inner == "inner"
        assert await client.call(ECHO, Params(text="next")) == "next"
    log = await client.call(LOG, Params())
    assert not [entry for entry in log[log.index("part 0 of inner") :] if entry.endswith("of outer")]


async def test_mistakes_bugs_and_prints_do_not_end_it(client: EngineClient, engine_log: Path) -> None:
    for method, params, sentence in (
        (REFUSE, Params(), r"^There is no run called x; did you mean y\?$"),
        (FAIL, Params(), r"failed on fail: ZeroDivisionError: division by zero\. See its log"),
        (EngineMethod("nonsense", Params, str), Params(), "no method called nonsense"),
        (ECHO, Params(text=3), "failed on echo: ValidationError"),  # type: ignore[arg-type]
    ):
        with pytest.raises(EngineError, match=sentence):
            await client.call(method, params)
    assert await client.call(POLLUTE, Params()) == "clean"
    assert await client.call(ECHO, Params(text="alive")) == "alive"
    assert client.starts == 1
    text = engine_log.read_text()
    assert all(words in text for words in ("Traceback", "python print", "native print", "print of a child"))


async def test_each_way_to_die_is_told_and_the_next_call_starts_another(client: EngineClient) -> None:
    assert await client.call(ECHO, Params(text="before")) == "before"
    with pytest.raises(EngineDied, match=r"^The engine ended with exit code 7; its last line: about to die of thirst\.$"):
        await client.call(DIE, Params())
    assert client.pid is None

    assert await client.call(ECHO, Params(text="again")) == "again"
    assert client.pid is not None
    waiting = [asyncio.create_task(client.call(SLOW, Params(seconds=30.0))) for _ in range(2)]
    waiting.append(asyncio.create_task(client.call(JOB, Params(n=10))))
    await asyncio.sleep(0.1)
    os.kill(client.pid, signal.SIGKILL)
    results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
    assert [str(result) for result in results] == ["The engine was killed by SIGKILL."] * 3
    assert all(isinstance(result, EngineDied) for result in results)

    assert await client.call(ECHO, Params(text="again")) == "again"
    os.kill(client.pid, signal.SIGSTOP)
    task = asyncio.create_task(client.call(ECHO, Params()))
    await asyncio.sleep(0)
    await client.kill()
    with pytest.raises(EngineDied, match="was killed by SIGKILL"):
        await task

    assert await client.call(ECHO, Params(text="again")) == "again"
    assert client.starts == 4
    task = asyncio.create_task(client.call(SLOW, Params(seconds=30.0)))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await client.close()
    assert time.monotonic() - began < 15, "it ends when its input closes, even while it works"
    with pytest.raises(EngineDied, match="exit code 0"):
        await task


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


async def test_an_engine_that_cannot_read_its_requests_ends() -> None:
    """Else it would outlive whoever started it, and hold the run that it had open. Its input stays open here."""
    no_request, no_frame, no_msgpack = b"\x03\x00\x00\x00abc", b"\xff\xff\xff\xffrubbish", b"\x01\x00\x00\x00\xc1"
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    for sent in (no_request, no_frame, no_msgpack):
        engine = await asyncio.create_subprocess_exec(*FAKE, **pipes)
        assert engine.stdin is not None
        assert engine.stderr is not None
        try:
            engine.stdin.write(sent)
            await engine.stdin.drain()
            await asyncio.wait_for(engine.wait(), 60)
            assert (await engine.stderr.read()).startswith(b"The engine's requests cannot be read: "), sent
        finally:
            with contextlib.suppress(ProcessLookupError):
                engine.kill()
