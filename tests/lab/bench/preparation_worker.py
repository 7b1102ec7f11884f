"""Worker process that measures the preparation of a text: `python -P -m tests.lab.bench.preparation_worker JOB`, without torch.

As `lab.bench.bench_worker` it writes a line when it is ready, and for every line that it reads "units" and "seconds" of a round;
"peak" is the memory of the process and its children, at most, so far.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.data.text_source import open_corpus
from lab.data.train_val_split import split_text
from lab.planning.prepare_run import prepare_run
from lab.planning.prepare_text import train_tokenizer
from lab.planning.settings_table import RunRequest
from models.tokenizers.tokenizer import Tokenizer

Answer = dict[str, Any]
Round = Callable[[], Answer]


def main() -> None:
    """Serve rounds until the input ends."""
    job = json.loads(sys.argv[1])
    work = JOBS[job.pop("kind")](**job)
    out, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    print("{}", file=out, flush=True)
    for _ in sys.stdin:
        print(json.dumps(work()), file=out, flush=True)


def peak_memory() -> int:
    """Bytes that this process took at most, and the largest of its children besides, which may not have been at the same time."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def batch(text: str, sample: int, threads: int) -> Round:
    """tiktoken's `encode_ordinary_batch` of the beginning of a text, which is in memory: about `sample` characters."""
    chunks: list[str] = []
    for chunk in open_corpus(text).chunks():
        chunks.append(chunk)
        if sum(map(len, chunks)) >= sample:
            break
    size = sum(len(chunk.encode()) for chunk in chunks)
    encoding = Tokenizer.gpt2(download=False)._encoding

    def work() -> Answer:
        started = time.perf_counter()
        encoding.encode_ordinary_batch(chunks, num_threads=threads)
        return {"units": size, "seconds": time.perf_counter() - started}

    return work


def preparing(text: str, folder: str) -> Round:
    """Bytes per second of making a run with GPT-2's tokenizer: reading, measuring, splitting, encoding, writing to disk, keeping
    it for the next time. "again" is the time of making a second run, with the same settings."""

    def work() -> Answer:
        with tempfile.TemporaryDirectory(dir=folder) as home:
            request = RunRequest(text=text, tokenizer="gpt2", preset="nano", steps=1, home=Path(home))
            started = time.perf_counter()
            run = prepare_run(request)
            seconds = time.perf_counter() - started
            prepare_run(request)
            again = time.perf_counter() - started - seconds
            size = run.config.data.bytes
        return {"units": size, "seconds": seconds, "again": again, "peak": peak_memory()}

    return work


def learning(text: str, vocab: int) -> Round:
    """Bytes per second of learning a vocabulary from the training part of a text that is measured and split already."""
    corpus = open_corpus(text)
    split = split_text(corpus)

    def work() -> Answer:
        started = time.perf_counter()
        train_tokenizer("bpe", vocab, corpus, split, lambda share: None)
        seconds = time.perf_counter() - started
        return {"units": split.split, "seconds": seconds, "peak": peak_memory()}

    return work


JOBS: dict[str, Callable[..., Round]] = {"batch": batch, "preparing": preparing, "learning": learning}


if __name__ == "__main__":
    main()
