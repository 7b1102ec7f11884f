"""Weights on disk: what training goes on from, the best weights, snapshots, and loading a model from any of them.

`last.safetensors` holds weights, optimizer state and the place in training in ONE file, so that one rename is one checkpoint;
`previous.safetensors` is the one before it. `best.safetensors` and `snapshots/` hold weights only. Each file carries a checksum.
No generator's state is kept: data order and dropout are functions of (seed, step).
"""

import errno
import os
import stat
import zlib
from pathlib import Path
from typing import Annotated

import msgspec
import torch
from msgspec import Meta
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.core.atomic_io import sync_folder, temporary_beside
from lab.core.bounded_json import LARGEST_CONFIG
from lab.core.errors import DamagedFileError, UserError
from lab.core.limits import LIMITS, quoted, shortened
from lab.core.machine import memory
from lab.core.number_format import bytes_
from lab.core.safe_open import is_real_folder, opened_by_name, read_regular
from lab.core.safetensors_file import FLOATS, Header, RawTensor, check_whole, read_header, write_tensors
from lab.runs.run_folder import Run
from lab.runs.run_schema import Metric, PartUpdate
from lab.training.spike_detector import SpikeDetector
from models.config import AttentionKernel, Precision
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

NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
"""What file systems without hard links answer, exFAT and some network ones among them."""

SNAPSHOT_BYTES = 64 << 20
"""Room for all snapshots of a run. Beyond it those are dropped whose neighbours are nearest, the first and the newest never."""

MODEL, OPTIMIZER, GOOD = "model.", "optimizer.", "good."
CURSOR = "cursor"

MOST_COPIES = 8
"""Times the weights that a checkpoint holds at most: they and two of the optimizer's, each also of the good state, and room."""
SMALL_CHANGE = 1 << 20
"""Bytes beside that, for the optimizer's counters."""


class NotFiniteError(Exception):
    """Weights or optimizer state hold NaN or infinity, which no file may."""


class TrainerState(msgspec.Struct, kw_only=True):
    """Where training stands, beside weights and optimizer state."""

    step: Annotated[int, Meta(ge=0, le=int(LIMITS["steps"].most))] = 0
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    step_seconds: Annotated[float, Meta(ge=0)] = 0.0
    """How long the latest step took: in a run by minutes the next one's learning rate is for the moment at which it is done."""
    precision: Precision
    """As chosen when the run began, so that it ends in the same arithmetic."""
    attention: AttentionKernel = "auto"
    """As chosen when the run began; so are `threads`."""
    threads: Annotated[int, Meta(ge=0, le=int(LIMITS["threads"].most))] = 0
    """Chosen when the run began, for the order in which numbers are added depends on them; 0 in runs from before."""
    threads_now: Annotated[int, Meta(ge=0, le=int(LIMITS["threads"].most))] = 0
    """In use; fewer than `threads` while others keep the cores busy."""
    computed: str = ""
    """How steps are computed and why, in words."""
    best_val_loss: float | None = None
    best_step: int | None = None
    no_better: int = 0
    """Evaluations in a row up to now without a new lowest validation loss."""
    pending: Metric | None = None
    """The step's line of metrics.jsonl while its evaluation is still to be made."""
    pending_parts: list[PartUpdate] = []
    """What that step changed, for its line of insights.jsonl."""
    parts: Annotated[int, Meta(**LIMITS["accumulate"].meta(whole=True))] | None = None
    """Micro-batches of a step, where memory made them more than was asked for."""
    watch: SpikeDetector = msgspec.field(default_factory=SpikeDetector)
    rate_factor: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """What the schedule's learning rate is multiplied by: halved each time that training goes back."""
    halvings: int = 0
    """Times in a row that it went back without a good stretch in between."""
    went_back_at: int | None = None
    """The step at which it last went back."""
    good_step: int | None = None
    """The step of the good state that the file holds beside the present one, if it holds one."""
    good_losses: list[float] = []
    settings: str = ""
    """Checksum of config.json when this was saved; empty in checkpoints made before it was kept."""


class Resumed(msgspec.Struct):
    cursor: TrainerState
    note: str = ""
    """A sentence if the newest checkpoint could not be used."""
    good: dict[str, Tensor] = {}
    """The tensors of the good state that the file held beside the present one."""


