"""How good a model is on text it never trains on, and what it writes."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from lab.data.token_file import Ids, TokenFile, count_bytes
from lab.data.train_val_split import MOST_FINAL, Ranges
from lab.data.validation_windows import ValidationWindows, counted_targets
from lab.runs.run_schema import DataConfig, RunConfig, Sample
from models.gpt import GPT
from models.sampling import generate
from models.sampling_settings import SamplingSettings
from models.tokenizers.tokenizer import Tokenizer

TOKENS_AT_ONCE = 4096
"""Tokens of one forward pass, about: large enough to keep the cores busy, small enough to look at commands in between."""

TEMPERATURE = 0.8
"""Of the samples. A little below 1 they are in the manner of the text while the model is still poor."""


class Evaluation(NamedTuple):
    val_loss: float
    """Nats per token."""
    bits_per_byte: float


class Evaluator:
    """Evaluates always on the same tokens, in fp32 whatever the training computes in."""

    def __init__(self, config: RunConfig, tokens: TokenFile, token_bytes: Ids, *, final: bool = False) -> None:
        """`token_bytes` is the length in bytes of each token, by id; `final` asks for the evaluation at the end of the run.

        Raises:
            UserError: if config.json does not say what to evaluate on.
        """
        model, data = config.model, config.data
        batch = max(1, TOKENS_AT_ONCE // model.context)
        ranges = final_ranges(data) if final else evaluated_ranges(config)
        self._windows = ValidationWindows(tokens, data.split, data.tokens, model.context, batch, ranges)
        self.tokens = self._windows.tokens
        """How many tokens are predicted in one evaluation."""
        self.bytes = sum(count_bytes(tokens, token_bytes, start, stop) for start, stop in ranges)

    def take_fewer_at_once(self) -> bool:
        """Half as many windows in a forward pass from now on, which needs less memory; False if it is one already."""
        return self._windows.halve()

    def evaluate(self, model: GPT, between: Callable[[], None] = lambda: None) -> Evaluation:
        """Loss and bits per byte. `between` is called after each batch, and may raise to break off; the model is in training mode
        again afterwards."""
        device = model.wte.weight.device
        total = 0.0
        try:
            for ids, targets in self._windows:
                model.eval()
                with torch.inference_mode(), full_precision():
                    loss = model.loss(torch.from_numpy(ids).to(device), torch.from_numpy(targets).to(device))
                total += float(loss) * counted_targets(targets)
                between()
        finally:
            model.train()
        return Evaluation(total / self.tokens, total / math.log(2) / self.bytes)


def evaluated_ranges(config: RunConfig) -> Ranges:
    """The tokens that evaluations during training are made on. In a run from before they were kept, these are whole windows from
    the start of the validation part, for about a tenth of the time of the steps in between."""
    train, context, data = config.train, config.model.context, config.data
    if data.evaluated is not None:
        return data.evaluated.tokens
    most = max(16 * context, round(0.3 * train.eval_every * train.batch * context))
    return ((data.split, min(data.tokens, data.split + most // context * context)),)


def final_ranges(data: DataConfig) -> Ranges:
    """The tokens that the evaluation at the end is made on. In a run from before they were kept, these are the first `MOST_FINAL`
    of the validation part."""
    return data.final.tokens if data.final is not None else ((data.split, min(data.tokens, data.split + MOST_FINAL)),)


@contextmanager
def full_precision() -> Iterator[None]:
    """Products of fp32 matrices in fp32, and not in TF32 or bf16, where torch was told that these will do."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def write_samples(model: GPT, tokenizer: Tokenizer, config: RunConfig, step: int, prompts: tuple[str, ...]) -> Iterator[Sample]:
    """What the model writes after each prompt. The same weights at the same step write the same.

    The model is in training mode again afterwards.
    """
    sampling = SamplingSettings(temperature=TEMPERATURE, seed=(config.train.seed * 1_000_003 + step) % 2**64)
    for prompt in prompts:
        ids = tokenizer.encode(prompt) or tokenizer.encode("\n")
        drawn = [token.id for token in generate(model, ids, config.train.sample_tokens, sampling)]
        yield Sample(step=step, prompt=prompt, text=tokenizer.decode(drawn))
