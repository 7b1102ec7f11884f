"""Learn a BPE vocabulary in a process of its own, which can be cancelled at any moment and gives its memory back.

`python -P -m lab.planning.learn_vocabulary JOB` reads the text as frames from its input, writes rustbpe's log as it merges to
standard error, and at the end what `Tokenizer.dumps` makes to standard output. rustbpe holds the interpreter while it merges: in
the process of a screen, keys would wait for seconds.
"""

import contextlib
import json
import logging
import os
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO

from lab.core.errors import UserError
from models.config import TokenizerError
from models.tokenizers.tokenizer import Tokenizer

FRAME = struct.Struct("<q")
"""Bytes of the text that follows; `END` after the last, so that a text whose sender was killed is not taken for a whole one."""
END = -1
SECONDS_BETWEEN_REPORTS = 0.2
"""Longest time without a call of `report`, which may cancel."""
MOST_LOG = 1 << 20
"""Bytes of the log that are read: a line for each hundredth of the merges takes some kilobytes."""

_MERGES = re.compile(rb"\((\d+)/(\d+) merges\)")
"""The part of rustbpe's log that says how far merging is."""


def learn_in_process(texts: Iterable[str], vocab_size: int, report: Callable[[float], None], *, end_of_text: bool) -> Tokenizer:
    """`Tokenizer.train` in another process. `report` is called with the share of the merges made, and cancels by raising.
    Raises UserError if the process fails, with the reason."""
    job = json.dumps({"vocab_size": vocab_size, "end_of_text": end_of_text})
    command = [sys.executable, "-P", "-m", "lab.planning.learn_vocabulary", job]
    with (
        tempfile.TemporaryFile() as learned,
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=learned, stderr=log) as process,
    ):
        assert process.stdin
        try:
            with contextlib.suppress(BrokenPipeError):  # it has ended, and its last line says why
                for text in texts:
                    data = text.encode()
                    process.stdin.write(FRAME.pack(len(data)))
                    process.stdin.write(data)
                process.stdin.write(FRAME.pack(END))
                process.stdin.close()
            is_learning = True
            while is_learning:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SECONDS_BETWEEN_REPORTS)
                is_learning = process.poll() is None
                report(_share_of_merges(log))
        finally:
            process.kill()
            process.wait()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()  # what waits to be sent goes nowhere
        if process.returncode:
            log.seek(0)
            raise UserError(f"The vocabulary could not be learned: {_reason(process.returncode, log.read())}.")
        learned.seek(0)
        return Tokenizer.loads(learned.read(), "the learned vocabulary")


def _share_of_merges(log: IO[bytes]) -> float:
    """Share of the merges made, by the log that the process writes."""
    found = _MERGES.findall(os.pread(log.fileno(), MOST_LOG, 0))
    return int(found[-1][0]) / int(found[-1][1]) if found else 0.0


def _reason(status: int, errors: bytes) -> str:
    if status < 0:
        return f"its process was ended by signal {-status}, perhaps for want of memory; try a smaller text"
    return (errors.decode(errors="replace").strip().splitlines() or ["its process ended without a message"])[-1].rstrip(".")


def _frames() -> Iterator[str]:
    while (size := FRAME.unpack(_read(FRAME.size))[0]) != END:
        yield _read(size).decode()


def _read(size: int) -> bytes:
    data = sys.stdin.buffer.read(size)
    if len(data) < size:
        sys.exit("the text ended early")
    return data


def main() -> None:
    """Learn from the frames of standard input."""
    logger = logging.getLogger("rustbpe")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler())
    logger.propagate = False
    job = json.loads(sys.argv[1])
    try:
        learned = Tokenizer.train(_frames(), job["vocab_size"], end_of_text=job["end_of_text"])
    except TokenizerError as error:
        sys.exit(str(error))
    sys.stdout.write(learned.dumps())


if __name__ == "__main__":
    main()
