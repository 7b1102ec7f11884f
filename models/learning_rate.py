"""Schedule of the learning rate over a run. No torch."""

import math
from typing import Literal

Schedule = Literal["cosine", "wsd"]

DECAY = 0.2
"""Share of a run over which "wsd" falls; from about a fifth on, a longer one gains next to nothing (Hägele et al. 2024)."""


def schedule_factor(schedule: Schedule, progress: float, warmup: float, final: float) -> float:
    """Factor on the peak learning rate: linear from 0 to 1 over the first `warmup` of the run, then decay to `final`.

    "cosine" is half a cosine (Loshchilov & Hutter 2017, "SGDR"). "wsd" stays at 1 and falls over the last `DECAY` of the run:
    warm-up, stable, decay (Hu et al. 2024, "MiniCPM", section 4), with the fall 1 - sqrt(t) that Hägele et al. 2024 ("Scaling
    Laws and Compute-Optimal Training Beyond Fixed Training Durations") found best. Count the update about to be made as done:
    progress is (step + 1) / steps. Below 0 and beyond 1 it is as at 0 and 1.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup:
        return progress / warmup
    if warmup >= 1.0:
        return 1.0
    if schedule == "cosine":
        fallen = 0.5 - 0.5 * math.cos(math.pi * (progress - warmup) / (1.0 - warmup))
    else:
        begin = max(warmup, 1.0 - DECAY)
        fallen = math.sqrt(max(0.0, progress - begin) / (1.0 - begin))
    return final + (1.0 - final) * (1.0 - fallen)
