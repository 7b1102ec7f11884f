"""The changes that the optimizer's next step makes to the weights."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class WeightChange:
    """One weight before and after the optimizer's step."""

    name: str
    index: tuple[int, ...]
    before: float
    after: float
    gradient: float
    """After clipping."""

    @property
    def ref(self) -> str:
        return f"{self.name}[{','.join(map(str, self.index))}]"


@dataclass
class WeightChanges:
    """The changes of the next step, found without taking it, weight by weight."""

    weights: int = 0
    """Tensors of weights that are found so far."""
    largest: list[WeightChange] = field(default_factory=list)
    predicted: float = 0.0
    """First-order prediction of the change of the loss: Σ ∂loss/∂w · (w after − w before) over all weights."""
    squared: float = 0.0
    """Sum of the squares of the changes."""
    weights_squared: float = 0.0
    changed: int = 0
    """Number of weights that change at all."""
    against: int = 0
    """Number of those that move against their gradient."""
    at_least_half: int = 0
    """Number of weights that move by half the learning rate or more."""

    @property
    def share(self) -> float:
        """Norm of the changes as a share of the weights'; 0 where these are 0."""
        return self.squared**0.5 / self.weights_squared**0.5 if self.weights_squared else 0.0


def largest_indices(values: Tensor, count: int) -> list[tuple[int, ...]]:
    """Indices of the `count` largest magnitudes of a vector or matrix, the largest first.

    They lie in the `count` rows whose own largest are largest, which is found in a fifth of the time of sorting all.
    """
    rows = values.abs().reshape(len(values), -1)  # (R, C)
    best = rows.amax(1).topk(min(count, len(rows))).indices
    inside = rows[best].flatten()
    flat = inside.topk(min(count, len(inside))).indices.tolist()
    width = rows.shape[1]
    found = [(int(best[at // width]), at % width) for at in flat]
    return [index if values.dim() == 2 else index[:1] for index in found]
