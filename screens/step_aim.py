"""What the screen of one training step is aimed at, as one value. No widget, no engine."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepAim:
    """What the screen wants to see; the fields are those of `lab.step_wire.StepParams`."""

    run: str
    opened: int = 0
    text: str | None = None
    ahead: int = 0
    applied: int = 0
    window: int = 0
    position: int | None = None
    stage: str = "batch"
    weight: str = ""
