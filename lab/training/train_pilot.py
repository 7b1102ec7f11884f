"""Training of a text's pilot (`lab.planning.text_difficulty`), in a process of its own.

`python -P -m lab.training.train_pilot` reads a `TextSample` from its input and prints a `Pilot`; nothing where the sample is too
small to train on.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import torch

from lab.data.statistics.text_sample import TextSample
from lab.data.token_file import Ids
from lab.planning.default_hyperparameters import DEFAULT_OPTIMIZER, default_lr
from lab.planning.text_difficulty import BATCH, CONTEXT, EVALUATED, STEPS, VOCABULARY, WEIGHT_DECAY, Pilot, pilot_shape
from lab.runs.run_schema import TrainConfig
from lab.training.model_as_trained import ModelAsTrained
from lab.training.weight_average import WeightAverage
from models.config import ModelConfig
from models.gpt import GPT
from models.learning_rate import schedule_factor
from models.tokenizers.tokenizer import Tokenizer

SEED = 1
AT_ONCE = 32
"""Windows evaluated in one forward pass."""
AVERAGED = 0.05
"""Share of the steps so far over which weights are averaged."""


@dataclass(frozen=True)
class EncodedParts:
    """Two parts of a text in tokens, the second held out."""

    train: Ids
    held: Ids
    train_bytes: int
    held_bytes: int
    vocab_size: int


def encoded(train: bytes, held: bytes, vocabulary: int) -> EncodedParts:
    """The parts in the tokens that BPE learns from the first; in bytes where the vocabulary is 256."""
    texts = [part.decode("utf-8", "ignore") for part in (train, held)]
    tokenizer = Tokenizer.bytes_() if vocabulary == 256 else Tokenizer.train(texts[:1], vocabulary)
    seen, unseen = (np.array(tokenizer.encode(text), dtype=np.int64) for text in texts)
    return EncodedParts(seen, unseen, len(texts[0].encode()), len(texts[1].encode()), tokenizer.vocab_size)


def train(
    shape: ModelConfig, text: EncodedParts, steps: int, batch: int, weight_decay: float, seed: int, evaluated: tuple[int, ...]
) -> list[float]:
    """Train a model as a run is by default, and evaluate its averaged weights after these steps and at the end.
    Returns held-out losses in bits per byte."""
    lr = default_lr(shape.width, DEFAULT_OPTIMIZER)
    settings = TrainConfig(optimizer=DEFAULT_OPTIMIZER, lr=lr, weight_decay=weight_decay, average=AVERAGED)
    trained = ModelAsTrained(shape, settings, seed=seed)
    trained.set_arithmetic("fp32", "auto")
    model, average = trained.model.train(), WeightAverage(trained)
    windows = _windows(text.train, shape.context, seed)
    losses = []
    torch.manual_seed(seed)
    for step in range(1, steps + 1):
        trained.set_lr(lr * schedule_factor(settings.schedule, step / steps, settings.warmup, settings.final_lr))
        rows = np.stack([text.train[start : start + shape.context + 1] for start in (next(windows) for _ in range(batch))])
        model.loss(torch.from_numpy(rows[:, :-1].copy()), torch.from_numpy(rows[:, 1:].copy())).backward()  # type: ignore[no-untyped-call]
        trained.clip_gradients()
        trained.optimizer.step()
        trained.optimizer.zero_grad()
        average.update(step)
        if step in evaluated or step == steps:
            with average.shown():
                losses.append(bits_per_byte(model, text))
    return losses


def _windows(tokens: Ids, context: int, seed: int) -> Iterator[int]:
    """The beginnings of windows, in a new order and at a new offset in each epoch."""
    generator = np.random.default_rng(seed)
    while True:
        offset = int(generator.integers(0, context))
        yield from (offset + context * generator.permutation((len(tokens) - 1 - offset) // context)).tolist()


@torch.inference_mode()
def bits_per_byte(model: GPT, text: EncodedParts) -> float:
    """Of the whole windows of the held-out part, side by side."""
    model.eval()
    context = model.config.context
    count = (len(text.held) - 1) // context
    ids, targets = (text.held[at : at + count * context].reshape(count, context) for at in (0, 1))
    total = 0.0
    for at in range(0, count, AT_ONCE):
        part = slice(at, at + AT_ONCE)
        total += float(model.loss(torch.from_numpy(ids[part].copy()), torch.from_numpy(targets[part].copy()))) * ids[part].size
    model.train()
    return total / math.log(2) / (text.held_bytes * count * context / len(text.held))


def train_pilot(sample: TextSample) -> Pilot | None:
    """None where a part has no window of the smallest context."""
    text = encoded(sample.seen, sample.held, VOCABULARY)
    context = min(CONTEXT, len(text.held) - 1, len(text.train) // 2 - 1)
    if context < 4:
        return None
    shape = pilot_shape(text.vocab_size, context)
    losses = train(shape, text, STEPS, BATCH, WEIGHT_DECAY, SEED, EVALUATED)
    lowest, halfway = min(losses), losses[EVALUATED.index(STEPS // 2)]
    fell_by = math.log(halfway / lowest) if lowest == losses[-1] else 0.0
    return Pilot(lowest, fell_by, len(text.train), text.train_bytes)


def main() -> int:
    torch.set_num_threads(1)
    pilot = train_pilot(msgspec.json.decode(sys.stdin.buffer.read(), type=TextSample))
    if pilot is not None:
        sys.stdout.buffer.write(msgspec.json.encode(pilot))
    return 0


if __name__ == "__main__":
    sys.exit(main())
