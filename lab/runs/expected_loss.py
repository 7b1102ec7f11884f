"""The loss that was expected of a run whose settings were chosen for its minutes."""

from typing import Annotated

import msgspec
from msgspec import Meta

from lab.core.number_format import fixed

WIDE = 1.3
"""Highest loss of a range over the expected one, from which on no loss is told, only the range."""
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
        """`2.06 bits per byte (1.98 to 2.15)`; of a wide range it alone: `0.9 to 2.4 bits per byte`."""
        if self.is_wide:
            return f"{fixed(self.low, 1)} to {fixed(self.high, 1)} bits per byte"
        return f"{fixed(self.bits_per_byte, 2)} bits per byte ({fixed(self.low, 2)} to {fixed(self.high, 2)})"
