"""What is found out about one training step, and what is held so that it can be undone."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass
class Moved:
    """One weight, and what the optimizer makes of it."""

    name: str
    index: tuple[int, ...]
    before: float
    after: float
    gradient: float
    """As the optimizer gets it, that is after clipping."""

    @property
    def ref(self) -> str:
        return f"{self.name}[{','.join(map(str, self.index))}]"


@dataclass
class Moves:
    """What the next step does, found out without taking it."""

    largest: list[Moved]
    predicted: float
    """First-order prediction of the change of the loss: Σ ∂loss/∂w · (w after − w before) over all weights."""
    step_norm: float
    weight_norm: float
    changed: int
    """How many weights change at all."""
    against: int
    """How many of those move against their gradient."""
    at_least_half: int
    """How many weights move by half the learning rate or more."""


@dataclass
class StepState:
    """Weights and optimizer state, copied."""

    weights: dict[str, Tensor]
    optimizer: dict[str, dict[str, Any]]


@dataclass
class StepSnapshot:
    """What was found with the weights after so many steps."""

    loss: float
    """The trainer's own loss, in the precision of training: what its metrics tell, and what the gradients are of."""
    losses: Tensor
    """(B·T,) −ln p of every token that is predicted, of a forward pass in fp32: what is shown."""
    hidden: Tensor | None
    """(B·T, C) what the head is applied to; None where it was dropped."""
    head: Tensor | None = None
    """The head's weights (V, C), once they are not the model's own any more."""
    state: StepState | None = None
    predicted: float | None = None
    """Of the step that was taken from here."""
    rate: float = 0.0

    @property
    def mean(self) -> float:
        """Mean of the losses that are shown."""
        return float(self.losses.double().mean())


@dataclass
class Gradients:
    """Gradient norms before clipping."""

    norms: dict[str, float]
    total: float
    clip: float
    factor: float
    """What clipping multiplies every gradient with; 1 where it changes nothing."""
