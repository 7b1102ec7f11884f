"""Cross-entropy: the loss of a batch, and its gradient with respect to the logits by hand."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from lab.exercises.material import Case, Material


def cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    wide = logits.detach().clone().requires_grad_()
    with torch.enable_grad():
        loss = F.cross_entropy(wide, targets)
    return loss.detach(), torch.autograd.grad(loss, wide)[0]


def cases(material: Material) -> list[Case]:
    logits = material.trace["logits"].float()
    targets = torch.tensor([*material.ids[1:], material.ids[0]])
    return [
        Case("your prompt's tokens", (logits, targets)),
        Case("one token", (logits[:1], targets[:1])),
        Case("logits hundreds apart", (logits * 300, targets)),
    ]
