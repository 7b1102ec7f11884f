"""Average of a run's latest weights, which is evaluated, sampled from and kept as the best in place of the last ones.

An exponential moving average over a share of the steps so far (Karras et al. 2024, "Analyzing and Improving the Training Dynamics
of Diffusion Models", section 3.1): what single steps do to the weights cancels out. It is part of the optimizer's state, so that
checkpoints and rollbacks hold it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from lab.training.model_as_trained import ModelAsTrained

KEY = "average"
EVERY = 4
"""Steps between updates: of neighbouring weights one is enough."""


class WeightAverage:
    """The average over the latest share of the steps; where that is 0 there is none, and the weights are shown as they are."""

    def __init__(self, trained: ModelAsTrained) -> None:
        self._trained = trained
        self._share = trained.train.average
        self._is_shown = False

    def update(self, step: int) -> None:
        """Take in the weights after this step."""
        if not self._share or step % EVERY:
            return
        states = [self._trained.optimizer.state[weight] for weight in self._weights]
        latest = [weight.detach() for weight in self._weights]
        for state, weight in zip(states, latest, strict=True):
            if KEY not in state:
                state[KEY] = weight.clone()
        torch._foreach_lerp_([state[KEY] for state in states], latest, min(1.0, EVERY / (self._share * step)))

    @contextmanager
    def shown(self, *, is_shown: bool = True) -> Iterator[None]:
        """Context in which the model's weights are the average or, with `is_shown` false, the latest again within such a one."""
        has_none = not self._share or not any(KEY in state for state in self._trained.optimizer.state.values())
        if has_none or is_shown == self._is_shown:
            yield
            return
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        averages = [self._trained.optimizer.state[weight][KEY] for weight in self._weights]
        latest = [weight.detach().clone() for weight in self._weights]
        torch._foreach_copy_(self._weights, averages)
        torch._foreach_copy_(averages, latest)
        self._is_shown = not self._is_shown

    @property
    def _weights(self) -> list[Tensor]:
        """Those that are trained."""
        return [weight for group in self._trained.optimizer.param_groups for weight in group["params"]]
