"""Orders of rank 0 to the other ranks: a few numbers each, sent before anything that all ranks do together."""

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    STEP = 1
    """Compute the gradient of a step."""
    UPDATE = 2
    """Update the weights by it."""
    SKIP = 3
    """Leave it out: the step was bad."""
    SHARE = 4
    """Receive weights and optimizer state."""
    GATHER = 5
    """Send the parts of a sharded optimizer's state to rank 0."""
    END = 6


class Order(NamedTuple):
    """An order; all but `kind` is for STEP."""

    kind: Kind
    step: int = 0
    micro_batches: int = 0
    lr: float = 0.0
    overlap: bool = False
    """Add up gradients while the backward pass goes on, not after it."""

    def numbers(self) -> list[float]:
        return [float(part) for part in self]


def order_of(numbers: list[float]) -> Order:
    kind, step, micro_batches, lr, overlap = numbers
    return Order(Kind(int(kind)), int(step), int(micro_batches), lr, bool(overlap))
