"""Model weights in safetensors files: load a run's best, last or previous weights or a snapshot, and save the best and snapshots.

`best.safetensors` and the files of `snapshots/` hold weights only; `last.safetensors` and `previous.safetensors` are checkpoints
of the trainer (`lab.training.checkpoint`), whose weights have the prefix `model.`. Each file carries a checksum.
"""

import os
import stat
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from lab.core.atomic_io import sync_folder, temporary_beside
from lab.core.errors import DamagedFileError, UserError
from lab.core.machine import memory
from lab.core.number_format import bytes_
from lab.core.safe_open import is_real_folder, opened_by_name
from lab.core.safetensors_file import FLOATS, Header, RawTensor, check_whole, read_header, write_tensors
from lab.core.visible_text import quoted, shortened
from lab.runs.run_folder import STAND_INS, Run, no_weights_yet
from models.gpt import GPT
from models.parameter_count import BYTES, inventory, parameter_count

DTYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
}

MODEL_PREFIX, OPTIMIZER_PREFIX, ROLLBACK_PREFIX = "model.", "optimizer.", "good."
"""Of a checkpoint's tensors: the weights, the optimizer's state, and both again of the state that a rollback restores."""

MOST_COPIES = 8
"""Most bytes of a checkpoint, as a multiple of the weights': they and two optimizer moments, twice with a rollback state, and
room."""
OTHER_BYTES = 1 << 20
"""Bytes allowed beside that, for the optimizer's counters."""


class NotFiniteError(Exception):
    """Error: weights or optimizer state hold NaN or infinity, and are not written to any file."""


def load_model(run: Run, which: str = "best", device: str = "cpu") -> tuple[GPT, int]:
    """Load a model in fp32 and evaluation mode, and the step of its weights, as `load_weights` does."""
    weights, step = load_weights(run, which)
    model = GPT(run.config.model, seed=None)
    model.load_state_dict(weights)
    return model.to(device).eval(), step


def load_weights(run: Run, which: str = "best") -> tuple[dict[str, Tensor], int]:
    """Load a model's weights by their names, and their step.

    `which` is "best", "last", "previous" or a snapshot's step in decimal digits. Where that is missing, the next of its
    `STAND_INS` is taken: whoever shows what these weights do says so, with `stand_in_sentence`.
    Raises UserError if no file of weights can be used, or the one to be taken is damaged, naming one that can."""
    if candidates := STAND_INS.get(which):
        paths = [run.path / f"{name}.safetensors" for name in candidates]
    else:
        paths = [file.path for file in run.snapshots() if which.isdecimal() and which.lstrip("0") == file.name.lstrip("0")]
        if not paths:
            steps = ", ".join(file.name for file in run.snapshots()) or "none"
            raise UserError(
                f"{run.name} has no checkpoint called {quoted(which)}; there are best and last, and snapshots of steps: {steps}."
            )
    reasons: list[str] = []
    for path in paths:
        try:
            header = read_header(path)
            check_fits(run, path, header)
            check_whole(path)
            tensors = read_weights(path, without=(OPTIMIZER_PREFIX, ROLLBACK_PREFIX))
            weights, step = tensors_under(MODEL_PREFIX, tensors) or tensors, header.step
            if not reasons:
                return weights, step
            reasons[-1] += f"; --checkpoint {path.stem} takes the weights of step {step}"
            break
        except FileNotFoundError:
            continue
        except DamagedFileError as error:
            reasons.append(f"{path.name} {error.reason}")
    if reasons:
        raise UserError(f"{run.name} cannot be opened: {' and '.join(reasons)}.")
    raise UserError(no_weights_yet(run))


def save_best(run: Run, model: nn.Module, step: int, val_loss: float | None = None) -> None:
    """Replace best.safetensors. The validation loss is kept where there is one.

    Raises:
        OSError: as the system says; the file is then as it was.
        NotFiniteError: if a weight is NaN or infinite.
    """
    best = run.path / "best.safetensors"
    temporary = temporary_beside(best)
    write_weights(temporary, model.state_dict(), {"step": str(step)} | ({} if val_loss is None else {"val_loss": repr(val_loss)}))
    os.replace(temporary, best)
    sync_folder(run.path)


def check_fits(run: Run, path: Path, header: Header) -> None:
    """Check that the file holds the weights of the run's model and that they fit into memory. Allocates nothing.

    Raises:
        DamagedFileError: if a weight is not floating-point, or there is far more in the file than training keeps.
        UserError: if they are those of another model, or too large.
    """
    config = run.config.model
    needed = BYTES * parameter_count(config)
    if needed > memory():
        raise UserError(
            f"{run.name} cannot be opened: its model needs {bytes_(needed)} of memory and this machine has {bytes_(memory())}."
        )
    kept = {name: entry for name, entry in header.tensors.items() if not name.startswith((OPTIMIZER_PREFIX, ROLLBACK_PREFIX))}
    held = {name.removeprefix(MODEL_PREFIX): place for name, place in kept.items()}
    shapes = {weight.name: weight.shape for weight in inventory(config) if weight.tied_to is None}
    for name in (*shapes, *held):
        found, expected = held.get(name), shapes.get(name)
        if found is None or found.shape != expected:
            problem = f"has {_describe_shape(found.shape)}" if found else "is missing"
            problem += f" where the model has {_describe_shape(expected)}" if expected else ", which the model lacks"
            raise UserError(
                f"{path} does not fit the model of {run.name}: {shortened(name)} {problem}; was its config.json changed?"
            )
        if found.dtype not in FLOATS:
            raise DamagedFileError(path, f"holds {name} as {found.dtype}, which is no floating-point type")
    total = max((entry.data_offsets[1] for entry in header.tensors.values()), default=0)
    if total > MOST_COPIES * needed + OTHER_BYTES:
        raise DamagedFileError(path, f"holds {bytes_(total)}, far more than the training of a model of {bytes_(needed)} keeps")


def write_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors of any device to a safetensors file, unless one holds NaN or infinity (NotFiniteError)."""
    raw = {}
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        if not bool(torch.isfinite(value).all()):
            raise NotFiniteError(name)
        data = value.reshape(-1).view(torch.uint8).numpy().data
        raw[name] = RawTensor(DTYPES[value.dtype], tuple(value.shape), data)
    write_tensors(path, raw, {"format": "pt"} | metadata)


def read_weights(path: Path, without: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Read the tensors of a checked file, but those whose names begin with one of `without`.
    Raises DamagedFileError if a tensor holds NaN or infinity."""
    try:
        with opened_by_name(path) as name_of_file, safe_open(name_of_file, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys() if not name.startswith(without)}  # noqa: SIM118
    except SafetensorError as error:  # replaced since it was checked
        raise DamagedFileError(path, f"cannot be read ({error})") from error
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise DamagedFileError(path, f"holds NaN or infinity in {name}")
    return tensors


def tensors_under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _describe_shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape) + " numbers"


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
    kept = state if step == 0 else {name: weight.to(torch.bfloat16) for name, weight in state.items()}
    write_weights(temporary, kept, {"step": str(step)})
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
