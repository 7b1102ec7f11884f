"""Answers of a small model to many prompts at once, greedy or sampled."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch

from models.gpt import GPT, KVCache

ROWS = 256
"""Prompts answered at once."""
Choose = Callable[[torch.Tensor], torch.Tensor]
"""Ids (B, 1) of the next tokens, by logits (B, V)."""


@torch.inference_mode()
def greedy_answers(model: GPT, prompts: Sequence[Sequence[int]], end: int, most: int) -> list[list[int]]:
    """Ids that the model finds most probable after each prompt, up to and with `end`, and at most `most` of them."""
    by_length = defaultdict[int, list[int]](list)
    for row, prompt in enumerate(prompts):
        by_length[len(prompt)].append(row)
    answers: list[list[int]] = [[] for _ in prompts]
    for rows in by_length.values():
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            found = decode(model, [prompts[row] for row in some], end, most, lambda logits: logits.argmax(-1, keepdim=True))
            for row, answer in zip(some, found, strict=True):
                answers[row] = answer
    return answers


@torch.inference_mode()
def decode(model: GPT, prompts: Sequence[Sequence[int]], end: int, most: int, choose: Choose) -> list[list[int]]:
    """The ids chosen after prompts of one length, up to and with `end`, and at most `most` of them."""
    ids, cache = torch.tensor(prompts), KVCache(model.config, len(prompts))  # (B, T)
    is_open = torch.ones(len(ids), dtype=torch.bool)
    written: list[torch.Tensor] = []
    while len(written) < most and bool(is_open.any()):
        ids = choose(model.unembed(model.hidden(ids, cache)[:, -1]))  # (B, 1)
        is_open &= ids[:, 0] != end
        written.append(ids)
    rows: list[list[int]] = torch.cat(written, 1).tolist()
    return [row[: row.index(end) + 1] if end in row else row for row in rows]
