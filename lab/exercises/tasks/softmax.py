"""Softmax: scores into probabilities, without an overflow."""

import torch
from torch import Tensor

from lab.exercises.material import Case, Material


def softmax(scores: Tensor) -> Tensor:
    return torch.softmax(scores, -1)


def cases(material: Material) -> list[Case]:
    scores, last = material.vectors("attn.attn_scores"), len(material.ids) - 1
    return [
        Case("the scores of head 1.1 at your prompt", (scores[0],), "blocks.0.attn.pattern[0,{0},{1}]"),
        Case("the same, neither scaled nor masked", (material.vectors("attn.scores_raw")[0],)),
        Case("the scores of all heads", (scores,), "blocks.0.attn.pattern[{0},{1},{2}]"),
        Case("the logits after your prompt", (material.trace["logits"][-1],), f"probability[{last},{{0}}]"),
        Case("scores of 1,000 and more", (torch.tensor([1000.0, 1001.0, 999.0]),)),
        Case("two rows far apart", (torch.tensor([[1000.0, 1001.0], [0.0, 1.0]]),)),
        Case("one score", (torch.tensor([3.0]),)),
    ]
