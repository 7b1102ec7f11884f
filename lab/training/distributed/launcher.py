"""Launcher of the ranks of one machine, PyTorch's torchrun, and the environment of each: `python -P -m
lab.training.distributed.launcher OPTIONS RUN`.

The options are torchrun's. Three things differ. The ranks import nothing from the folder that it is started in, where a user may
have a `models.py` or a `lab/`. After a signal, which it hands on to the ranks, the exit code is 0 if all have ended well. Of
torchrun's messages only one is told, in a sentence: that a signal has ended a rank, which then could say nothing itself.

When one rank has failed, or after a signal, the others have TORCH_ELASTIC_SHUTDOWN_TIMEOUT seconds to end, since rank 0 saves.
"""

import inspect
import logging
import os
import signal
import sys
from dataclasses import dataclass

from lab.core.errors import UserError

SHUTDOWN_SECONDS = 600
"""Time for the ranks to end after a signal or the failure of one, rank 0 with a checkpoint, before they are killed."""


def main(arguments: list[str]) -> int:
    """Run the ranks to their end. Returns the exit code: 0 finished or stopped, 1 failed, 2 for options that torchrun lacks."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError

    *options, path = arguments or [""]
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SHUTDOWN_SECONDS))
    os.environ["PYTHONSAFEPATH"] = "1"
    codes = watch_the_end(int(os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]))
    try:
        run.main([*options, "-m", "lab.training.trainer", path])
    except ChildFailedError:
        return 1
    except SignalException:  # handed on to the ranks, which save
        return int(any(codes))
    except RendezvousError as error:
        sys.stderr.write(f"The machines of this training did not find each other: {str(error).rstrip('.')}.\n")
        return 1
    return 0


def watch_the_end(seconds: int) -> list[int | None]:
    """Have torchrun wait so long for the ranks to end, and say which one a signal has ended, before it ends the others.

    Returns a list that will hold their exit codes. torchrun has an option for none of this, and kills ranks after 30 s where one
    has failed; a version of PyTorch whose `close` has no timeout waits as long as it does.
    """
    from torch.distributed.elastic.multiprocessing.api import PContext

    plain = PContext.close
    waits = (seconds,) if "timeout" in inspect.signature(plain).parameters else ()
    codes: list[int | None] = []

    def close(self: PContext, death_sig: signal.Signals | None = None, *timeout: int) -> None:
        handlers = getattr(self, "subprocess_handlers", {})
        for local_rank, handler in handlers.items() if death_sig is None else ():
            code = handler.proc.poll()
            if code is not None and code < 0:  # else the rank has said why
                name = signal.Signals(-code).name
                sys.stderr.write(f"Rank {self.envs[local_rank]['RANK']} (process {handler.proc.pid}) was ended by {name}.\n")
        plain(self, death_sig, *(timeout or waits))
        codes.extend(handler.proc.returncode for handler in handlers.values())

    PContext.close = close  # type: ignore[method-assign, assignment]
    return codes


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
