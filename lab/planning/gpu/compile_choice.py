"""Compilation of a run's steps by `torch.compile`: on where the run is long enough to repay it."""

from lab.planning.gpu.model_flops_utilization import peak_flops
from lab.runs.run_schema import TrainConfig
from models.config import ModelConfig
from models.parameter_count import flops_per_token

LEAST_SECONDS = 300.0
"""Planned duration from which compiling repays. It takes about a minute, for one block stands for all of them, and saves up to
half of a step's time on a GPU: nanoGPT's README has 250 ms before and 135 ms after."""
USUAL_UTILIZATION = 0.3
"""Share of a card's peak that a run is assumed to reach, to tell its duration before it has begun."""
USUAL_FLOPS = 10e12
"""FLOPs a second of a card whose peak is not known."""
KERNELS, KERNELS_PER_LAYER = 120, 70
"""Kernels that a step starts without compiled code, counted with torch's profiler for the presets."""
SECONDS_PER_KERNEL = 1e-5
"""Time that Python and the driver take to start one: a small model's step is no faster than that of all."""


def planned_seconds(model: ModelConfig, train: TrainConfig, card_name: str, cards: int = 1) -> float:
    """Duration of a run on so many cards of a kind: its minutes, or its steps at the usual utilization.

    A step takes at least the time in which its kernels are started.
    """
    if train.steps is None:
        return 60 * (train.minutes or 0.0)
    peak = peak_flops(card_name, "bf16")
    speed = USUAL_FLOPS if peak is None else USUAL_UTILIZATION * peak
    computing = train.batch * model.context * flops_per_token(model) / (speed * cards)
    starting = -(-train.accumulate // cards) * (KERNELS + KERNELS_PER_LAYER * model.layers) * SECONDS_PER_KERNEL
    return train.steps * max(computing, starting)


def choose_compile(setting: str, device_type: str, seconds: float) -> tuple[bool, str]:
    """True if a run of so many seconds is to be compiled; else the reason why not, in words, where one would expect it."""
    if setting == "on":
        return True, ""
    if setting == "off" or device_type != "cuda":  # on two cores micro gains 2% and takes a minute to compile (measured)
        return False, ""
    if seconds < LEAST_SECONDS:
        return False, f"not compiled, since a run of less than {LEAST_SECONDS / 60:.0f} minutes does not repay it"
    return True, ""
