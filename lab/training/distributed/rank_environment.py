"""Rank of this process among those of a training, as torchrun puts it into the environment. Without torch."""

import os
from dataclasses import dataclass

from lab.core.errors import UserError

MOST_RANKS = 4096
OWN_LAUNCHER = "LLMLAB_OWN_LAUNCHER"
"""Variable that `lab.training.start_trainer` sets, for the ranks to leave out what `llmlab` tells."""


@dataclass(frozen=True)
class RankEnvironment:
    """One rank of several."""

    rank: int
    count: int
    """Ranks on all machines together."""
    local_rank: int
    """Rank among those of this machine, which is the number of its GPU."""
    local_count: int
    address: str
    """Host and port of the key-value store by which the ranks find each other."""
    port: int
    has_store: bool
    """True if the launcher keeps that store; else rank 0 does."""

    @property
    def prefix(self) -> str:
        """Prefix of the keys of this start: a launcher that starts the ranks again keeps its store."""
        return f"llmlab/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"


def read_rank_environment() -> RankEnvironment | None:
    """The rank of this process; None where there is one process only. Raises UserError if the variables make no sense."""
    count = _number("WORLD_SIZE", "1", 1, MOST_RANKS)
    if count == 1:
        return None
    rank = _number("RANK", "", 0, count - 1)
    return RankEnvironment(
        rank=rank,
        count=count,
        local_rank=_number("LOCAL_RANK", str(rank), 0, count - 1),
        local_count=_number("LOCAL_WORLD_SIZE", str(count), 1, count),
        address=os.environ.get("MASTER_ADDR", "127.0.0.1"),
        port=_number("MASTER_PORT", "29500", 1, 65535),
        has_store=os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _number(name: str, default: str, least: int, most: int) -> int:
    text = os.environ.get(name, default)
    if not (text.isascii() and text.isdecimal() and len(text) < 8 and least <= int(text) <= most):
        raise UserError(
            f"The environment variable {name} must be a number from {least} to {most}, not {text!r}; torchrun sets it."
        )
    return int(text)
