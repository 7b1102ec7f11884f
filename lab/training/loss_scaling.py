"""Loss scaling of fp16 (Micikevicius et al. 2018, "Mixed Precision Training"), by torch's `GradScaler`.

The gradients are multiplied by a power of two, so that small ones are not rounded to 0, and divided by it before the optimizer's
step. Where one overflows, the step's update is not applied and the scale is halved; after 2,000 steps without it is doubled.
"""

import math

import torch
from msgspec import UNSET
from torch.optim import Optimizer

from lab.core.number_format import counted, whole
from lab.training.trainer_state import LossScale, TrainerState
from models.gpt import GPT

FIRST_SCALE = 2.0**16
LEAST_SCALE = 1.0
"""At this scale an overflow has another reason, so that the step is a bad one."""


class LossScaler:
    """Scaling of one run's gradients; does nothing unless its precision is fp16."""

    def __init__(self, state: TrainerState, model: GPT, optimizer: Optimizer) -> None:
        """Go on with the scale of the checkpoint."""
        self._state, self._model, self._optimizer = state, model, optimizer
        self._kept = LossScale(FIRST_SCALE) if state.loss_scale is UNSET else state.loss_scale
        device = model.wte.weight.device
        self._is_on = state.precision == "fp16"
        self._scaler = torch.amp.GradScaler(device.type, init_scale=self._kept.scale, enabled=self._is_on)
        self._one = torch.ones((), device=device)
        if self._is_on:
            self._scaler.load_state_dict(self._scaler.state_dict() | {"_growth_tracker": self._kept.growth_tracker})
            model.gradient_scale = self._scaler.scale(self._one)

    def unscale(self) -> None:
        if self._is_on:
            self._scaler.unscale_(self._optimizer)

    def is_overflow(self, loss: float, grad_norm: float) -> bool:
        """True if the gradients overflowed because of the scale alone; `grad_norm` is that of the gradients after `unscale`."""
        return self._is_on and math.isfinite(loss) and not math.isfinite(grad_norm) and self._kept.scale > LEAST_SCALE

    def end_step(self, *, skipped: bool, applied: bool) -> str:
        """Adapt the scale after a step that was skipped for an overflow, or applied. A sentence once the scale is found."""
        if not self._is_on:
            return ""
        self._scaler.update()
        self._model.gradient_scale = self._scaler.scale(self._one)
        state, before = self._scaler.state_dict(), self._kept
        self._kept = LossScale(
            scale=state["scale"],
            growth_tracker=state["_growth_tracker"],
            skipped=before.skipped + skipped,
            is_found=before.is_found or applied,
        )
        self._state.loss_scale = self._kept
        if before.is_found or not applied or not before.skipped:
            return ""
        return (
            f"The gradients of {counted(before.skipped, 'step')} overflowed in fp16, so that "
            f"{'its update was' if before.skipped == 1 else 'their updates were'} not applied; since step {self._state.step} the "
            f"loss is scaled by {whole(int(before.scale))}."
        )


def describe_skipped(state: TrainerState) -> str:
    """The end of a sentence on the steps that loss scaling has skipped so far; empty without any."""
    if state.loss_scale is UNSET or not state.loss_scale.skipped:
        return ""
    return f", {counted(state.loss_scale.skipped, 'step')} skipped since a scale of the loss was too large"
