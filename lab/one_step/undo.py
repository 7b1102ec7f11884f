"""Copies of weights and optimizer state from before a step, so that it can be undone bit for bit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


@dataclass(frozen=True)
class UndoState:
    """Weights and optimizer state, copied, by the names of the parameters."""

    weights: dict[str, Tensor]
    optimizer: dict[str, dict[str, Any]]

    @classmethod
    def copied_from(cls, parameters: Mapping[str, Tensor], optimizer: Optimizer) -> "UndoState":
        state = optimizer.state
        return cls(
            {name: weight.detach().clone() for name, weight in parameters.items()},
            {name: copied(state[weight]) for name, weight in parameters.items() if weight in state},
        )

    @torch.no_grad()
    def restore(self, parameters: Mapping[str, Tensor], optimizer: Optimizer) -> None:
        for name, weight in parameters.items():
            weight.copy_(self.weights[name])
        optimizer.state.clear()
        for name, kept in self.optimizer.items():
            optimizer.state[parameters[name]] = copied(kept)

    @property
    def tensors(self) -> list[Tensor]:
        return [*self.weights.values(), *(tensor for state in self.optimizer.values() for tensor in tensors_of(state))]


def copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """One parameter's optimizer state, its tensors copied."""
    return {key: value.clone() if isinstance(value, Tensor) else value for key, value in state.items()}


def tensors_of(state: Mapping[str, Any]) -> list[Tensor]:
    """The tensors of one parameter's optimizer state."""
    return [value for value in state.values() if isinstance(value, Tensor)]
