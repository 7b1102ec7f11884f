"""Preparation before a trainer's first step: the micro-batch that fits into the GPU, and compilation. Not counted as training."""

from collections.abc import Callable

from lab.training.acceleration.compilation import is_compiled
from lab.training.acceleration.micro_batch_search import fits_into_cuda, later_bytes, micro_batches_that_fit
from lab.training.gradient_accumulation import GradientAccumulator
from lab.training.run_length import Clock
from lab.training.run_logs import RunLogs
from lab.training.training_setup import TrainingSetup


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
