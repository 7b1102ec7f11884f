"""The stages of a training step taken apart, and the answer that the engine gives for one. Nothing here needs torch."""

import msgspec

from lab.views.blocks import Token, View

STAGES = {
    "batch": "batch",
    "losses": "loss per token",
    "logits_gradient": "p − one-hot",
    "gradients": "gradient norms",
    "changes": "weight changes",
    "weight": "weight update",
    "after": "after the step",
}
"""Every stage in its order, and its title."""


class StepFacts(msgspec.Struct, kw_only=True):
    """The checkpoint and the batch of the step, and the loss so far."""

    run: str
    checkpoint: str
    """Weights file: last, previous or best."""
    step: int
    """Step of the run that the weights are of."""
    batch: int | None
    """The run's step that takes the batch, 0-based; None for a typed sentence."""
    windows: int
    applied: int
    losses: list[float]
    """Mean loss before the first step, and after each that was taken."""
    lr: float
    """Learning rate of the next step."""


class StepAnswer(msgspec.Struct):
    facts: StepFacts
    tokens: list[Token]
    """The window's tokens; `probability` is the model's, given those before; None for the first."""
    window: int
    position: int
    view: View
