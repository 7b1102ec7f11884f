"""Snapshots: weights saved at spaced-out steps of a run, the initial ones included."""

import os
import stat

import torch
from safetensors import safe_open
from torch import Tensor, nn

from lab.core.atomic_io import temporary_beside
from lab.core.errors import DamagedFileError, UserError
from lab.core.safe_open import is_real_folder, opened_by_name
from lab.core.safetensors_file import check_whole
from lab.runs.run_folder import Run
from lab.runs.weights_file import check_fits, write_weights

SNAPSHOT_BYTES = 64 << 20
"""Most bytes of a run's snapshots together. Beyond it those are dropped that are nearest to their neighbours, the first and the
newest never."""


def save_snapshot(run: Run, model: nn.Module, step: int) -> None:
    """Save the weights of this step: the initial ones in fp32, later ones in bf16. Raises what `save_best` does."""
    run.snapshots_path.mkdir(stat.S_IMODE(run.path.stat().st_mode), exist_ok=True)
    if not is_real_folder(run.snapshots_path):
        raise DamagedFileError(run.snapshots_path, "is a link, not a folder")
    path = run.snapshots_path / f"{step:08d}.safetensors"
    temporary = temporary_beside(path)
    state = model.state_dict()
    write_weights(
        temporary,
        state if step == 0 else {name: weight.to(torch.bfloat16) for name, weight in state.items()},
        {"step": str(step)},
    )
    os.replace(temporary, path)
    thin_snapshots(run)


def initial_weight(run: Run, name: str) -> Tensor | None:
    """One weight of the snapshot of step 0, without reading the others; None without such a snapshot that is whole."""
    first = next((file.path for file in run.snapshots() if file.step == 0), None)
    if first is None:
        return None
    try:
        check_fits(run, first, check_whole(first))
    except (FileNotFoundError, UserError):
        return None
    with opened_by_name(first) as name_of_file, safe_open(name_of_file, framework="pt") as file:
        weight: Tensor = file.get_tensor(name)
    return weight


def thin_snapshots(run: Run) -> None:
    """Drop snapshots until the rest fit into `SNAPSHOT_BYTES`: always the one whose neighbours' steps are nearest by ratio."""
    files = run.snapshots()
    while len(files) > 2 and sum(file.bytes for file in files) > SNAPSHOT_BYTES:
        inner = range(1, len(files) - 1)
        nearest = min(inner, key=lambda i: (files[i + 1].step + 1) / (files[i - 1].step + 1))
        files.pop(nearest).path.unlink(missing_ok=True)


def drop_snapshots_after(run: Run, step: int) -> None:
    """Remove snapshots of steps that training is about to take again."""
    for file in run.snapshots():
        if file.step > step:
            file.path.unlink(missing_ok=True)
