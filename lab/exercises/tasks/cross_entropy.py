"""Cross-entropy: the loss of a batch, and its gradient with respect to the logits by hand."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from lab.exercises.exercise import Case
from lab.exercises.material import Material

Loss = tuple[Tensor, Tensor]


def cross_entropy(logits: Tensor, targets: Tensor) -> Loss:
    return by("", logits, targets)


def by(mistake: str, logits: Tensor, targets: Tensor) -> Loss:
    """Loss and gradient with that mistake; "" is none."""
    tokens = len(targets)
    logp = torch.log_softmax(logits, 1 if mistake != "axis" else 0)
    loss = -logp[torch.arange(tokens), targets]
    gradient = logp.exp() - F.one_hot(targets, logits.shape[1])
    if mistake == "sum":
        return loss.sum(), gradient
    by_vocabulary = mistake == "vocabulary"
    count = logits.numel() if by_vocabulary else tokens
    found = loss.sum() / count
    if mistake == "bits":
        found = found / torch.tensor(2.0).log()
    return found, gradient / count


def _gradient(change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Loss]:
    def mistaken(logits: Tensor, targets: Tensor) -> Loss:
        loss, gradient = cross_entropy(logits, targets)
        return loss, change(gradient, logits, targets)

    return mistaken


def cases(material: Material) -> list[Case]:
    logits = material.trace["logits"].float()
    targets = torch.tensor([*material.ids[1:], material.ids[0]])
    return [
        Case("your prompt's tokens", (logits, targets)),
        Case("one token", (logits[:1], targets[:1])),
        Case("logits hundreds apart", (logits * 300, targets)),
    ]


WRONG = {
    "The losses are added up; take their mean over the tokens.": partial(by, "sum"),
    "The mean is over the vocabulary, too; divide by the number of tokens.": partial(by, "vocabulary"),
    "Softmax runs over the tokens; each row sums to 1 over the vocabulary.": partial(by, "axis"),
    "The loss is in bits; nats are asked for.": partial(by, "bits"),
    "The gradient is not divided by the number of tokens.": _gradient(lambda g, x, t: g * len(t)),
    "The gradient lacks −1 at the target.": _gradient(lambda g, x, t: torch.softmax(x, -1) / len(t)),
    "The gradient has the opposite sign.": _gradient(lambda g, x, t: -g),
    "The gradient is of the probabilities, −1/p at the target; that of the logits is p − 1.": _gradient(
        lambda g, x, t: -F.one_hot(t, x.shape[1]) / torch.softmax(x, -1) / len(t)
    ),
    "The sign is turned: the loss is −ln p.": lambda x, t: (-cross_entropy(x, t)[0], cross_entropy(x, t)[1]),
    "The loss is 1 − p of the target; it is −ln p.": lambda x, t: (
        (1 - torch.softmax(x, -1)[torch.arange(len(t)), t]).mean(),
        cross_entropy(x, t)[1],
    ),
    "A probability rounds to 0, whose logarithm is infinite. Compute ln p from the logits.": lambda x, t: (
        -torch.softmax(x, -1).log()[torch.arange(len(t)), t].mean(),
        cross_entropy(x, t)[1],
    ),
    "Large logits overflow. Subtract the largest of each row first.": lambda x, t: (
        -(x.exp() / x.exp().sum(-1, keepdim=True)).log()[torch.arange(len(t)), t].mean(),
        (x.exp() / x.exp().sum(-1, keepdim=True) - F.one_hot(t, x.shape[1])) / len(t),
    ),
}
