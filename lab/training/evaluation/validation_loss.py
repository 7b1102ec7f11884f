"""Validation loss and bits per byte of a model, always on the same tokens."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from lab.core.errors import free_memory, is_out_of_memory
from lab.data.data_order import ValidationWindows, counted_targets
from lab.data.token_file import Ids, TokenFile, count_bytes
from lab.data.train_val_split import FINAL_BYTES, Ranges
from lab.runs.run_schema import DataConfig, RunConfig
from models.gpt import GPT

TOKENS_AT_ONCE = 4096
"""Tokens of one forward pass, about: large enough to keep the cores busy, small enough to take commands in between."""


class Evaluation(NamedTuple):
    val_loss: float
    """Nats per token."""
    bits_per_byte: float


class Evaluator:
    """Evaluator on a fixed set of tokens, in fp32 whatever the precision of training."""

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
        """Tokens predicted in one evaluation."""
        self.bytes = sum(count_bytes(tokens, token_bytes, start, stop) for start, stop in ranges)

    def evaluate(self, model: GPT, between: Callable[[], None] = lambda: None) -> Evaluation:
        """Loss and bits per byte, on fewer windows at once where memory does not suffice.

        `between` is called after each batch, and may raise to break off; the model is in training mode again afterwards.
        """
        while True:
            try:
                return self._evaluate(model, between)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not self._windows.halve():
                    raise
            free_memory(model.wte.weight.device)  # only here the exception, and with it what the attempt had allocated, is gone

    def _evaluate(self, model: GPT, between: Callable[[], None]) -> Evaluation:
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
    """Token ranges of the evaluations during training.

    In a run from before they were kept, these are whole windows from the start of the validation part, for about a tenth of the
    time of the steps in between.
    """
    train, context, data = config.train, config.model.context, config.data
    if data.evaluated is not None:
        return data.evaluated.tokens
    most = max(16 * context, round(0.3 * train.eval_every * train.batch * context))
    return ((data.split, min(data.tokens, data.split + most // context * context)),)


def final_ranges(data: DataConfig) -> Ranges:
    """Token ranges of the final evaluation; in a run from before they were kept, the first `FINAL_BYTES` validation tokens."""
    return data.final.tokens if data.final is not None else ((data.split, min(data.tokens, data.split + FINAL_BYTES)),)


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply fp32 matrices in fp32, and not in TF32 or bf16, where torch was allowed to."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
