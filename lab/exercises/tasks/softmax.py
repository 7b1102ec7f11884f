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
