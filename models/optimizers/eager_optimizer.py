"""torch's optimizers without torch's compiler: their methods as they are below the wrappers that load it."""

from inspect import unwrap
from typing import Any

import torch
from torch.optim import AdamW, Optimizer


class EagerOptimizer(Optimizer):
    """An optimizer that is never compiled itself.

    torch wraps these methods so that `torch.compile` leaves them out, and the first call of one imports the whole compiler for
    it, which takes a second. The lab compiles the model only.
    """

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)


class EagerAdamW(EagerOptimizer, AdamW):
    """torch's AdamW, with its own step."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every weight that has a gradient."""
        return unwrap(AdamW.step)(self, closure)
