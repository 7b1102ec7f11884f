"""Learn a BPE vocabulary in a process of its own, which can be cancelled at any moment and gives its memory back.

`python -P -m lab.planning.learn_vocabulary JOB` reads the text as frames from its input, and writes its progress as
lines and then what `Tokenizer.dumps` makes. rustbpe holds the interpreter while it merges: in the process of a screen, keys would
wait for seconds.
"""

import contextlib
import json
import logging
import re
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator

from lab.core.errors import UserError
from models.config import TokenizerError
from models.tokenizers.tokenizer import Tokenizer

FRAME = struct.Struct("<q")
"""Bytes of the text that follows; `END` after the last, so that a text whose sender was killed is not taken for a whole one."""
END = -1
SECONDS_BETWEEN_REPORTS = 0.2
"""Longest time without a call of `report`, which may cancel."""

_PROGRESS = re.compile(rb"merges (\d+) (\d+)\n")
_MERGES = re.compile(r"\((\d+)/(\d+) merges\)")
"""The part of rustbpe's log that says how far merging is."""


def learn_in_process(texts: Iterable[str], vocab_size: int, report: Callable[[float], None], *, end_of_text: bool) -> Tokenizer:
    """`Tokenizer.train` in another process. `report` is called with the share of the merges made, and cancels by raising.
    Raises UserError if the process fails, with the reason."""
    job = json.dumps({"vocab_size": vocab_size, "end_of_text": end_of_text})
    command = [sys.executable, "-P", "-m", "lab.planning.learn_vocabulary", job]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdin
        output = _Output(process)
        output.start()
        try:
            try:
                for text in texts:
                    data = text.encode()
                    process.stdin.write(FRAME.pack(len(data)))
                    process.stdin.write(data)
                process.stdin.write(FRAME.pack(END))
                process.stdin.close()
            except BrokenPipeError:
                pass  # it has ended, and its last line says why
            is_learning = True
            while is_learning:
                output.join(SECONDS_BETWEEN_REPORTS)
                is_learning = output.is_alive()
                report(output.share)
            process.wait()
        finally:
            process.kill()
            process.wait()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()  # what waits to be sent goes nowhere
            output.join()
        errors.seek(0)
        if process.returncode:
            raise UserError(f"The vocabulary could not be learned: {_reason(process.returncode, errors.read())}.")
    return Tokenizer.loads(output.learned, "the learned vocabulary")


class _Output(threading.Thread):
    """Reads the share of the merges made from the process, then what it has learned."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        super().__init__(daemon=True)
        assert process.stdout
        self._stream = process.stdout
        self.share, self.learned = 0.0, b""

    def run(self) -> None:
        for line in self._stream:
            if match := _PROGRESS.fullmatch(line):
                self.share = int(match[1]) / int(match[2])
            else:
                self.learned = line + self._stream.read()


def _reason(status: int, errors: bytes) -> str:
    if status < 0:
        return f"its process was ended by signal {-status}, perhaps for want of memory; try a smaller text"
    return (errors.decode(errors="replace").strip().splitlines() or ["its process ended without a message"])[-1].rstrip(".")


class _ReportMerges(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if match := _MERGES.search(record.getMessage()):
            sys.stdout.write(f"merges {match[1]} {match[2]}\n")
            sys.stdout.flush()


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
    logger.addHandler(_ReportMerges())
    logger.propagate = False
    job = json.loads(sys.argv[1])
    try:
        learned = Tokenizer.train(_frames(), job["vocab_size"], end_of_text=job["end_of_text"])
    except TokenizerError as error:
        sys.exit(str(error))
    sys.stdout.write(learned.dumps())


if __name__ == "__main__":
    main()
