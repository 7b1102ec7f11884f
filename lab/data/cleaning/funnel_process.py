"""Measure the funnel of a text, or save the cleaned text, in a process of its own: the rules would take a screen's time.

`python -P -m lab.data.cleaning.funnel_process` reads one `FunnelRequest` and writes `FunnelReply`s, one a line.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from lab.core.errors import UserError
from lab.data.cleaning.funnel import Funnel

SECONDS_BETWEEN_PROGRESS = 0.1
LONGEST_REPLY = 1 << 26
"""Bytes of a reply, at most: a funnel has a few excerpts of bounded length per rule."""


class FunnelRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A text, the rules to measure, and the path to save the cleaned text at; "" for none. `replace` allows a file there."""

    source: str
    encoding: str | None
    rules: tuple[str, ...]
    save: str = ""
    replace: bool = False


class FunnelReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Progress in bytes of the files; at the end the funnel, or the bytes that were saved, or the reason why there is neither."""

    done: int = 0
    total: int = 0
    funnel: Funnel | None = None
    saved: int | None = None
    error: str = ""


async def run_funnel_process(request: FunnelRequest, progress: Callable[[int, int], None]) -> FunnelReply:
    """The last reply of a process for this request. Cancelling the awaiting task ends the process.

    Raises:
        UserError: if the text cannot be read, or not be saved.
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
            reply = msgspec.json.decode(line, type=FunnelReply)
            if reply.error:
                raise UserError(reply.error)
            if reply.funnel is not None or reply.saved is not None:
                return reply
            progress(reply.done, reply.total)
        raise RuntimeError(f"the measurement of the funnel ended early: {(await process.stderr.read()).decode(errors='replace')}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def main() -> None:
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=FunnelRequest)
    try:
        _write(FunnelReply(saved=_save(request)) if request.save else FunnelReply(funnel=_measure(request)))
    except UserError as error:
        _write(FunnelReply(error=str(error)))


def _measure(request: FunnelRequest) -> Funnel:
    from lab.data.cleaning.measure_funnel import measure_funnel

    told = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now >= told + SECONDS_BETWEEN_PROGRESS:
            told = now
            _write(FunnelReply(done, total))

    return measure_funnel(request.source, request.encoding, request.rules, progress)


def _save(request: FunnelRequest) -> int:
    """Write the cleaned text and return its bytes: see `save_text`."""
    from lab.data.cleaning.save_text import check_target, save_text
    from lab.data.text_source import open_corpus

    corpus = open_corpus(request.source, request.encoding, cleaning=request.rules)
    check_target(Path(request.save), corpus, replace=request.replace)
    told = 0.0

    def progress(written: int) -> None:
        nonlocal told
        if time.monotonic() >= told + SECONDS_BETWEEN_PROGRESS:
            told = time.monotonic()
            _write(FunnelReply(written, max(written, corpus.file_bytes)))

    return save_text(corpus, Path(request.save), progress)


def _write(reply: FunnelReply) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
