"""What the screen and the engine say to each other about one training step under the microscope. Nothing here needs torch."""

import msgspec

from lab.views.blocks import Token, View

STAGES = {
    "batch": "the batch",
    "losses": "loss per token",
    "error": "p − one-hot",
    "gradients": "gradients",
    "moves": "largest moves",
    "weight": "one weight",
    "after": "after the step",
}
"""Every stage in its order, and its title."""


class StepParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stage of a training step. Stateless as the other requests are: an engine that was just started takes the steps anew."""

    run: str
    """A run's name or path."""
    opened: int = 0
    """Raised to have the run's checkpoint read again; as long as it stays, a run that trains on changes nothing here."""
    text: str | None = None
    """The sentence that is learned from; None: a batch of the run's own data."""
    ahead: int = 0
    """Which of the run's batches: 0 is the very next that its trainer would take, 1 the one after; below 0 those before."""
    applied: int = 0
    """How many steps on this batch or sentence have been taken."""
    window: int = 0
    """Which window of the batch, counted from 0."""
    position: int | None = None
    """Which token of the window is looked at: 1 is the first that is predicted. None: the one of the highest loss."""
    stage: str = "batch"
    weight: str = ""
    """Which weight the stage `weight` is about, such as `wte.weight[3,5]`; "": the one that moves most."""


class StepFacts(msgspec.Struct, kw_only=True):
    """Where the step is taken from, and what became of the loss so far."""

    run: str
    checkpoint: str
    """File that the weights are from: last, previous or best."""
    step: int
    """Step of the run that the weights are of."""
    batch: int | None
    """Which step of the run the batch is of, counted from 0; None for a typed sentence."""
    windows: int
    applied: int
    losses: list[float]
    """Mean loss before the first step, and after each that was taken."""
    rate: float
    """Learning rate of the next step."""


class StepAnswer(msgspec.Struct):
    facts: StepFacts
    tokens: list[Token]
    """The window's tokens; `probability` is what the model gives each before it is there, None for the first."""
    window: int
    position: int
    view: View
