"""A linear probe: how well a class can be read from vectors by one matrix, beside the majority and a control task.

A probe here is a least-squares classifier with a ridge, one column for each class: its weights have a closed form, so nothing is
tuned. Its control task (Hewitt & Liang 2019, "Designing and Interpreting Probes with Control Tasks") gives every token of the
vocabulary a class by chance: what a probe reads of that it has remembered of the tokens, not found in the model.
"""

from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from models.check import check
from models.lenses import ridge

FOLDS = 5


class ProbeScores(NamedTuple):
    """Shares of right answers on places that the probe was not fitted to, one of each fold; of a rare class as `probe` says."""

    right: list[float]
    control: list[float]

    @property
    def mean(self) -> float:
        return fmean(self.right)


def folds_of(windows: Tensor) -> Tensor:
    """The fold of each place, from the number of its window: neighbouring places are alike, so a window is in one fold alone."""
    order: Tensor = torch.unique(windows, return_inverse=True)[1]
    return order * FOLDS // (int(order.max()) + 1)


def control_classes(classes: Tensor, ids: Tensor, seed: int) -> Tensor:
    """The control task: for each token id a class by chance, drawn as often as the property has it."""
    generator = torch.Generator().manual_seed(seed)
    drawn = classes[torch.randint(len(classes), (int(ids.max()) + 1,), generator=generator)]
    return drawn[ids]


def majority(classes: Tensor, folds: Tensor) -> list[float]:
    """Share of right answers in each fold of whoever always says the most frequent class of the others."""
    return [float((classes[folds == fold] == classes[folds != fold].mode().values).float().mean()) for fold in range(FOLDS)]


def fit(vectors: Tensor, classes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Weights (C, classes) and bias (classes,) of a probe of vectors (N, C) whose largest output is the class."""
    return ridge(vectors, one_hot(classes, count).to(vectors.dtype))


def probe(vectors: Tensor, classes: Tensor, control: Tensor, folds: Tensor, is_rare: bool = False) -> ProbeScores:
    """Fit to four folds and ask the fifth, five times; (N, C) vectors, and (N,) classes, control classes and folds.

    With `is_rare`, it is asked for as many places as have another class than the most frequent: those where it holds that one for
    least likely.
    """
    count = int(classes.max()) + 1
    targets = torch.cat([one_hot(classes, count), one_hot(control, count)], -1).to(vectors.dtype)  # (N, 2 classes)
    scores = ProbeScores([], [])
    for fold in range(FOLDS):
        rest = folds != fold
        weights, bias = ridge(vectors[rest], targets[rest])
        outputs = (vectors[~rest] @ weights + bias).chunk(2, -1)
        for output, target, shares in zip(outputs, (classes, control), scores, strict=True):
            usual = target[rest].mode().values
            right, other = output.argmax(-1) == target[~rest], target[~rest] != usual
            if is_rare:
                right = other[output[:, usual].topk(max(1, int(other.sum())), largest=False).indices]
            shares.append(float(right.float().mean()))
        check()
    return scores
