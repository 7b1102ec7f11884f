"""Heartbeats of a run's ranks in its status, and where they are, in words."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from lab.core.number_format import counted
from lab.core.visible_text import shortened, visible

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


def ranks_in_words(ranks: Sequence[RankHeartbeat]) -> str:
    """`2 ranks on abacus`, `16 ranks on 2 hosts (abacus, babbage)`; empty for a training in one process. Text to show."""
    if len(ranks) < 2:
        return ""
    hosts = list(dict.fromkeys(visible(shortened(rank.host, LONGEST_NAME)) for rank in ranks))
    if len(hosts) == 1:
        return f"{len(ranks)} ranks on {hosts[0]}"
    named = ", ".join(hosts[:MOST_NAMED]) + ", …" * (len(hosts) > MOST_NAMED)
    return f"{counted(len(ranks), 'rank')} on {counted(len(hosts), 'host')} ({named})"
