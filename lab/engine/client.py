"""Client of the engine process: starts it with the first call, sends requests, and starts another when it has died.

asyncio only: no torch, no Textual. Works in any event loop, one at a time.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeVar, cast

import msgspec

from lab.core.child_process import ONE_NUMPY_THREAD
from lab.core.safe_open import last_text_line
from lab.engine.method_registry import EngineMethod
from lab.engine.protocol import HEADER, Cancel, Reply, Request, WireError, body_length, frame

P = TypeVar("P")
R = TypeVar("R")

COMMAND = (sys.executable, "-P", "-m", "lab.engine.process")
"""-P keeps folders of the working directory that are called lab or models from being imported instead of ours."""

LOW_PRIORITY = "--low-priority"
"""Argument with which the engine imports torch in a niced thread."""

SECONDS_TO_END = 2.0
"""Seconds to end by itself before the engine is killed."""


class EngineError(Exception):
    """A request that the engine refused; the message is one sentence for the user."""


class EngineDied(EngineError):  # noqa: N818
    """The end of the engine's process while an answer was due. The next call starts another."""


@dataclass(frozen=True)
class _RunningEngine:
    process: asyncio.subprocess.Process
    reading: asyncio.Task[None]
    """The task that reads its replies until it ends."""

    @property
    def stdin(self) -> asyncio.StreamWriter:
        assert self.process.stdin is not None
        return self.process.stdin

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            self.process.kill()


class EngineClient:
    """One engine process, started at the first call.

    `starts` counts the processes started so far: a screen that sees it rise knows that the engine was replaced. Standard error
    of each is its log, a temporary file.
    """

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = tuple(command)
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._starting = asyncio.Lock()
        self._running: _RunningEngine | None = None
        self.starts = 0

    @property
    def pid(self) -> int | None:
        return self._running.process.pid if self._running is not None else None

    async def start(self, *, low_priority: bool = False) -> None:
        """Start the engine if none runs; worth calling before the first request, since importing torch takes seconds.

        With `low_priority`, that import gives way to other programs.

        Raises:
            EngineDied: if no process can be started.
        """
        async with self._starting:
            if self._running is not None:
                return
            log = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - the reading task closes it
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    *([LOW_PRIORITY] if low_priority else []),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    limit=1 << 22,
                    env=os.environ | ONE_NUMPY_THREAD,
                    start_new_session=True,  # ctrl+c in the terminal is for the screen, not for the engine
                )
            except OSError as error:
                raise EngineDied(f"The engine could not be started: {error.strerror or error}.") from error
            self.starts += 1
            reading = asyncio.create_task(self._read(process, log), name="engine replies")
            self._running = _RunningEngine(process, reading)

    async def call(self, method: EngineMethod[P, R], params: P) -> R:
        """One answer. Cancelling the awaiting task drops the request, or has the engine give it up.

        Raises:
            EngineError: if the request cannot be answered, in one sentence.
            EngineDied: if the process ended; calling again starts another.
        """
        await self.start()
        id_, pending = next(self._ids), asyncio.get_running_loop().create_future()
        self._pending[id_] = pending
        try:
            await self._write(frame(Request(id_, method.name, msgspec.Raw(msgspec.msgpack.encode(params)))))
            reply = await pending
        except asyncio.CancelledError:
            await self._write(frame(Cancel(id_)))
            raise
        finally:
            del self._pending[id_]
        if reply.error is not None:
            raise EngineError(reply.error)
        return msgspec.msgpack.decode(reply.result, type=method.result)

    async def close(self) -> None:
        """End the engine; pending calls raise EngineDied. A later call starts a new one."""
        if (running := self._running) is None:
            return
        running.stdin.close()
        try:
            await asyncio.wait_for(running.process.wait(), SECONDS_TO_END)
        except TimeoutError:
            running.kill()
        await running.reading

    async def kill(self) -> None:
        """End an engine that does not respond; pending calls raise EngineDied. A later call starts a new one."""
        if (running := self._running) is not None:
            running.kill()
            await running.reading

    async def _write(self, data: bytes) -> None:
        """Write to the engine if it runs; if it does not, the reading task fails every pending call."""
        if (running := self._running) is None:
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            running.stdin.write(data)
            await running.stdin.drain()

    async def _read(self, process: asyncio.subprocess.Process, log: BinaryIO) -> None:
        assert process.stdout is not None
        decoder = msgspec.msgpack.Decoder(Reply)
        garbage: str | None = None
        try:
            while True:
                header = await process.stdout.readexactly(HEADER)
                reply = decoder.decode(await process.stdout.readexactly(body_length(header)))
                pending = self._pending.get(reply.id)
                if pending is not None and not pending.done():
                    pending.set_result(reply)
        except asyncio.IncompleteReadError:
            pass
        except (WireError, msgspec.DecodeError) as error:
            garbage = str(error)
        code = await _exit_code(process, SECONDS_TO_END if garbage is None else 0.0)
        self._running = None
        line = garbage or last_text_line(log)
        log.close()
        end = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        died = EngineDied(f"The engine {end}{'; its last line: ' + line if line else ''}.")
        for pending in self._pending.values():
            if not pending.done():
                pending.set_exception(died)


async def _exit_code(process: asyncio.subprocess.Process, seconds: float) -> int:
    """The exit code of a process that closed its output; it is killed if it does not end in time."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        return await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        process.kill()
        return await process.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
