"""A matrix in a file of weights, mapped into memory: rows are loaded as they are read. No torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.core.errors import DamagedFileError
from lab.core.safetensors_file import Header, opened_with_header

NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""Types of the stored floats in numpy, which has no bfloat16: its two bytes are the upper half of a float32."""


class MappedMatrix:
    """A matrix of floats whose rows are read when they are asked for."""

    def __init__(self, numbers: NDArray[Any], is_bfloat: bool) -> None:
        self._numbers = numbers
        self._is_bfloat = is_bfloat
        self.shape: tuple[int, int] = (numbers.shape[0], numbers.shape[1])

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """The rows [start, stop) in float32."""
        part = self._numbers[start:stop]
        if self._is_bfloat:
            return (part.astype(np.uint32) << 16).view(np.float32)
        return part.astype(np.float32)


def map_matrix(path: Path, names: Sequence[str]) -> tuple[MappedMatrix, Header]:
    """The first of these tensors that is in the file, which must be a matrix of floats, and the file's header.

    Raises:
        FileNotFoundError: if there is no such file.
        DamagedFileError: if it cannot be used, or holds no such matrix.
    """
    with opened_with_header(path) as (file, header):
        name = next((each for each in names if each in header.tensors), None)
        if name is None:
            raise DamagedFileError(path, f"holds no {names[0]}")
        entry = header.tensors[name]
        if entry.dtype not in NUMPY_TYPES or len(entry.shape) != 2 or 0 in entry.shape:
            raise DamagedFileError(path, f"holds {name} as something other than a matrix of floating-point numbers")
        rows, columns = entry.shape
        numbers = np.memmap(file, NUMPY_TYPES[entry.dtype], "r", file.tell() + entry.data_offsets[0], (rows, columns))
        return MappedMatrix(numbers.view(np.ndarray), entry.dtype == "BF16"), header
