"""Sweep for the loss law: what runs of many sizes, lengths, texts and vocabularies reach, one JSON line each.

    python -m tests.lab.planning.loss_sweep FOLDER jobs.jsonl loss_sweep.jsonl

A job is a line with `text` (FOLDER has its file, TEXT.txt), `vocab`, `context`, `batch`, `layers`, `width`, `tokens` and `seed`,
and perhaps `size` (only so many of its bytes), `dropout` and `weight_decay`. Jobs that the results have are left out. The last
tenth of a text is held out, of which up to 120 kB from all over it are evaluated; `pilot` is what the text's pilot found. Losses
at equal tokens do not depend on how busy the machine is; steps are computed by one thread.

Lines without a pilot are from an earlier sweep, whose texts are not at hand: they say how the loss of one text changes with the
settings, and not how hard the text is.
"""

import argparse
import functools
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import torch

from lab.data.statistics.text_sample import HELD, SEEN, TextSample, spread
from lab.planning.text_difficulty import Pilot
from lab.training.train_pilot import EncodedParts, encoded, train, train_pilot
from models.config import ModelConfig
from models.parameter_count import parameter_count

EVALUATED_BYTES = 120_000
HEAD_WIDTH = 32


@functools.lru_cache(maxsize=4)
def parts(path: Path, size: int) -> tuple[bytes, bytes]:
    data = path.read_bytes()[: size or None]
    cut = data.index(b"\n", len(data) * 9 // 10)
    return data[:cut], data[cut:]


@functools.lru_cache(maxsize=4)
def tokens_of(path: Path, size: int, vocab: int) -> EncodedParts:
    seen, held = parts(path, size)
    return encoded(seen, spread(held, EVALUATED_BYTES), vocab)


@functools.lru_cache(maxsize=64)
def pilot_of(path: Path, size: int) -> Pilot | None:
    seen, held = parts(path, size)
    return train_pilot(TextSample(spread(seen, SEEN), spread(held, HELD)))


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Train once. `averaged` is the loss of the averaged weights at the end, `curve` that after shares of the steps."""
    path, size = folder / f"{job['text']}.txt", job.get("size", 0)
    text = tokens_of(path, size, job["vocab"])
    context, batch, width = job["context"], job["batch"], job["width"]
    shape = ModelConfig(
        layers=job["layers"],
        heads=max(1, width // HEAD_WIDTH),
        width=width,
        context=min(context, len(text.held) - 2),
        vocab_size=text.vocab_size,
        dropout=job.get("dropout", 0.0),
    )
    steps = max(20, round(job["tokens"] / (batch * context)))
    evaluated = tuple(round(steps * share) for share in (1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4))
    *curve, averaged = train(shape, text, steps, batch, job.get("weight_decay", 0.1), job["seed"], evaluated)
    pilot = pilot_of(path, size)
    return {
        "averaged": round(averaged, 4),
        "curve": [round(loss, 4) for loss in curve],
        "steps": steps,
        "parameters": parameter_count(shape),
        "vocab_size": text.vocab_size,
        "train_tokens": len(text.train),
        "train_bytes": text.train_bytes,
        "pilot": msgspec.to_builtins(pilot),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in ("folder", "jobs", "results"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = [json.loads(line) for line in arguments.results.read_text().splitlines()] if arguments.results.exists() else []
    for job in map(json.loads, arguments.jobs.read_text().splitlines()):
        if not any(job.items() <= result.items() for result in known):
            started = time.monotonic()
            result = job | run(arguments.folder, job)
            with arguments.results.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(f"{time.monotonic() - started:.0f} s: {result}", flush=True)


if __name__ == "__main__":
    main()
