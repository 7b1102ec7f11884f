"""Training of a small model on prompts with answers, and its answers by greedy decoding."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

from lab.training.posttraining.policy_gradient import Example, answer_batch
from models.config import schedule_factor
from models.gpt import GPT, KVCache
from models.optimizers import make_optimizer

WARMUP, FINAL, ROWS = 0.05, 0.1, 256
"""Share of the steps with a rising learning rate, share of its peak that is left at the end, and prompts answered at once."""


class Step(NamedTuple):
    """A step of training that has been made."""

    number: int
    """From 1."""
    loss: float
    """Mean over the answers' tokens of the batch before the step, in nats per token."""
    tokens: int
    """Tokens of prompts and answers trained on so far."""


def train(model: GPT, draw: Callable[[], list[Example]], steps: int, lr: float, weight_decay: float = 0.1) -> Iterator[Step]:
    """Train on batches of examples, a step for each `next`: the loss on answers alone, AdamW, warm-up and a cosine.

    Between two steps the model may be evaluated, or the training given up.
    """
    optimizer = make_optimizer(model, lr, weight_decay)
    tokens = 0
    for number in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = lr * schedule_factor("cosine", number / steps, WARMUP, FINAL)
        batch = draw()
        model.train()
        loss = model.loss(*answer_batch(batch))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.eval()
        tokens += sum(len(prompt) + len(answer) for prompt, answer in batch)
        yield Step(number, float(loss.detach()), tokens)


@torch.inference_mode()
def greedy_answers(model: GPT, prompts: Sequence[Sequence[int]], end: int, most: int) -> list[list[int]]:
    """Ids that the model finds most probable after each prompt, up to and with `end`, and at most `most` of them."""
    by_length = defaultdict[int, list[int]](list)
    for row, prompt in enumerate(prompts):
        by_length[len(prompt)].append(row)
    answers: list[list[int]] = [[] for _ in prompts]
    for rows in by_length.values():
        for start in range(0, len(rows), ROWS):
            ids = torch.tensor([prompts[row] for row in rows[start : start + ROWS]])
            for row, answer in zip(rows[start : start + ROWS], _decode(model, ids, end, most), strict=True):
                answers[row] = answer[: answer.index(end) + 1] if end in answer else answer
    return answers


def _decode(model: GPT, ids: torch.Tensor, end: int, most: int) -> list[list[int]]:
    """The next ids of prompts (B, T) of one length, until each row has had its end."""
    cache = KVCache(model.config, len(ids))
    is_open = torch.ones(len(ids), dtype=torch.bool)
    written: list[torch.Tensor] = []
    while len(written) < most and bool(is_open.any()):
        ids = model.unembed(model.hidden(ids, cache)[:, -1]).argmax(-1, keepdim=True)  # (B, 1)
        is_open &= ids[:, 0] != end
        written.append(ids)
    rows: list[list[int]] = torch.cat(written, 1).tolist()
    return rows
