"""A child process that answers one request: progress, then a result or the reason why there is none, one JSON object a line.

For work that would take a screen's time from it, and that a key can end at any moment. Such a process is a module that calls
`answer` when it is run.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from lab.core.errors import UserError

SECONDS_BETWEEN_PROGRESS = 0.1
SECONDS_TO_END = 2.0
"""Time that a process has to clean up after SIGTERM, before it is killed."""
LONGEST_REPLY = 1 << 26
"""Bytes of a reply, at most: what it holds of a text is bounded."""

Progress = Callable[[int, int], None]
"""Called with how much is done and the total, in the same unit."""
Tell = Callable[[str], None]
"""Called with a sentence at each longer step."""


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Progress, a sentence on the step that begins, an error, or, in a subclass, the result, which comes last."""

    words: str = ""
    done: int = 0
    total: int = 0
    error: str = ""
    is_result: bool = False


R = TypeVar("R", bound=Reply)
Q = TypeVar("Q", bound=msgspec.Struct)


async def ask_process(
    module: str, request: msgspec.Struct, reply_type: type[R], progress: Progress, on_words: Tell | None = None
) -> R:
    """The result of a process of this module. Cancelling the awaiting task ends the process, at once, or where its sentences
    are asked for (`on_words`) with SIGTERM first: such a process has files to clean up.

    Raises:
        UserError: with the error that the process replies.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LONGEST_REPLY,
        start_new_session=True,  # ctrl+c in the terminal is for the screen
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        process.stdin.write(msgspec.json.encode(request))
        process.stdin.close()
        async for line in process.stdout:
            reply = msgspec.json.decode(line, type=reply_type)
            if reply.error:
                raise UserError(reply.error)
            if reply.is_result:
                return reply
            if not reply.words:
                progress(reply.done, reply.total)
            elif on_words is not None:
                on_words(reply.words)
        raise RuntimeError(f"{module} ended early: {(await process.stderr.read()).decode(errors='replace')}")
    finally:
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            if on_words is not None and process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), SECONDS_TO_END)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def answer(request_type: type[Q], work: Callable[[Q, Progress], Reply]) -> None:
    """Read a request from standard input and write the replies of `work` to standard output."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=request_type)
    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now >= told + SECONDS_BETWEEN_PROGRESS:
            told = now
            _write(Reply(done=done, total=total))

    try:
        _write(msgspec.structs.replace(work(request, progress), is_result=True))
    except UserError as error:
        _write(Reply(error=str(error)))


def tell(words: str) -> None:
    """Reply with a sentence on the step that begins; called by the work of `answer`."""
    _write(Reply(words=words))


def _write(reply: Reply) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    sys.stdout.buffer.flush()
