"""Record of the validation loss that was expected of a run, and where only a range is told."""

from typing import Annotated

import msgspec
from msgspec import Meta

from lab.core.number_format import fixed

WIDE = 1.3
"""Highest loss of a range over the expected one, from which on no loss is told, only the range."""
NARROW = 0.05
"""Width of a range in bits per byte, below which two decimals would make its ends alike."""
BitsPerByte = Annotated[float, Meta(ge=0, le=1e6)]


class ExpectedLoss(msgspec.Struct, frozen=True, kw_only=True):
    """The validation loss that was expected of a run before it began, in bits per byte, and the range about it."""

    bits_per_byte: BitsPerByte
    low: BitsPerByte
    high: BitsPerByte
    by_law: BitsPerByte
    """The same without what earlier runs on this machine got."""
    steps: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    """Steps that were expected to fit into its minutes; 0 in runs from before they were kept."""

    @property
    def is_wide(self) -> bool:
        """True if only a range is known: the text is unlike those that the law was fitted to."""
        return self.high > WIDE * self.bits_per_byte

    @property
    def in_words(self) -> str:
        """`2.06 bits per byte (1.98 to 2.15)`; of a wide range it alone: `0.93 to 2.41 bits per byte`.

        As exact as the loss that a run got is told, which else seems to miss its range; a narrow range more so.
        """
        places = 2 if self.high - self.low >= NARROW else 3
        low, loss, high = (fixed(each, places) for each in (self.low, self.bits_per_byte, self.high))
        return f"{low} to {high} bits per byte" if self.is_wide else f"{loss} bits per byte ({low} to {high})"
