"""Memory and utilization of the GPU that trains a run, in its status and in words."""

from typing import Annotated

import msgspec
from msgspec import Meta

from lab.core.number_format import bytes_

Bytes = Annotated[int, Meta(ge=0, le=1 << 62)]
Share = Annotated[float, Meta(ge=0, le=10)]
"""Around 0 to 1; a peak may be given too low."""


class GpuUse(msgspec.Struct, frozen=True, kw_only=True):
    """Use of the GPU of rank 0."""

    memory: Bytes
    """The most that the trainer's tensors took at one time."""
    total: Bytes
    """Memory of the card."""
    busy: Share | None = None
    """Share of the last moment in which it computed anything; None without nvidia-ml-py."""
    mfu: Share | None = None
    """Model FLOPs utilization; None where the peak of the card is not known."""


def gpu_in_words(use: GpuUse) -> str:
    """`GPU memory 34.1 GB of 80.0 GB, busy 97%, MFU 41%`."""
    words = f"GPU memory {bytes_(use.memory)} of {bytes_(use.total)}"
    words += "" if use.busy is None else f", busy {use.busy:.0%}"
    return words + ("" if use.mfu is None else f", MFU {use.mfu:.0%}")
