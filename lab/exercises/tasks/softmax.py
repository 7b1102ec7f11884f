"""Softmax: scores into probabilities, without an overflow."""

import torch
from torch import Tensor

from lab.exercises.exercise import Case
from lab.exercises.material import Material


def softmax(scores: Tensor) -> Tensor:
    return torch.softmax(scores, -1)


def cases(material: Material) -> list[Case]:
    return [
        Case("the scores of head 1.1 at your prompt", (material.vectors("attn.scores_raw")[0],)),
        Case("the same, masked", (material.vectors("attn.attn_scores")[0],)),
        Case("the scores of all heads", (material.vectors("attn.attn_scores"),)),
        Case("the logits after your prompt", (material.trace["logits"][-1],)),
        Case("scores of 1,000 and more", (torch.tensor([1000.0, 1001.0, 999.0]),)),
        Case("two rows far apart", (torch.tensor([[1000.0, 1001.0], [0.0, 1.0]]),)),
        Case("one score", (torch.tensor([3.0]),)),
    ]


def _plain(x: Tensor) -> Tensor:
    return x.exp() / x.exp().sum(-1, keepdim=True)


WRONG = {
    "Large scores overflow: exp(1000) is infinite. Subtract the largest score first.": _plain,
    "It runs along the first axis; each row is to sum to 1.": lambda x: torch.softmax(x, 0),
    "All numbers together sum to 1; each row by itself is to.": lambda x: torch.softmax(x.flatten(), 0).view(x.shape),
    "The exponentials are not divided by their sum.": lambda x: (x - x.max(-1, keepdim=True).values).exp(),
    "The scores themselves are divided by their sum; their exponentials are to be.": lambda x: x / x.sum(-1, keepdim=True),
    "The base is 2; softmax takes e.": lambda x: torch.softmax(x * torch.tensor(2.0).log(), -1),
    "The logarithm of the probabilities is returned.": lambda x: torch.log_softmax(x, -1),
    "The signs are turned: the lowest score has the highest probability.": lambda x: torch.softmax(-x, -1),
    "The largest number of all is subtracted, so that a row far below it becomes 0/0. Each row has a largest of its own.": (
        lambda x: _plain(x - x.max())
    ),
    "The largest becomes 1 and all others 0: that is argmax.": lambda x: (x == x.max(-1, keepdim=True).values).float(),
}
