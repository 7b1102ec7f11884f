"""The GPU and the ranks that train a run, as its status tells of them, and in words."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from lab.core.number_format import bytes_, counted
from lab.core.visible_text import shortened, visible

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


def describe_gpu(use: GpuUse) -> str:
    """`GPU memory 34.1 GB of 80.0 GB, busy 97%, MFU 41%`."""
    words = f"GPU memory {bytes_(use.memory)} of {bytes_(use.total)}"
    words += "" if use.busy is None else f", busy {use.busy:.0%}"
    return words + ("" if use.mfu is None else f", MFU {use.mfu:.0%}")


ShardSetting = Literal["auto", "on", "off"]
"""Whether each rank keeps the optimizer state of a part of the weights only; auto where memory does not suffice for all of it."""

MOST_LISTED = 256
"""Ranks whose heartbeats are told, so that status.json stays small; a run may have more."""
MOST_NAMED = 4
"""Hosts that are named, that of rank 0 first."""
LONGEST_NAME = 40
"""Characters of a host's name that are shown."""


class RankHeartbeat(msgspec.Struct, frozen=True, array_like=True):
    """Heartbeat of one of the processes that train a run together, as rank 0 last saw it."""

    host: Annotated[str, Meta(max_length=500)]
    pid: Annotated[int, Meta(ge=0, le=1 << 62)]
    heartbeat: Annotated[float, Meta(ge=0, le=1e11)]
    """Unix time in seconds."""


RankHeartbeats = Annotated[tuple[RankHeartbeat, ...], Meta(max_length=MOST_LISTED)]


def describe_ranks(ranks: Sequence[RankHeartbeat]) -> str:
    """`2 ranks on abacus`, `16 ranks on 2 hosts (abacus, babbage)`; empty for a training in one process. Text to show."""
    if len(ranks) < 2:
        return ""
    hosts = list(dict.fromkeys(visible(shortened(rank.host, LONGEST_NAME)) for rank in ranks))
    if len(hosts) == 1:
        return f"{len(ranks)} ranks on {hosts[0]}"
    named = ", ".join(hosts[:MOST_NAMED]) + ", …" * (len(hosts) > MOST_NAMED)
    return f"{counted(len(ranks), 'rank')} on {counted(len(hosts), 'host')} ({named})"
