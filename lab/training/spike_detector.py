"""Which training step is bad, so that its update must not be applied."""

import math
from statistics import fmean, pstdev

import msgspec

WINDOW = 100
"""Ordinary steps whose losses a new one is compared with."""
FEWEST = 20
"""With fewer to compare with, a loss is judged by `HOPELESS` alone."""
DEVIATIONS = 7.0
"""Standard deviations above the mean, as many as the spike score of OLMo 2 counts from (Team OLMo 2025, "2 OLMo 2 Furious")."""
LEAST_JUMP = 1.0
"""Nats above the mean that a spike has at least: a model that knows its text by heart has losses that hardly spread at all."""
HOPELESS = 2.0
"""A loss above so many times ln V is a spike whatever came before; a model that knows nothing loses ln V."""


class SpikeDetector(msgspec.Struct):
    """Losses of late, by which the next one is judged. Part of a checkpoint, so that a resumed run judges as it would have.

    A step is bad if its loss or the norm of its gradient is no number, or if its loss is a spike: more than `DEVIATIONS` standard
    deviations and `LEAST_JUMP` nats above the mean of the last `WINDOW` ordinary losses. A large gradient by itself is no reason:
    clipping bounds what it does, and in ordinary training its norm now and then is many times the usual one.

    Spikes are counted among the ordinary losses as soon as an ordinary step has followed. So an odd place of the text is passed
    over once or twice, not for ever: the spread it makes is then what the next is compared with.
    """

    losses: list[float] = []
    """The last `WINDOW` ones."""
    held: list[float] = []
    """Those of the bad steps since the last good one, which are not among `losses` yet."""
    bad: int = 0
    """Bad steps in a row up to now."""

    def is_bad(self, loss: float, grad_norm: float, uniform_loss: float) -> bool:
        """Judges one step, and remembers it. `uniform_loss` is ln V."""
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
        if loss > HOPELESS * uniform_loss:
            return True
        if len(self.losses) < FEWEST:
            return False
        mean = fmean(self.losses)
        return loss > mean + LEAST_JUMP and loss > mean + DEVIATIONS * pstdev(self.losses, mean)

    def reset(self, losses: list[float]) -> None:
        """Goes on from an earlier state, whose losses these were."""
        self.losses, self.held, self.bad = list(losses), [], 0
