"""Launcher of the ranks of one machine: `python -P -m lab.training.distributed.launcher RUN COUNT` runs PyTorch's torchrun.

Its own messages are left out, so that the last line of the run's log is what a rank said; of a rank that a signal has ended, and
that so could say nothing, it tells. It hands a signal on to the ranks, and ends those that are left when one has failed: either
way they have `SHUTDOWN_SECONDS`, for rank 0 saves. A torchrun of the user's own gives 30 seconds where a rank has failed, and
TORCH_ELASTIC_SHUTDOWN_TIMEOUT after a signal.
"""

import inspect
import logging
import os
import signal
import sys

from lab.training.distributed.rank_environment import OWN_LAUNCHER

SHUTDOWN_SECONDS = 600
"""Time for the ranks to end after a signal or the failure of one, rank 0 with a checkpoint, before they are killed."""


def main(arguments: list[str]) -> int:
    """Run the ranks to their end. Returns the exit code: 0 finished or stopped, 1 failed."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    path, count = arguments
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SHUTDOWN_SECONDS))
    os.environ[OWN_LAUNCHER] = "1"
    give_time(int(os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]))
    options = ["--standalone", "--nproc-per-node", count, "--max-restarts", "0"]
    try:
        run.main([*options, "-m", "lab.training.trainer", path])
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:  # else the rank has said why
            sys.stderr.write(f"Rank {rank} (process {failure.pid}) was ended by {failure.signal_name()}.\n")
        return 1
    except SignalException:
        return 0  # so have the ranks, to which it was handed on
    return 0


def give_time(seconds: int) -> None:
    """Have torchrun wait so long for the other ranks when one has failed: for that it has no option, and kills them after 30 s.

    A version of PyTorch whose `close` has no timeout is left as it is.
    """
    from torch.distributed.elastic.multiprocessing.api import PContext

    plain = PContext.close
    if "timeout" not in inspect.signature(plain).parameters:
        return

    def close(self: PContext, death_sig: signal.Signals | None = None, timeout: int = seconds) -> None:
        plain(self, death_sig, timeout)

    PContext.close = close  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
