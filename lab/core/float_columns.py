"""Growing numpy columns of floats, for a million steps without copies."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64] | NDArray[np.float32]

GROWTH = 1.25
"""Growth factor of the buffer: a quarter is unused at most, and each number is copied about four times."""


class Column(Sequence[float]):
    """A growing column of floats. A slice is a view, which does not change when values are added."""

    def __init__(self, dtype: type[Any] = np.float64) -> None:
        self._room: Floats = np.empty(64, dtype)
        self._length = 0

    def extend(self, values: Sequence[float | None] | Floats) -> None:
        """Append values; None becomes NaN."""
        end = self._length + len(values)
        if end > len(self._room):
            room = np.empty(max(end, int(len(self._room) * GROWTH)), self._room.dtype)
            room[: self._length] = self.values
            self._room = room
        self._room[self._length : end] = values
        self._length = end

    @property
    def values(self) -> Floats:
        """All of them, (N,); a view."""
        return self._room[: self._length]

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> float: ...
    @overload
    def __getitem__(self, at: slice) -> Any: ...
    def __getitem__(self, at: int | slice) -> Any:
        return self.values[at] if isinstance(at, slice) else float(self.values[at])

    def __iter__(self) -> Iterator[float]:
        return iter(self.values.tolist())
