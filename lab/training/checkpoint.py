"""Checkpoints of a training run: save and load weights, optimizer state and trainer state.

`last.safetensors` holds all of them in ONE file, so that one rename is one checkpoint; `previous.safetensors` is the checkpoint
before it. No generator's state is kept: data order and dropout are functions of (seed, step).
"""

import errno
import os
import zlib
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.core.atomic_io import sync_folder, temporary_beside
from lab.core.errors import DamagedFileError, UserError
from lab.core.safe_open import LARGEST_CONFIG, read_regular
from lab.core.safetensors_file import check_whole, read_header
from lab.runs.run_folder import Run
from lab.runs.weights_file import (
    MODEL_PREFIX,
    OPTIMIZER_PREFIX,
    ROLLBACK_PREFIX,
    check_fits,
    read_weights,
    tensors_under,
    write_weights,
)
from lab.training.trainer_state import TrainerState

NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
"""Errors of file systems without hard links, exFAT and some network ones among them."""

STATE_KEY = "cursor"
"""Metadata key of the trainer state in the file."""


@runtime_checkable
class ShardedState(Protocol):
    """A sharded optimizer: each rank has the state of some weights."""

    optim: Optimizer
    """The one for this rank's weights."""

    def gather_tensors(self) -> dict[str, Tensor]:
        """The state of all weights, as `optimizer_tensors` returns it. All ranks take part."""

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Load this rank's part of the state of all weights."""


class LoadedCheckpoint(msgspec.Struct):
    """Trainer state of a checkpoint that was put into model and optimizer."""

    state: TrainerState
    note: str
    """A sentence if the newest checkpoint could not be used."""
    rollback_tensors: dict[str, Tensor]
    """Tensors of the rollback state that the file held beside the present one."""


def save_checkpoint(
    run: Run, model: nn.Module, optimizer: Optimizer, state: TrainerState, rollback_tensors: dict[str, Tensor] | None = None
) -> None:
    """Save last.safetensors; the last checkpoint becomes previous.safetensors. At every instant one of them is intact.

    Raises:
        OSError: as the system says; last and previous are then as they were.
        NotFiniteError: if a tensor holds NaN or infinity.
    """
    state = msgspec.structs.replace(state, config_checksum=config_checksum(run))
    tensors = named_tensors(model, optimizer_tensors(model, optimizer))
    tensors |= {ROLLBACK_PREFIX + name: value for name, value in (rollback_tensors or {}).items()}
    last, previous = run.path / "last.safetensors", run.path / "previous.safetensors"
    temporary = temporary_beside(last)
    write_weights(temporary, tensors, {"step": str(state.step), STATE_KEY: msgspec.json.encode(state).decode()})
    try:
        if os.path.lexists(last):
            # Give `last` the name `previous` as well, by a hard link; rename it where the file system has none.
            link = temporary_beside(previous)
            try:
                os.link(last, link)
                os.replace(link, previous)
            except OSError as error:
                if error.errno not in NO_HARD_LINKS:
                    raise
                os.replace(last, previous)
            finally:
                link.unlink(missing_ok=True)  # renaming one link over another of the same file leaves both
    except OSError:
        temporary.unlink()
        raise
    os.replace(temporary, last)
    sync_folder(run.path)


def load_checkpoint(run: Run, model: nn.Module, optimizer: Optimizer) -> LoadedCheckpoint | None:
    """Load the last good checkpoint into model and optimizer, which are untouched if there is none yet (None).

    A damaged last checkpoint is put aside as damaged.safetensors, so that the next save does not make it the previous one.

    Raises:
        UserError: if there are checkpoints but none can be read.
    """
    last, previous = run.path / "last.safetensors", run.path / "previous.safetensors"
    reasons = []
    for path in (last, previous):
        try:
            state, tensors = read_checkpoint(run, path, check_config=True)
        except FileNotFoundError:
            continue
        except DamagedFileError as error:
            reasons.append(f"{path.name} {error.reason}")
            continue
        load_tensors(run, path, model, optimizer, tensors)
        note = ""
        if path is previous and os.path.lexists(last):
            os.replace(last, run.path / "damaged.safetensors")
            note = f"last.safetensors is damaged, so training resumed from the checkpoint before it, of step {state.step}."
        return LoadedCheckpoint(state, note, tensors_under(ROLLBACK_PREFIX, tensors))
    if reasons:
        raise UserError(
            f"{run.name} cannot be resumed: {' and '.join(reasons)}; start a new run, or put a good copy into {run.path}."
        )
    return None


