"""Preparation before a trainer's first step: the micro-batch that fits into the GPU, and compilation. Not counted as training."""

from collections.abc import Callable

import torch

from lab.core.errors import free_memory, is_out_of_memory
from lab.planning.device import ROLLBACK_COPIES
from lab.training.gradient_accumulation import GradientAccumulator
from lab.training.model_as_trained import is_compiled
from lab.training.run_length import Clock
from lab.training.run_logs import RunLogs
from lab.training.training_setup import TrainingSetup
from models.config import ModelConfig
from models.parameter_count import BYTES, parameter_count

MARGIN = 0.1
"""Share of the memory that is left free: for what other programs take, and for gaps between tensors."""
OPTIMIZER_COPIES = 2
"""Numbers that AdamW keeps for each weight; Muon keeps one."""

Try = Callable[[int], None]
"""Compute the gradient of so many windows, and forget it."""


def micro_batches_that_fit(batch: int, fits: Callable[[int], bool]) -> int:
    """Micro-batches of a step of so many windows: the largest micro-batch is found by doubling. Where not even one window fits,
    as many as windows."""
    windows = 0
    following = 1
    while windows < batch and fits(following):
        windows, following = following, min(2 * following, batch)
    return -(-batch // max(1, windows))


def later_bytes(model: ModelConfig) -> int:
    """Bytes that a run's later steps hold beside those of the first gradient: the optimizer's state, and the rollback state."""
    return (OPTIMIZER_COPIES + ROLLBACK_COPIES) * BYTES * parameter_count(model)


def has_room(peak: int, available: int, later: int) -> bool:
    """True if the peak of this process and so many bytes more leave the margin of the memory that it holds or nobody holds."""
    return peak + later <= (1 - MARGIN) * available


def fits_into_cuda(attempt: Try, device: torch.device, later: int) -> Callable[[int], bool]:
    """A function that tries so many windows on the card, and says if they fit."""

    def fits(windows: int) -> bool:
        torch.cuda.reset_peak_memory_stats(device)
        if not try_windows(attempt, windows, device):
            return False
        available = torch.cuda.memory_reserved(device) + torch.cuda.mem_get_info(device)[0]
        return has_room(torch.cuda.max_memory_allocated(device), available, later)

    return fits


def try_windows(attempt: Try, windows: int, device: torch.device) -> bool:
    """Try so many windows. False if memory ran out; none of it is held afterwards."""
    try:
        attempt(windows)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    free_memory(device)  # only here the exception, and with it what the attempt had allocated, is gone
    return False


def prepare_steps(setup: TrainingSetup, gradient: GradientAccumulator, clock: Clock, logs: RunLogs, *, alone: bool) -> None:
    """Find the micro-batches of a run that begins on a CUDA card, and compile a run that is to be compiled.

    Only a rank that is `alone` searches: of several each must compute as many micro-batches as the others.
    """
    searching = setup.device.type == "cuda" and setup.loaded is None and alone
    compiling = is_compiled(setup.state, setup.run.config.train.compile, setup.device)
    if not searching and not compiling:
        return
    clock.stop()
    if searching:
        fits = fits_into_cuda(gradient.try_out, setup.device, later_bytes(setup.run.config.model))
        find_micro_batches(setup, gradient, fits, logs)
    if compiling:
        gradient.compile()
    clock.start()


def find_micro_batches(setup: TrainingSetup, gradient: GradientAccumulator, fits: Callable[[int], bool], logs: RunLogs) -> None:
    """Compute a step in as many micro-batches as `fits` makes necessary, if those are more than were asked for; report it."""
    found = micro_batches_that_fit(setup.batches.batch, fits)
    if found <= gradient.micro_batches:
        return
    gradient.micro_batches = found
    setup.state.set_micro_batches(found)
    windows = gradient.largest_micro_batch
    logs.event(
        "micro_batch",
        f"A step of {setup.batches.batch} windows is computed in {found} parts of {windows} window{'s' if windows > 1 else ''}: "
        "more would not fit into the GPU's memory with room to spare.",
    )
