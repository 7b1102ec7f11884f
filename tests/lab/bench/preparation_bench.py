"""Measure the preparation of a text of any size: its speed against tiktoken's own batches, its memory, and the second time.

    python -m tests.lab.bench.preparation_bench 100000000     # bytes of text

The text is made here: the Python language reference and stories, repeated, with other letters in some of the words each time, so
that a vocabulary learned from it meets new words for as long as it reads.
"""

import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lab.bench.timed_process import BenchRow, TimedProcess
from lab.cli.commands.bench_command import described, ended_by_signals, measured, progress_line
from lab.core.errors import UserError
from lab.core.machine import cores
from lab.core.number_format import bytes_
from lab.core.unfinished_folder import unfinished_folder
from lab.data.text_source import open_corpus
from lab.planning.text_stamp import SETTLED_SECONDS
from lab.runs.home_folder import home

WORKER = "tests.lab.bench.preparation_worker"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
SAMPLE = 32_000_000
"""Characters that tiktoken encodes in a round, from memory: its lists of integers take eight bytes a token."""
ROUNDS = 3
LONG = 200_000_000
"""Bytes of text from which on it is prepared once, not `ROUNDS` times."""
LEARNED = 100_000_000
"""Bytes of text that a vocabulary is learned from, at most."""
VOCABULARY = 4096
CHANGED_LETTERS = 150
"""One letter of so many characters is another each time that the text is repeated."""
DISK = 4
"""Room on disk, as a multiple of the text: the text, two runs and what is kept, each at most two bytes a token of GPT-2."""

ShowProgress = Callable[[str], None]
"""Show what is measured now."""


def rows(size: int, folder: Path, say: ShowProgress) -> Iterator[BenchRow]:
    """Measure with a text of `size` bytes, in a temporary folder beside the runs of `folder`.

    Raises:
        UserError: if there is no room, or a measurement fails.
    """
    if shutil.disk_usage(folder).free < DISK * size:
        raise UserError(
            f"Preparing {bytes_(size)} takes {bytes_(DISK * size)} of disk at most; free some, or name a smaller size."
        )
    with unfinished_folder(folder) as work:  # which the next preparation removes if this process is killed
        try:
            say(f"preparation: making a text of {bytes_(size)}")
            path, part = work / "text.txt", work / "part.txt"
            write_varied_text(path, size)
            write_varied_text(part, min(size, LEARNED))
            time.sleep(SETTLED_SECONDS)  # a file younger than that is not recognised the second time
            yield from _encoding_rows(path, size, say)
            yield from _learning_rows(part, say)
        finally:
            shutil.rmtree(work)


def write_varied_text(path: Path, size: int) -> None:
    """Write a text of `size` bytes of ASCII, or a few more."""
    base = b"".join("".join(open_corpus(name).chunks()).encode("ascii", "ignore") for name in ("python", "stories"))
    letters = np.frombuffer(base, np.uint8)
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        while (left := size - file.tell()) > 0:
            varied = letters.copy()
            places = random.integers(0, len(letters), len(letters) // CHANGED_LETTERS)
            places = places[(letters[places] >= ord("a")) & (letters[places] <= ord("z"))]
            varied[places] = random.integers(ord("a"), ord("z") + 1, len(places), dtype=np.uint8)
            file.write(varied[:left].tobytes())


def _encoding_rows(path: Path, size: int, say: ShowProgress) -> Iterator[BenchRow]:
    threads = cores()
    batch = TimedProcess(
        "tiktoken", WORKER, {"kind": "batch", "text": str(path), "sample": SAMPLE, "threads": threads}, ENVIRONMENT
    )
    ours = TimedProcess("preparation", WORKER, {"kind": "preparing", "text": str(path), "folder": str(path.parent)}, ENVIRONMENT)
    again, peak = [], []
    say(f"preparation of {bytes_(size)}")
    with batch, ours:
        batch.get_ready()
        ours.get_ready()
        batch.round()
        for _ in range(1 if size >= LONG else ROUNDS):
            ours.round()
            again.append(ours.last["again"])
            peak.append(ours.last["peak"])
            batch.round()
    around = [(before + after) / 2 for before, after in zip(batch.throughputs, batch.throughputs[1:], strict=False)]
    compared = statistics.median(mine / theirs for mine, theirs in zip(ours.throughputs, around, strict=True))
    against = f"tiktoken's encode_ordinary_batch on {threads} threads"
    note = "text to run with GPT-2's tokenizer: read, measured, split, encoded, written"
    yield BenchRow("preparation", bytes_(size), ours.throughput / 1e6, "MB/s", compared, against, note)
    yield BenchRow("preparation", "memory", max(peak) / 1e6, "MB", note="the process and its children, at most")
    yield BenchRow("preparation", "second time", statistics.median(again), "s", note="another run with the same settings")


def _learning_rows(path: Path, say: ShowProgress) -> Iterator[BenchRow]:
    say(f"learning a vocabulary of {VOCABULARY:,}")
    job = {"kind": "learning", "text": str(path), "vocab": VOCABULARY}
    with TimedProcess("learning", WORKER, job, ENVIRONMENT) as learning:
        learning.get_ready()
        learning.round()
    read = bytes_(int(learning.last["units"]))
    name = f"vocabulary of {VOCABULARY:,}"
    yield BenchRow("preparation", name, learning.last["seconds"], "s", note=f"learned from {read} on {cores()} cores")
    yield BenchRow("preparation", "memory of learning", learning.last["peak"] / 1e6, "MB", note="the process and its children")


if __name__ == "__main__":
    with ended_by_signals(), progress_line() as say:
        report = measured(lambda: rows(int(sys.argv[1]), home(), say))
    print(described(report))
