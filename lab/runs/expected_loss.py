"""The loss that was expected of a run whose settings were chosen for its minutes."""

from typing import Annotated

import msgspec
from msgspec import Meta

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