def save_training(
    run: Run, model: nn.Module, optimizer: Optimizer, cursor: TrainerState, good: dict[str, Tensor] | None = None
) -> None:
    """Makes the present state the last checkpoint, and what was the last the previous. At no instant is there no good file.

    `good` are tensors of an earlier state, to be kept in the same file.

    Raises:
        OSError: as the system says; last and previous are then as they were.
        NotFiniteError: if a weight is no number.
    """
    cursor.settings = settings_checksum(run)
    tensors = {MODEL + name: weight for name, weight in model.state_dict().items()}
    tensors |= {OPTIMIZER + name: value for name, value in optimizer_tensors(model, optimizer).items()}
    tensors |= {GOOD + name: value for name, value in (good or {}).items()}
    last, previous = run.path / "last.safetensors", run.path / "previous.safetensors"
    temporary = temporary_beside(last)
    _write(temporary, tensors, {"step": str(cursor.step), "cursor": msgspec.json.encode(cursor).decode()})
    try:
        if os.path.lexists(last):
            _become(last, previous)
    except OSError:
        temporary.unlink()
        raise
    os.replace(temporary, last)
    sync_folder(run.path)


def _become(last: Path, previous: Path) -> None:
    """Gives `last` the name `previous` as well, where the file system allows; else it changes its name."""
    link = temporary_beside(previous)
    try:
        link.unlink(missing_ok=True)
        os.link(last, link)
        os.replace(link, previous)
        link.unlink(missing_ok=True)  # renaming one link over another of the same file leaves both
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        os.replace(last, previous)


def load_training(run: Run, model: nn.Module, optimizer: Optimizer) -> Resumed | None:
    """Puts the last good checkpoint into model and optimizer, which are untouched if there is none yet (None).

    A damaged last checkpoint is put aside as damaged.safetensors, so that the next save does not make it the previous one.

    Raises:
        UserError: if there are checkpoints but none can be read.
    """
    last, previous = run.path / "last.safetensors", run.path / "previous.safetensors"
    reasons = []
    for path in (last, previous):
        try:
            cursor, tensors = read_training(run, path, same_settings=True)
        except FileNotFoundError:
            continue
        except DamagedFileError as error:
            reasons.append(f"{path.name} {error.reason}")
            continue
        put_training(run, path, model, optimizer, tensors)
        if path is last or not os.path.lexists(last):
            return Resumed(cursor, good=_under(GOOD, tensors))
        os.replace(last, run.path / "damaged.safetensors")
        return Resumed(
            cursor,
            f"last.safetensors is damaged, so training went on from the checkpoint before it, of step {cursor.step}.",
            _under(GOOD, tensors),
        )
    if reasons:
        raise UserError(f"{run.name} cannot go on: {' and '.join(reasons)}; start a new run, or put a good copy into {run.path}.")
    return None


def load_previous(run: Run, model: nn.Module, optimizer: Optimizer) -> TrainerState | None:
    """Puts the checkpoint before the last into model and optimizer, and gives its cursor; None where none can be read."""
    path = run.path / "previous.safetensors"
    try:
        cursor, tensors = read_training(run, path, without=(GOOD,))
    except (FileNotFoundError, DamagedFileError):
        return None
    put_training(run, path, model, optimizer, tensors)
    return cursor


def read_training(
    run: Run, path: Path, without: tuple[str, ...] = (), *, same_settings: bool = False
) -> tuple[TrainerState, dict[str, Tensor]]:
    """A checkpoint that training goes on from: its place in training, and all its tensors but those `without`.

    With `same_settings` it must have been saved under the run's config.json as it is now.

    Raises:
        FileNotFoundError: if there is none.
        DamagedFileError: if its bytes are not those that were written, with what is wrong.
        UserError: if it does not fit the run's model.
    """
    header = read_header(path)
    if CURSOR not in header.metadata:
        raise DamagedFileError(path, "holds no place in training, so that training cannot go on from it")
    try:
        cursor = msgspec.json.decode(header.metadata[CURSOR], type=TrainerState)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DamagedFileError(path, f"says nothing that can be read of its place in training ({error})") from error
    if same_settings and cursor.settings and cursor.settings != settings_checksum(run):
        raise UserError(
            f"The config.json of {run.name} is not what it was at its last checkpoint, so that training would not go on "
            "as it began; put it back as it was, or start a new run."
        )
    _check_fits(run, path, header)
    check_whole(path)
    return cursor, _read(path, without)


