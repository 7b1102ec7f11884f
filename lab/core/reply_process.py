"""A child process that answers one request: progress, then a result or the reason why there is none, one JSON object a line.

For work that would block a screen and that a key can end at any moment. Such a process is a module that calls
`answer` when it is run. It ends with the process that asked: its standard input stays open as long as that one lives.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from lab.core.errors import UserError
from lab.core.visible_text import shortened, visible

SECONDS_BETWEEN_PROGRESS = 0.1
SECONDS_TO_END = 10.0
"""Time that a process has to clean up after SIGTERM, before it is killed."""
LONGEST_REPLY = 1 << 26
"""Bytes of a reply, at most: what it holds of a text is bounded."""

Progress = Callable[[int, int], None]
"""Called often with how much is done and the total, in the same unit; it cancels the work by raising."""
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
    module: str, request: msgspec.Struct, reply_type: type[R], progress: Progress, on_words: Tell | None = None, *, work: str
) -> R:
    """The result of a process of this module. Cancelling the awaiting task ends the process, at once, or where its sentences
    are asked for (`on_words`) with SIGTERM first: such a process has files to clean up.
    `work` names for a sentence what it does.

    Raises:
        UserError: with the error that the process replies; if a signal ended it; if the request has a name that is not UTF-8.
    """
    try:
        asked = msgspec.json.encode(request)
    except UnicodeEncodeError as error:
        raise UserError(
            f"{visible(shortened(str(error.object), 200))} is a name that is not UTF-8; rename it, or take another."
        ) from error
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
        process.stdin.write(asked + b"\n")
        async for line in process.stdout:
            if not line.endswith(b"\n"):
                break  # killed while it wrote
            reply = msgspec.json.decode(line, type=reply_type)
            if reply.error:
                raise UserError(reply.error)
            if reply.is_result:
                return reply
            if not reply.words:
                progress(reply.done, reply.total)
            elif on_words is not None:
                on_words(reply.words)
        said = (await process.stderr.read()).decode(errors="replace")
        code = await process.wait()
        number = -code if code < 0 else code - 128  # of the signal that ended it, itself or by way of its handler
        if number in set(signal.Signals):
            # Where memory runs out the kernel sends SIGKILL.
            cause = ", perhaps for lack of memory" if number == signal.SIGKILL else f" ({signal.Signals(number).name})"
            raise UserError(f"The {work} ended before it was done{cause}.")
        raise RuntimeError(f"{module} ended early, with exit code {code}: {said}")
    finally:
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            if on_words is not None and process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), SECONDS_TO_END)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.stdin.close()
        await process.wait()


def answer(request_type: type[Q], work: Callable[[Q, Progress], Reply]) -> None:
    """Read a request from standard input and write the replies of `work` to standard output."""
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=request_type)
    threading.Thread(target=_end_with_asker, daemon=True).start()
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
        _write(Reply(error=visible(str(error))))


def tell(words: str) -> None:
    """Reply with a sentence on the step that begins; called by the work of `answer`."""
    _write(Reply(words=visible(words)))


def _end_with_asker() -> None:
    """End this process, by SIGTERM, as soon as the one that asked is gone: its end of standard input is then closed."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _write(reply: Reply) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    sys.stdout.buffer.flush()
