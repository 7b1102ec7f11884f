"""The loss by position in the window, averaged over many windows of the run's text."""

import math
from itertools import pairwise

import numpy as np

from lab.core.number_format import fixed, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Array, Block, Cell, Column, Strip, Table, View
from lab.views.number_tables import Numbers
from models.unembed import Slices

MOST_WINDOWS = 128
FLOPS = 1e11
"""Work of all windows together: a few seconds on a laptop."""


SMALLEST_ERROR = 1e-6
"""Nats, about the rounding of float32: the windows of a text that repeats itself differ by no more."""


def loss_by_position(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `first`, the mean loss at position 1, `last`, that of the second half of the window, their difference `fall` and
    the standard error of that difference, `fall_error`; `fall_in_errors` is their ratio.

    Raises: UserError: if the run's text cannot be read.
    """
    from lab.experiments.window.window_passes import affordable_windows, losses_of

    windows, part = context.windows(affordable_windows(context.config, FLOPS, MOST_WINDOWS))
    losses: Numbers = (yield from losses_of(context.model, windows)).double().numpy()  # (B, T)
    length = losses.shape[1]
    late = losses[:, length // 2 :].mean(1)  # (B,)
    fall = losses[:, 0] - late
    error = _error(fall)
    measures: dict[str, Measure] = {
        "windows": len(losses),
        "positions": length,
        "part": part,
        "mean": float(losses.mean()),
        "first": float(losses[:, 0].mean()),
        "last": float(late.mean()),
        "fall": float(fall.mean()),
        "fall_error": error,
        "fall_in_errors": float(fall.mean()) / max(error, SMALLEST_ERROR),
    }
    blocks: list[Block] = [_by_range(losses, part)]
    if length > 1:
        blocks.append(Strip("mean loss at each position", Array.of(losses.mean(0)), never_negative=True))
    view = View("loss_by_position", "loss by position in the window", _sentence(measures), blocks)
    return ExperimentResult(view, measures)


def _sentence(measures: dict[str, Measure]) -> str:
    first, last, fall = (float(measures[name]) for name in ("first", "last", "fall"))
    error, length = float(measures["fall_error"]), int(measures["positions"])
    if length == 1:
        return f"The window holds one token, so each prediction sees that token alone: {fixed(first, 3)} nats."
    begin = f"With one token to go on the loss is {fixed(first, 3)}, in the second half of the window {fixed(last, 3)}: "
    if abs(fall) <= 2 * max(error, SMALLEST_ERROR):
        return begin + "no clear difference, so these windows do not show that more tokens help this model."
    if fall < 0:
        return begin + "it is higher there, so more tokens do not help this model."
    return begin + f"more tokens before save {fixed(fall, 3)} nats a token."


def _by_range(losses: Numbers, part: str) -> Table:
    """Mean losses of positions 1, 2, 3 to 4, 5 to 8 and so on."""
    length = losses.shape[1]
    edges = [0, *(1 << power for power in range(length.bit_length()) if 1 << power < length), length]
    means = [losses[:, low:high].mean(1) for low, high in pairwise(edges)]
    most = max(float(mean.mean()) for mean in means) or 1.0
    rows = [
        [
            Cell(whole(low + 1) if high == low + 1 else f"{whole(low + 1)} to {whole(high)}"),
            Cell(fixed(float(mean.mean()), 3), value=float(mean.mean()), bar=float(mean.mean()) / most),
            Cell(f"± {fixed(_error(mean), 3)}", value=_error(mean)),
        ]
        for (low, high), mean in zip(pairwise(edges), means, strict=True)
    ]
    columns = [Column("tokens seen"), Column("loss, nats"), Column("standard error", optional=1)]
    return Table(columns, rows, title=f"{whole(len(losses))} windows of the {part}")


def _error(values: Numbers) -> float:
    """Standard error of the mean of independent values."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