def load_readable(
    run: Run, model: nn.Module, optimizer: Optimizer, names: tuple[str, ...] = ("last", "previous")
) -> tuple[TrainerState, str] | None:
    """Load the first of these checkpoints that can be read into model and optimizer; return its state and name, or None."""
    for name in names:
        path = run.path / f"{name}.safetensors"
        try:
            state, tensors = read_checkpoint(run, path, without=(ROLLBACK_PREFIX,))
        except (FileNotFoundError, DamagedFileError):
            continue
        load_tensors(run, path, model, optimizer, tensors)
        return state, name
    return None


def read_checkpoint(
    run: Run, path: Path, without: tuple[str, ...] = (), *, check_config: bool = False
) -> tuple[TrainerState, dict[str, Tensor]]:
    """Read and check a checkpoint: trainer state, and all tensors but those whose names begin with one of `without`.

    With `check_config` it must have been saved under the run's config.json as it is now.

    Raises:
        FileNotFoundError: if there is none.
        DamagedFileError: if its bytes are not those that were written, with what is wrong.
        UserError: if it does not fit the run's model.
    """
    header = read_header(path)
    if STATE_KEY not in header.metadata:
        raise DamagedFileError(path, "holds no trainer state, so that training cannot resume from it")
    try:
        state = msgspec.json.decode(header.metadata[STATE_KEY], type=TrainerState)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DamagedFileError(path, f"holds a trainer state that cannot be read ({error})") from error
    if check_config and state.config_checksum and state.config_checksum != config_checksum(run):
        raise UserError(
            f"The config.json of {run.name} has changed since its last checkpoint, so that the run cannot be resumed; "
            "restore it, or start a new run."
        )
    check_fits(run, path, header)
    check_whole(path)
    return state, read_weights(path, without)


def load_tensors(run: Run, path: Path, model: nn.Module, optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load the tensors of a checkpoint into model and optimizer. Raises UserError if they do not fit them."""
    try:
        model.load_state_dict(tensors_under(MODEL_PREFIX, tensors))
        load_optimizer(model, optimizer, tensors_under(OPTIMIZER_PREFIX, tensors))
    except (KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} does not fit the model of {run.name}; was its config.json changed?") from error


def config_checksum(run: Run) -> str:
    """CRC-32 of config.json without the run's name, in hexadecimal digits."""
    settings = msgspec.json.decode(read_regular(run.path / "config.json", LARGEST_CONFIG), type=dict[str, msgspec.Raw])
    rest = [(name, bytes(value)) for name, value in sorted(settings.items()) if name != "name"]
    return f"{zlib.crc32(repr(rest).encode()):08x}"


def optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Optimizer state under flat names, such as `exp_avg.h.0.attn.c_attn.weight`. Empty before the first step."""
    if isinstance(optimizer, ShardedState):
        return optimizer.gather_tensors()
    return {
        f"{key}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, weight in model.named_parameters()
        for key, value in optimizer.state.get(weight, {}).items()
    }


def named_tensors(model: nn.Module, of_optimizer: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's weights and these `optimizer_tensors` by their names in a checkpoint."""
    tensors = {MODEL_PREFIX + name: weight for name, weight in model.state_dict().items()}
    return tensors | {OPTIMIZER_PREFIX + name: value for name, value in of_optimizer.items()}


def load_optimizer(model: nn.Module, optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load what `optimizer_tensors` returned into an optimizer just made for the same model.

    Raises:
        KeyError, ValueError: if the tensors are those of another model.
    """
    if isinstance(optimizer, ShardedState):
        optimizer.load_tensors(tensors)
        return
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
