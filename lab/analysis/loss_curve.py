"""The loss curve of a run in few points, read cheaply: for a list of runs, a sparkline, a small plot.

A short metrics.jsonl is read whole. Of a long one, blocks spread evenly over the file are read, and the losses in each block
are averaged, so that a run of a million steps costs no more than one of a thousand. Nothing here needs numpy.
"""

import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from lab.core.errors import DamagedFileError
from lab.core.safe_open import LARGEST_LINES, open_regular
from lab.runs.metrics_log import EVALUATION, LineReader, decode_lines
from lab.runs.run_folder import Stamp, file_stamp
from lab.runs.run_schema import Metric

POINTS = 128
"""Points of a curve, at most."""
BLOCK_BYTES = 2048
"""Bytes of a block: about ten steps."""
CURVES_KEPT = 512


BARS = "▁▂▃▄▅▆▇█"
SMALLEST_LOSS = 1e-6
TOUCH = 1e-6
"""Fraction of a bar by which a step may miss its end for rounding."""
LEAST_RANGE = math.log(1.1)
"""Range of the bars, at least: a tenth between the highest and the lowest. Less would draw noise as mountains."""


@dataclass(frozen=True)
class LossCurve:
    """Training loss over steps: each point is the mean over some neighbouring steps."""

    steps: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()


NO_CURVE = LossCurve()


class Evaluations:
    """The evaluations of one run. Each read looks only at what was appended. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self._reader = LineReader(path, Metric, holding=EVALUATION)
        self._found: list[Metric] = []

    def read(self) -> tuple[tuple[float, float], ...]:
        """Step and validation loss of all evaluations so far."""
        return tuple((float(metric.step), metric.val_loss) for metric in self.metrics() if metric.val_loss is not None)

    def metrics(self) -> tuple[Metric, ...]:
        """All evaluations so far; none where the file cannot be read. Reading starts over where it was replaced or cut."""
        new = self._reader.read()
        if self._reader.restarted:
            self._found.clear()
        self._found += [metric for metric in new if metric.val_loss is not None]
        return tuple(self._found)


def read_loss_curve(path: Path) -> LossCurve:
    """The curve of a metrics.jsonl as it is now; empty if the file is missing or cannot be used. The same object where nothing
    changed."""
    stamp = file_stamp(path)
    return NO_CURVE if stamp is None else _read_curve(path, stamp)


@functools.lru_cache(maxsize=CURVES_KEPT)
def _read_curve(path: Path, stamp: Stamp) -> LossCurve:
    """The curve of a file with this stamp."""
    try:
        with open_regular(path, LARGEST_LINES) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= POINTS * BLOCK_BYTES:
                trained = _trained(file.read())
                length = max(1, math.ceil(len(trained) / POINTS))
                blocks = [trained[start : start + length] for start in range(0, len(trained), length)]
            else:
                blocks = [_trained(_block(file, round(at * (size - BLOCK_BYTES) / (POINTS - 1)))) for at in range(POINTS)]
    except (OSError, DamagedFileError):
        return NO_CURVE
    points = [_mean(block) for block in blocks if block]
    return LossCurve(tuple(step for step, _ in points), tuple(loss for _, loss in points))


@functools.lru_cache(maxsize=CURVES_KEPT)
def sparkline(curve: LossCurve, width: int, end: float | None = None) -> str:
    """The curve in `width` characters from step 0 to `end`, or its last step; blank where there are no steps. A bar is the mean
    loss of its steps, on a logarithmic scale from the lowest to the highest."""
    if not curve.steps:
        return " " * width
    last = max(end or 0.0, *curve.steps)
    if not last:
        return " " * width
    sums, counts = [0.0] * width, [0] * width
    for step, loss in zip(curve.steps, curve.losses, strict=True):
        at = max(0, math.ceil(step * width / last - TOUCH) - 1)
        sums[at] += loss
        counts[at] += 1
    means = [math.log(max(SMALLEST_LOSS, total / count)) if count else None for total, count in zip(sums, counts, strict=True)]
    until = max(at for at, mean in enumerate(means) if mean is not None)
    known = next(mean for mean in means if mean is not None)
    shown = [known := known if mean is None else mean for mean in means[: until + 1]]  # gaps of a short run's curve are filled
    low, room = min(shown), max(max(shown) - min(shown), LEAST_RANGE)
    bars = (BARS[min(len(BARS) - 1, int((mean - low) / room * len(BARS)))] for mean in shown)
    return "".join(bars).ljust(width)


def _block(file: BinaryIO, start: int) -> bytes:
    file.seek(start)
    block = file.read(BLOCK_BYTES)
    first = block.find(b"\n") + 1 if start else 0
    return block[first : block.rfind(b"\n") + 1]


def _trained(lines: bytes) -> list[tuple[float, float]]:
    """Steps and training losses of the lines; a line that cannot be read, such as a torn last one, is left out."""
    return [(float(metric.step), metric.loss) for metric in decode_lines(_decoder, lines) if metric.loss is not None]


def _mean(block: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(step for step, _ in block) / len(block), sum(loss for _, loss in block) / len(block)


_decoder = msgspec.json.Decoder(Metric)
