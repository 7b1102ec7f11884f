"""Read the split of a text in a process of its own: the cleaning rules would take a screen's time.

`python -P -m lab.planning.split_process` reads one `SplitRequest` and writes `SplitReply`s, one a line.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable

import msgspec

from lab.core.errors import UserError
from lab.planning.sequence_preview import TextSplit, read_split

SECONDS_BETWEEN_PROGRESS = 0.1
LONGEST_REPLY = 1 << 26
"""Bytes of a reply, at most: a split holds the text that is tokenized, whose size is bounded."""


class SplitRequest(msgspec.Struct, frozen=True):
    """A text, and the rules that clean it."""

    source: str
    encoding: str | None
    rules: tuple[str, ...]


class SplitReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Progress in bytes of the files; at the end the split, or the reason why there is none."""

    done: int = 0
    total: int = 0
    split: TextSplit | None = None
    error: str = ""


async def run_split_process(request: SplitRequest, progress: Callable[[int, int], None]) -> TextSplit:
    """The split that a process reads. Cancelling the awaiting task ends the process.

    Raises:
        UserError: if the text cannot be read.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", __name__),
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
            reply = msgspec.json.decode(line, type=SplitReply)
            if reply.error:
                raise UserError(reply.error)
            if reply.split is not None:
                return reply.split
            progress(reply.done, reply.total)
        raise RuntimeError(f"reading the split ended early: {(await process.stderr.read()).decode(errors='replace')}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def main() -> None:
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=SplitRequest)
    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now >= told + SECONDS_BETWEEN_PROGRESS:
            told = now
            _write(SplitReply(done, total))

    try:
        _write(SplitReply(split=read_split(request.source, request.encoding, progress, request.rules)))
    except UserError as error:
        _write(SplitReply(error=str(error)))


def _write(reply: SplitReply) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
