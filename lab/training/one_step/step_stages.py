"""The stages of a training step taken apart, and the answer that the engine gives for one. Nothing here needs torch."""

import msgspec

from lab.views.blocks import Token, View

STAGES = {
    "backward": "backward pass",
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


class LogitError(msgspec.Struct, omit_defaults=True):
    """p − target of a token: the gradient of its own loss at its logit."""

    label: str
    value: float
    is_rest: bool = False
    """True for the sum over all tokens that are not listed."""


class GradientPart(msgspec.Struct):
    """A part of the model in the backward pass."""

    name: str
    layer: int | None
    """0-based."""
    weights: float
    """Norm of the gradient of its weights, before clipping."""
    stream: float | None
    """Norm of the gradient of the residual stream that it passes on, back to the part before it; None at the end."""


class MovingWeight(msgspec.Struct):
    """The weight that the next step changes most."""

    part: str
    words: str
    ref: str
    before: float
    after: float


class BackwardPass(msgspec.Struct):
    """The backward pass in numbers, from the loss to the embeddings."""

    mean: float
    """Mean loss of the batch."""
    own: float
    """Loss of the chosen token."""
    target: str
    """Name of the distribution that p is trained towards."""
    errors: list[LogitError]
    """At the chosen token, the target first."""
    parts: list[GradientPart]
    """In the order of the backward pass."""
    total: float
    """Gradient norm of all weights."""
    weight: MovingWeight | None
    """None while it is still to be found."""


class StepAnswer(msgspec.Struct):
    facts: StepFacts
    tokens: list[Token]
    """The window's tokens; `probability` is the model's, given those before; None for the first."""
    window: int
    position: int
    view: View
    backward: BackwardPass | None = None
    """With the stage `backward`."""
