"""Snapshot schedule: steps after which a snapshot of the weights is saved."""

import math

from lab.training.run_length import RunLength


class SnapshotSchedule:
    """Snapshots at the start, at powers of two in the first tenth of the run, where most happens, at every tenth, and the end."""

    def __init__(self, length: RunLength) -> None:
        self._length = length
        self._tenths = self._tenths_done()

    def is_due(self, step: int, *, over: bool) -> bool:
        """True if a snapshot is due; to be called once after each step."""
        before, self._tenths = self._tenths, self._tenths_done()
        return step == 0 or over or self._tenths > before or (self._tenths == 0 and step & (step - 1) == 0)

    def _tenths_done(self) -> int:
        return math.floor(10 * self._length.progress() + 1e-9)
