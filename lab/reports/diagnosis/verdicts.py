"""Verdicts of the diagnosis, and the diagnosis as plain data."""

from dataclasses import dataclass
from typing import Literal

RISING_EVALUATIONS = 3
"""Evaluations in a row above the lowest validation loss that count as a rise: one or two are noise."""
RISE = 0.005
"""Least rise of the validation loss, as a fraction."""
ABOVE_UNIFORM = 0.05
"""Excess of a diverged smoothed loss over the uniform baseline, as a fraction."""
BACK_UP = 0.25
"""Excess of a diverged smoothed training loss over its own lowest, as a fraction."""
TREND_SHARE = 0.25
"""Last fraction of the steps, over which the trend is measured."""
FEW_STEPS = 10
"""Losses whose mean or median no single odd batch decides."""
FEWEST_STEPS = 20
"""Fewest steps to judge by."""
FEWEST_EVALUATIONS = 3
STEPS_WITHOUT_EVALUATIONS = 50
"""Fewest steps of a plateau with fewer evaluations than that."""
STANDS_STILL = 0.01
"""Least fall of a loss over the trend, as a fraction; less is a plateau."""
TOKENS_PER_ENTRY = 20
"""Fewest training tokens per vocabulary entry: with less, most entries occur only a few times."""
GAP = 0.1
"""Excess of the validation loss over the training loss of the same step that shows memorization, as a fraction."""
NEAR = 0.02
"""Excess of a loss that counts as about an entropy, as a fraction."""
NEAR_SOURCE = 0.05
"""The same for the entropy of the source."""
FAR = 5.0
"""Factor between a peak learning rate and the default from which on it counts as far."""
HIGH_DROPOUT = 0.5
DECAYED = 0.3
"""Fraction of the peak below which the learning rate itself slows training."""
FIRST_EPOCH_GAP = 0.2
"""Excess of the validation loss in the first epoch, where all text is new, that is not overfitting but another kind of text."""
DIVERGENCE, DIVERGENCE_TOKENS = 0.15, 4000
"""Nats per token by which the token frequencies of the two parts differ, in a validation part of at least so many tokens. The
tenths of one book are below 0.1, two languages above 0.2."""
COPIED = 0.5
"""Fraction of the validation text found verbatim in the training text from which on its loss does not measure new text. Where the
entropy of the source is known the text was generated: passages recur because the source repeats itself, and the loss is held to
that entropy."""
PARTLY_COPIED = 0.1
"""The same fraction from which on the loss does not say that the model overfits as little on new text."""


Verdict = Literal[
    "waiting",
    "losses missing",
    "fine-tuned",
    "imported",
    "too early to tell",
    "too short to say",
    "nothing learned",
    "little learned",
    "warming up",
    "rolled back",
    "learning",
    "learned",
    "overfitting",
    "text too small",
    "validation text differs",
    "validation text copied",
    "plateau",
    "diverged",
]


@dataclass(frozen=True)
class Diagnosis:
    """A verdict, the numbers that it rests on, and what to do; `advice` may be empty."""

    verdict: Verdict
    evidence: str
    advice: str = ""

    @property
    def sentences(self) -> str:
        """All of it, the verdict first."""
        return " ".join(part for part in (f"{self.verdict.capitalize()}: {self.evidence}", self.advice) if part)
