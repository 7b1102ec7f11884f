"""Sweep for the loss law: what runs of many sizes, lengths, texts and vocabularies reach, one JSON line each.

    python -m tests.lab.planning.loss_sweep jobs.jsonl loss_sweep.jsonl

A job is a line with `text` (a file), `vocab`, `context`, `batch`, `layers`, `width`, `tokens` and `seed`, and perhaps `size`
(only so many of its bytes), `optimizer`, `dropout`, `weight_decay`, `lr` and `final_lr`. Jobs that the results have are left
out. The last tenth of a text is held out, of which up to 120 kB are evaluated. Losses at equal tokens do not depend on how busy
the machine is; steps are computed by one thread.
"""

import argparse
import functools
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lab.data.statistics.held_out_entropy import held_out_entropy
from lab.data.text_source import open_corpus
from lab.data.token_file import Ids
from lab.planning.default_hyperparameters import DEFAULT_OPTIMIZER, default_lr
from models.config import ModelConfig, schedule_factor
from models.gpt import GPT
from models.optimizers import make_optimizer, set_muon_dtype
from models.tokenizers.tokenizer import Tokenizer

EVALUATED_BYTES = 120_000
HEAD_WIDTH = 32
EVALUATED_AT_ONCE = 32
AVERAGED_FROM, AVERAGED_OVER, AVERAGED_EVERY = 0.8, 0.05, 2
"""Share of the steps from which on the weights are averaged, the average's length as a share of them, and every so many steps."""


class EncodedText:
    """The two parts of a text in tokens."""

    def __init__(self, path: str, size: int, vocab: int) -> None:
        data = Path(path).read_bytes()[: size or None]
        cut = data.index(b"\n", len(data) * 9 // 10)
        train, held = (part.decode("utf-8", "ignore") for part in (data[:cut], data[cut:]))
        held = held[:EVALUATED_BYTES]
        tokenizer = Tokenizer.bytes_() if vocab == 256 else Tokenizer.train([train], vocab)
        self.vocab_size = tokenizer.vocab_size
        self.train, self.held = (np.array(tokenizer.encode(part), dtype=np.int64) for part in (train, held))
        self.train_bytes, self.held_bytes = len(train.encode()), len(held.encode())
        self.entropy = held_out_entropy(open_corpus(path))

    def windows(self, context: int, seed: int) -> Iterator[int]:
        """The beginnings of windows, in a new order and at a new offset in each epoch."""
        generator = np.random.default_rng(seed)
        while True:
            offset = int(generator.integers(0, context))
            yield from (offset + context * generator.permutation((len(self.train) - 1 - offset) // context)).tolist()


@functools.lru_cache(maxsize=4)
def encoded(path: str, size: int, vocab: int) -> EncodedText:
    return EncodedText(path, size, vocab)


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Train once. `bits_per_byte` is that of the last weights, `averaged` that of their average."""
    text = encoded(job["text"], job.get("size", 0), job["vocab"])
    context, batch, width = job["context"], job["batch"], job["width"]
    shape = ModelConfig(
        layers=job["layers"],
        heads=max(1, width // HEAD_WIDTH),
        width=width,
        context=context,
        vocab_size=text.vocab_size,
        dropout=job.get("dropout", 0.0),
    )
    model = GPT(shape, seed=job["seed"]).train()
    rule = job.get("optimizer", DEFAULT_OPTIMIZER)
    lr = job.get("lr") or default_lr(width, rule)
    optimizer = make_optimizer(model, lr, job.get("weight_decay", 0.1), (0.9, 0.95), rule)
    set_muon_dtype(optimizer, torch.bfloat16)
    steps = max(20, round(job["tokens"] / (batch * context)))
    windows, average = text.windows(context, job["seed"]), list[torch.Tensor]()
    for step in range(steps):
        factor = schedule_factor("cosine", (step + 1) / steps, 0.03, job.get("final_lr", 0.1))
        for group in optimizer.param_groups:
            group["lr"] = lr * factor
        rows = np.stack([text.train[start : start + context + 1] for start in (next(windows) for _ in range(batch))])
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.loss(torch.from_numpy(rows[:, :-1].copy()), torch.from_numpy(rows[:, 1:].copy()))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        weights = [parameter.detach() for parameter in model.parameters()]
        if step == int(steps * AVERAGED_FROM):
            average = [weight.clone() for weight in weights]
        elif average and step % AVERAGED_EVERY == 0:
            torch._foreach_lerp_(average, weights, min(1.0, AVERAGED_EVERY / max(1.0, steps * AVERAGED_OVER)))
    last = bits_per_byte(model, text.held, context, text.held_bytes)
    with torch.no_grad():
        for parameter, mean in zip(model.parameters(), average, strict=True):
            parameter.copy_(mean)
    return {
        "bits_per_byte": round(last, 4),
        "averaged": round(bits_per_byte(model, text.held, context, text.held_bytes), 4),
        "steps": steps,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocab_size": text.vocab_size,
        "train_tokens": len(text.train),
        "train_bytes": text.train_bytes,
        "entropy": text.entropy,
    }


@torch.inference_mode()
def bits_per_byte(model: GPT, held: Ids, context: int, size: int) -> float:
    """Of the whole windows of the held-out part, side by side."""
    model.eval()
    count = (len(held) - 1) // context
    ids, targets = (held[at : at + count * context].reshape(count, context) for at in (0, 1))
    total = 0.0
    for at in range(0, count, EVALUATED_AT_ONCE):
        part = slice(at, at + EVALUATED_AT_ONCE)
        with torch.autocast("cpu", torch.bfloat16):
            total += (
                float(model.loss(torch.from_numpy(ids[part].copy()), torch.from_numpy(targets[part].copy()))) * ids[part].size
            )
    return total / math.log(2) / (size * count * context / len(held))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("jobs", type=Path)
    parser.add_argument("results", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = [json.loads(line) for line in arguments.results.read_text().splitlines()] if arguments.results.exists() else []
    for job in map(json.loads, arguments.jobs.read_text().splitlines()):
        if not any(job.items() <= result.items() for result in known):
            started = time.monotonic()
            result = job | run(job)
            with arguments.results.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(f"{time.monotonic() - started:.0f} s: {result}", flush=True)


if __name__ == "__main__":
    main()
