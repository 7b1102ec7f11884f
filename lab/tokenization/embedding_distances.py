"""Distances of the token embeddings of a run's model: to their mean, to the never-used ones, and from their place at step 0.

Tokens that a model hardly met in training make it behave oddly. Rumbelow and Watkins 2023 ("SolidGoldMagikarp") found some among
the embeddings nearest to the mean of all; Land and Bartolo 2024 ("Fishing for Magikarp") find them by how near their embeddings
lie to those of tokens that are known to be unused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.core.errors import DamagedFileError, UserError
from lab.core.safetensors_file import Header, opened_with_header
from lab.data.token_file import Ids
from lab.runs.run_folder import Run, no_weights_yet

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


NAMES = ("wte.weight", "model.wte.weight")
"""The embedding in a file of weights, and in a checkpoint of the trainer."""
ROWS = 4096
"""Embeddings read at a time."""
NEAR = 95
"""Percentile of the never-used tokens' distances below which another token's embedding counts as like theirs."""

Distances = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class EmbeddingDistances:
    """Euclidean distances of each token's embedding, (vocab_size,) each, at `step`."""

    step: int
    norm: Distances
    to_mean: Distances
    """To the mean of all embeddings."""
    moved: Distances | None
    """From its place at step 0; None where that is not kept."""
    to_never_used: Distances | None
    """To the mean of the embeddings of the tokens that the training part never uses; None where it uses all."""


def embedding_distances(run: Run, counts: Ids) -> EmbeddingDistances:
    """Distances of the embeddings of the run's best weights, or the last; `counts` are the tokens' in the training part.
    Raises UserError if there are no weights yet, or they cannot be read."""
    checkpoint = next((file for file in run.checkpoints() if file.name in ("best", "last", "previous")), None)
    if checkpoint is None:
        raise UserError(no_weights_yet(run))
    try:
        now, header = map_matrix(checkpoint.path, NAMES)
    except FileNotFoundError:
        raise UserError(no_weights_yet(run)) from None
    config = run.config.model
    if now.shape != (config.vocab_size, config.width):
        raise UserError(f"{checkpoint.path} does not fit the model of {run.name}: its token embedding has another shape.")
    never = counts == 0
    mean, mean_of_never = _means(now, never)
    size = len(counts)
    norm, to_mean, to_never = (np.zeros(size, np.float32) for _ in range(3))
    with np.errstate(over="ignore", invalid="ignore"):  # of absurd weights; it is told below
        for at in range(0, size, ROWS):
            rows = now.rows(at, at + ROWS)
            here = slice(at, at + len(rows))
            norm[here] = np.linalg.norm(rows, axis=1)
            to_mean[here] = np.linalg.norm(rows - mean, axis=1)
            to_never[here] = np.linalg.norm(rows - mean_of_never, axis=1)
    if not bool(np.isfinite(to_mean).all()):
        raise UserError(f"{checkpoint.path} holds NaN or infinity in its token embedding.")
    return EmbeddingDistances(header.step, norm, to_mean, _moved(run, now), to_never if never.any() else None)


def like_never_used(distances: EmbeddingDistances, counts: Ids) -> NDArray[np.bool_]:
    """The tokens that the training part does use, with an embedding as near to the mean of the never-used ones as 95% of these:
    (vocab_size,)."""
    never = counts == 0
    if distances.to_never_used is None:
        return np.zeros(len(counts), bool)
    border = np.percentile(distances.to_never_used[never], NEAR)
    return np.asarray(~never & (distances.to_never_used <= border))


def nearest_never_used(distances: EmbeddingDistances, counts: Ids) -> int:
    """Number of never-used tokens among as many embeddings nearest to the mean as there are never-used tokens."""
    never = counts == 0
    nearest = np.argsort(distances.to_mean, kind="stable")[: int(never.sum())]
    return int(never[nearest].sum())


def _means(matrix: MappedMatrix, never: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The mean of all rows, and of the marked ones."""
    size, width = matrix.shape
    total, of_never = np.zeros(width), np.zeros(width)
    for at in range(0, size, ROWS):
        rows = matrix.rows(at, at + ROWS)
        total += rows.sum(0, np.float64)
        of_never += rows[never[at : at + ROWS]].sum(0, np.float64)
    return (total / size).astype(np.float32), (of_never / max(1, int(never.sum()))).astype(np.float32)


def _moved(run: Run, now: MappedMatrix) -> Distances | None:
    first = next((file for file in run.snapshots() if file.step == 0), None)
    if first is None:
        return None
    try:
        before, _ = map_matrix(first.path, NAMES)
    except (FileNotFoundError, UserError):
        return None
    if before.shape != now.shape:
        return None
    parts = [np.linalg.norm(now.rows(at, at + ROWS) - before.rows(at, at + ROWS), axis=1) for at in range(0, now.shape[0], ROWS)]
    return np.concatenate(parts).astype(np.float32)
