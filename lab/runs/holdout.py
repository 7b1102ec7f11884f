"""The validation part of a run: which part of its text is held out, and how much of it also stands in the rest."""

from typing import Annotated

import msgspec
from msgspec import Meta

from lab.core.limits import LIMITS

LONGEST_SOURCE = 100_000
"""Characters of a run's source: about a thousand paths."""


class Holdout(msgspec.Struct, frozen=True, kw_only=True):
    """The choice of the validation part: the last tenth of the text, unless told otherwise."""

    share: Annotated[float, Meta(**LIMITS["val_share"].meta())] = 0.1
    """Share of the text's bytes, about; the part begins and ends at borders."""
    seed: Annotated[int, Meta(**LIMITS["split_seed"].meta())] | None = None
    """It is blocks from all over the text, drawn with this seed; None: the end of the text."""
    source: Annotated[str, Meta(max_length=LONGEST_SOURCE)] = ""
    """A text of its own, one source a line, cleaned by the rules of the text; empty: it is part of the text."""
    encoding: Annotated[str, Meta(max_length=500)] | None = None
    sha256: Annotated[str, Meta(max_length=500)] = ""
    """Checksum of this text, in a run."""

    @property
    def training_share(self) -> float:
        """Share of the text that is trained on."""
        return 1.0 if self.source else 1 - self.share

    @property
    def in_words(self) -> str:
        """The validation part, as the end of a sentence: `the last 10% of the text`."""
        if self.source:
            return "a text of its own"
        if self.seed is None:
            return f"the last {100 * self.share:.3g}% of the text"
        return f"{100 * self.share:.3g}% of the text in blocks, drawn with seed {self.seed}"


LAST_TENTH = Holdout()


class CopiedShare(msgspec.Struct, frozen=True):
    """The share of the validation text that also stands in the training text: see `lab.data.statistics.copied_share`."""

    share: Annotated[float, Meta(ge=0, le=1)]
    error: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """The true share is within so much of it, in 95 of 100 samples; 0.0 where the whole part was looked at."""