def put_training(run: Run, path: Path, model: nn.Module, optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Puts the tensors of a checkpoint into model and optimizer.

    Raises:
        UserError: if they do not fit them.
    """
    try:
        model.load_state_dict(_under(MODEL, tensors))
        load_optimizer(model, optimizer, _under(OPTIMIZER, tensors))
    except (KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} does not fit the model of {run.name}; was its config.json changed?") from error


def settings_checksum(run: Run) -> str:
    """CRC-32 of config.json but for the run's name, in hexadecimal digits."""
    said = msgspec.json.decode(read_regular(run.path / "config.json", LARGEST_CONFIG), type=dict[str, msgspec.Raw])
    rest = [(name, bytes(value)) for name, value in sorted(said.items()) if name != "name"]
    return f"{zlib.crc32(repr(rest).encode()):08x}"


def optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as flat names, such as `exp_avg.h.0.attn.c_attn.weight`. Empty before the first step."""
    return {
        f"{key}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, weight in model.named_parameters()
        for key, value in optimizer.state.get(weight, {}).items()
    }


def load_optimizer(model: nn.Module, optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`, into an optimizer just made for the same model.

    Raises:
        KeyError, ValueError: if the tensors are those of another model.
    """
    names = {id(weight): name for name, weight in model.named_parameters()}
    weights = {names[id(weight)]: weight for group in optimizer.param_groups for weight in group["params"]}
    order = list(weights)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        key, _, weight_name = name.partition(".")
        if value.dim() and value.shape != weights[weight_name].shape:
            raise ValueError(f"{name} has the shape {tuple(value.shape)}, unlike its weight.")
        state.setdefault(order.index(weight_name), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def save_best(run: Run, model: nn.Module, step: int, val_loss: float) -> None:
    """Replaces best.safetensors. Raises what `save_training` does."""
    best = run.path / "best.safetensors"
    temporary = temporary_beside(best)
    _write(temporary, model.state_dict(), {"step": str(step), "val_loss": repr(val_loss)})
    os.replace(temporary, best)
    sync_folder(run.path)


def best_so_far(run: Run) -> tuple[float, int] | None:
    """Validation loss and step of best.safetensors, if it is there and whole."""
    try:
        header = check_whole(run.path / "best.safetensors")
    except (FileNotFoundError, DamagedFileError):
        return None
    return (float(header.metadata["val_loss"]), header.step) if "val_loss" in header.metadata else None


def save_snapshot(run: Run, model: nn.Module, step: int) -> None:
    """Keeps the weights of this step for looking back: the initial ones in fp32, later ones in bf16.

    Raises what `save_training` does.
    """
    run.snapshots_path.mkdir(stat.S_IMODE(run.path.stat().st_mode), exist_ok=True)
    if not is_real_folder(run.snapshots_path):
        raise DamagedFileError(run.snapshots_path, "is a link, not a folder")
    path = run.snapshots_path / f"{step:08d}.safetensors"
    temporary = temporary_beside(path)
    state = model.state_dict()
    _write(
        temporary,
        state if step == 0 else {name: weight.to(torch.bfloat16) for name, weight in state.items()},
        {"step": str(step)},
    )
    os.replace(temporary, path)
    thin_snapshots(run)


def initial_weight(run: Run, name: str) -> Tensor | None:
    """One weight of the snapshot of step 0, without reading the others; None where there is no such snapshot that is whole."""
    first = next((file.path for file in run.snapshots() if file.step == 0), None)
    if first is None:
        return None
    try:
        _check_fits(run, first, check_whole(first))
    except (FileNotFoundError, UserError):
        return None
    with opened_by_name(first) as name_of_file, safe_open(name_of_file, framework="pt") as file:
        weight: Tensor = file.get_tensor(name)
    return weight


def thin_snapshots(run: Run) -> None:
    """Drops snapshots until the rest fit into `SNAPSHOT_BYTES`: always the one whose neighbours' steps are nearest by ratio."""
    files = run.snapshots()
    while len(files) > 2 and sum(file.bytes for file in files) > SNAPSHOT_BYTES:
        inner = range(1, len(files) - 1)
        nearest = min(inner, key=lambda i: (files[i + 1].step + 1) / (files[i - 1].step + 1))
        files.pop(nearest).path.unlink(missing_ok=True)


def drop_snapshots_after(run: Run, step: int) -> None:
    """Removes snapshots of steps that training is about to take again."""
    for file in run.snapshots():
        if file.step > step:
            file.path.unlink(missing_ok=True)


def load_model(run: Run, which: str = "best", device: str = "cpu") -> tuple[GPT, int]:
    """A model in fp32 and evaluation mode, and the step its weights are of.

    `which` is "best", "last", "previous" or a snapshot's step in decimal digits. Where best or last is missing or damaged another
    good one is taken: last, then previous for best; previous, then best for last.

    Raises:
        UserError: if no file of weights can be used.
    """
    candidates = {"best": ("best", "last", "previous"), "last": ("last", "previous", "best"), "previous": ("previous",)}.get(
        which
    )
    if candidates:
        paths = [run.path / f"{name}.safetensors" for name in candidates]
    else:
        paths = [file.path for file in run.snapshots() if which.isdecimal() and which.lstrip("0") == file.name.lstrip("0")]
        if not paths:
            steps = ", ".join(file.name for file in run.snapshots()) or "none"
            raise UserError(
                f"{run.name} has no checkpoint called {quoted(which)}; there are best and last, and snapshots of steps: {steps}."
            )
    reasons = []
    for path in paths:
        try:
            return _model_of(run, path, device)
        except FileNotFoundError:
            continue
        except DamagedFileError as error:
            reasons.append(f"{path.name} {error.reason}")
    if reasons:
        raise UserError(f"{run.name} cannot be opened: {' and '.join(reasons)}.")
    raise UserError(f"{run.name} has no weights yet: train it for a moment first.")


def _model_of(run: Run, path: Path, device: str) -> tuple[GPT, int]:
    header = read_header(path)
    _check_fits(run, path, header)
    check_whole(path)
    tensors = _read(path, without=(OPTIMIZER, GOOD))
    model = GPT(run.config.model, seed=None)
    model.load_state_dict(_under(MODEL, tensors) or tensors)
    return model.to(device).eval(), header.step


def _check_fits(run: Run, path: Path, header: Header) -> None:
    """Does nothing if the file holds the weights of the run's model, and the machine has room for them. Allocates nothing.

    Raises:
        DamagedFileError: if a weight is no fraction, or there is far more in the file than training keeps.
        UserError: if they are those of another model, or too large.
    """
    config = run.config.model
    needed = BYTES * parameter_count(config)
    if needed > memory():
        raise UserError(
            f"{run.name} cannot be opened: its model needs {bytes_(needed)} of memory and this machine has {bytes_(memory())}."
        )
    kept = {name: place for name, place in header.tensors.items() if not name.startswith((OPTIMIZER, GOOD))}
    held = {name.removeprefix(MODEL): place for name, place in kept.items()}
    shapes = {weight.name: weight.shape for weight in inventory(config) if weight.tied_to is None}
    for name in (*shapes, *held):
        there, wanted = held.get(name), shapes.get(name)
        if there is None or there.shape != wanted:
            problem = f"has {_in_words(there.shape)}" if there else "is missing"
            problem += f" where the model has {_in_words(wanted)}" if wanted else ", which the model has not"
            raise UserError(
                f"{path} does not fit the model of {run.name}: {shortened(name)} {problem}; was its config.json changed?"
            )
        if there.dtype not in FLOATS:
            raise DamagedFileError(path, f"holds {name} as {there.dtype}, which no weights are")
    total = max((place.data_offsets[1] for place in header.tensors.values()), default=0)
    if total > MOST_COPIES * needed + SMALL_CHANGE:
        raise DamagedFileError(path, f"holds {bytes_(total)}, far more than the training of a model of {bytes_(needed)} keeps")


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    raw = {}
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        if not bool(torch.isfinite(value).all()):
            raise NotFiniteError(name)
        data = value.reshape(-1).view(torch.uint8).numpy().data
        raw[name] = RawTensor(DTYPES[value.dtype], tuple(value.shape), data)
    write_tensors(path, raw, {"format": "pt"} | metadata)


def _in_words(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape) + " numbers"


def _read(path: Path, without: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The tensors of a file that was checked, but for those whose names begin so. Raises: DamagedFileError, for a NaN."""
    try:
        with opened_by_name(path) as name_of_file, safe_open(name_of_file, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys() if not name.startswith(without)}  # noqa: SIM118
    except SafetensorError as error:  # replaced since it was checked
        raise DamagedFileError(path, f"cannot be read ({error})") from error
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise DamagedFileError(path, f"holds NaN or infinity in {name}")
    return tensors


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
