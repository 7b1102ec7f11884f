"""How good a model is on text it never trains on, and what it writes."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch

from lab.dataset import Ids, Tokens, Validation, count_bytes, most_evaluated
from lab.run_config import RunConfig, Sample
from models.gpt import GPT
from models.sampling import Sampling, generate
from models.tokenizer import Tokenizer

TOKENS_AT_ONCE = 4096
"""Tokens of one forward pass, about: large enough to keep the cores busy, small enough to look at commands in between."""

TEMPERATURE = 0.8
"""Of the samples. A little below 1 they are in the manner of the text while the model is still poor."""


class Evaluation(NamedTuple):
    val_loss: float
    """Nats per token."""
    bits_per_byte: float


class Evaluator:
    """Evaluates on fixed windows of the validation part: on all of it where that takes no more than its share of the time."""

    def __init__(
        self, config: RunConfig, tokens: Tokens, token_bytes: Ids, arithmetic: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """`token_bytes` is the length in bytes of each token, by id; `arithmetic` gives the context of a forward pass."""
        train, model, data = config.train, config.model, config.data
        most = most_evaluated(train.eval_every, train.batch, model.context)
        batch = max(1, TOKENS_AT_ONCE // model.context)
        self._windows = Validation(tokens, data.split, data.tokens, model.context, batch, most)
        self._bytes = count_bytes(tokens, token_bytes, self._windows.start, self._windows.stop)
        self._arithmetic = arithmetic
        self.tokens = self._windows.tokens
        """How many tokens are predicted in one evaluation."""

    def take_fewer_at_once(self) -> bool:
        """Half as many windows in a forward pass from now on, which needs less memory; False if it is one already."""
        return self._windows.halve()

    def evaluate(self, model: GPT, between: Callable[[], None] = lambda: None) -> Evaluation:
        """Loss and bits per byte. `between` is called after each batch, and may raise to break off; the model is in training mode
        again afterwards."""
        device = model.wte.weight.device
        total = 0.0
        model.eval()
        try:
            for ids, targets in self._windows:
                with torch.inference_mode(), self._arithmetic():
                    loss = model.loss(torch.from_numpy(ids).to(device), torch.from_numpy(targets).to(device))
                total += float(loss) * targets.size
                between()
        finally:
            model.train()
        return Evaluation(total / self._windows.tokens, total / math.log(2) / self._bytes)


def write_samples(model: GPT, tokenizer: Tokenizer, config: RunConfig, step: int, prompts: tuple[str, ...]) -> Iterator[Sample]:
    """What the model writes after each prompt. The same weights at the same step write the same.

    The model is in training mode again afterwards.
    """
    sampling = Sampling(temperature=TEMPERATURE, seed=(config.train.seed * 1_000_003 + step) % 2**64)
    for prompt in prompts:
        ids = tokenizer.encode(prompt) or tokenizer.encode("\n")
        drawn = [token.id for token in generate(model, ids, config.train.sample_tokens, sampling)]
        yield Sample(step=step, prompt=prompt, text=tokenizer.decode(drawn))
