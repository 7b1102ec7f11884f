"""A good state of training, kept in memory to go back to when steps turn bad."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.checkpoint import load_optimizer, optimizer_tensors

KEEP_EVERY = 50
"""Steps between the states that are kept. Keeping one copies as many numbers as weights and optimizer have, in milliseconds."""
MODEL, OPTIMIZER = "model.", "optimizer."


class GoodState:
    """Weights and optimizer state of one moment, and which it was. It takes 12 bytes of memory for each parameter.

    A state is good when the loss of the next batch was ordinary with it: one that was only reached by an ordinary step may
    itself be ruined by that step.
    """

    def __init__(self) -> None:
        self.step: int | None = None
        """Updates behind it; None while nothing is kept."""
        self.losses: list[float] = []
        """Those of the steps before it."""
        self.tensors: dict[str, Tensor] = {}

    def is_due(self, step: int) -> bool:
        return self.step is None or step % KEEP_EVERY == 0

    def keep(self, step: int, losses: list[float], model: nn.Module, optimizer: Optimizer) -> None:
        """Copies the present state, in place of what was kept."""
        self.tensors, self.step = {}, None
        self.tensors = {MODEL + name: weight.detach().clone() for name, weight in model.state_dict().items()}
        self.tensors |= {OPTIMIZER + name: value.clone() for name, value in optimizer_tensors(model, optimizer).items()}
        self.step, self.losses = step, list(losses)

    @torch.no_grad()
    def restore(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Puts a copy of what is kept into model and optimizer."""
        model.load_state_dict(_under(MODEL, self.tensors))
        load_optimizer(model, optimizer, {name: value.clone() for name, value in _under(OPTIMIZER, self.tensors).items()})

    def take(self, step: int, losses: list[float], tensors: dict[str, Tensor]) -> None:
        """What a checkpoint had kept."""
        self.step, self.losses, self.tensors = step, list(losses), tensors


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
