"""Loss spike detection: find bad steps, whose updates must not be applied."""

import math
from statistics import fmean, pstdev

import msgspec

from lab.runs.run_schema import RunConfig
from models.config import uniform_baseline

WINDOW = 100
"""Losses of ordinary steps that a new loss is compared with."""
MIN_LOSSES = 20
"""With fewer losses to compare with, only `MAX_UNIFORM_RATIO` counts."""
DEVIATIONS = 7.0
"""Standard deviations above the mean, the threshold of OLMo 2's spike score (Team OLMo 2025, "2 OLMo 2 Furious")."""
MIN_JUMP = 1.0
"""Least height of a spike above the mean, in nats: the losses of a model that has memorized its text hardly vary."""
MAX_UNIFORM_RATIO = 2.0
"""A loss above so many times ln V, that of the uniform baseline, is a spike whatever came before."""


def uniform_loss_of(config: RunConfig) -> float:
    """ln V, by which a run's losses are judged; infinite for a run that begins with other weights: on another text their first
    losses may be above that."""
    return math.inf if config.start is not None else uniform_baseline(config.model.vocab_size)


class SpikeDetector(msgspec.Struct):
    """Recent losses, by which the next one is judged. Part of a checkpoint, so that a resumed run judges as it would have.

    A step is bad if its loss or gradient norm is NaN or infinite, or if its loss is a spike: more than `DEVIATIONS` standard
    deviations and `MIN_JUMP` nats above the mean of the last `WINDOW` ordinary losses. A large gradient by itself is no reason:
    clipping bounds what it does, and in ordinary training its norm now and then is many times the usual one.

    Spikes count among the ordinary losses as soon as an ordinary step has followed. So an odd passage of the text is skipped once
    or twice, not for ever: it widens the spread that the next loss is compared with.
    """

    losses: list[float] = []
    """The last `WINDOW` ones."""
    held: list[float] = []
    """Losses of the bad steps since the last good one, not among `losses` yet."""
    bad: int = 0
    """Bad steps in a row up to now."""

    def is_bad(self, loss: float, grad_norm: float, uniform_loss: float) -> bool:
        """Judge one step, and remember its loss. `uniform_loss` is that of `uniform_loss_of`."""
        finite = math.isfinite(loss) and math.isfinite(grad_norm)
        if finite and not self._is_spike(loss, uniform_loss):
            self.losses = [*self.losses, *self.held, loss][-WINDOW:]
            self.held, self.bad = [], 0
            return False
        self.bad += 1
        if finite:
            self.held.append(loss)
        return True

    def _is_spike(self, loss: float, uniform_loss: float) -> bool:
        if loss > MAX_UNIFORM_RATIO * uniform_loss:
            return True
        if len(self.losses) < MIN_LOSSES:
            return False
        mean = fmean(self.losses)
        return loss > mean + MIN_JUMP and loss > mean + DEVIATIONS * pstdev(self.losses, mean)

    def reset(self, losses: list[float]) -> None:
        """Continue from an earlier state, whose recent losses these were."""
        self.losses, self.held, self.bad = list(losses), [], 0
