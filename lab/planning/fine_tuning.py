"""Training that begins with the weights of another run: its shape and tokenizer, and settings for trained weights. No torch."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from lab.core.errors import UserError
from lab.core.number_format import counted, whole
from lab.core.safetensors_file import RawTensor, check_whole, opened_with_header, read_header, write_tensors
from lab.planning.default_hyperparameters import FINE_TUNING_OPTIMIZER, default_lr, fine_tuning_lr
from lab.planning.settings_table import RunRequest, SettingError
from lab.runs.run_folder import Run
from lab.runs.run_schema import TokenizerConfig
from lab.runs.schema_parts import StartConfig
from models.config import ModelConfig, OptimizerName

FIXED_SHAPE = ("layers", "heads", "width")
POSITIONS = "wpe.weight"
WEIGHTS = "best.safetensors"


@dataclass(frozen=True)
class BaseRun:
    """A run that another can begin with, as far as it must be known to plan the other."""

    name: str
    path: Path
    step: int
    """Step of its best weights."""
    model: ModelConfig
    tokenizer: TokenizerConfig


def base_run(run: Run) -> BaseRun:
    """The run as the base of another.

    Raises:
        UserError: if its settings cannot be read, or it has no weights.
        DamagedFileError: if the header of its weights is damaged.
    """
    config = run.config
    try:
        step = read_header(run.path / WEIGHTS).step
    except FileNotFoundError as error:
        raise UserError(_no_weights(run.name)) from error
    return BaseRun(run.name, run.path, step, config.model, config.tokenizer)


def fine_tuning_reasons(request: RunRequest, base: BaseRun) -> dict[str, str]:
    """The reason for each setting that follows from the base, by the setting's name, where the user has not chosen it."""
    fixed = dict.fromkeys((*FIXED_SHAPE, "vocab", "tokenizer", "preset"), f"that of {base.name}, whose weights fit no other")
    own = {
        "context": f"that of {base.name}; a shorter one leaves its last positions out",
        "lr": "a tenth of the usual for this width and optimizer, so that the weights keep what they hold",
    }
    return fixed | {name: reason for name, reason in own.items() if getattr(request, name) is None}


def fine_tuning_facts(base: BaseRun, optimizer: OptimizerName, lr: float, *, is_default_lr: bool) -> tuple[tuple[str, str], ...]:
    """Lines of a plan on the weights that it begins with, each with its label."""
    rate = f"{optimizer}{', the usual choice' if optimizer == FINE_TUNING_OPTIMIZER else ''}, learning rate up to {lr:g}"
    if is_default_lr:
        usual = default_lr(base.model.width, optimizer)
        rate += f": a tenth of the {usual:g} for random weights, so that the weights keep what they hold"
    return (
        ("begins with", f"{base.name}'s best weights (step {whole(base.step)}), its shape and tokenizer"),
        ("fine-tuning", rate),
    )


def fine_tuning_request(request: RunRequest, base: Run | BaseRun) -> RunRequest:
    """The request with the shape and tokenizer of `base`, and with AdamW at a low learning rate where none was asked for.

    A shorter context may be asked for: the model is then without its last positions.
    Raises SettingError if it asks for another shape or vocabulary, or a longer context.
    """
    config = base.config if isinstance(base, Run) else base
    model, tokenizer = config.model, config.tokenizer
    for name in (*FIXED_SHAPE, "vocab"):
        asked, has = getattr(request, name), tokenizer.vocab_size if name == "vocab" else getattr(model, name)
        if asked is not None and asked != has:
            is_size = name in ("width", "vocab")
            held = f"a {'vocabulary' if name == 'vocab' else name} of {whole(has)}" if is_size else counted(has, name[:-1])
            raise SettingError(name, f"{base.name} has {held}, and its weights fit no other: leave out --{name}.")
    if request.context is not None and request.context > model.context:
        raise SettingError("context", f"{base.name} has a context of {model.context} tokens; choose at most as many.")
    optimizer = request.optimizer or FINE_TUNING_OPTIMIZER
    return msgspec.structs.replace(
        request,
        **{name: getattr(model, name) for name in FIXED_SHAPE},
        context=request.context or model.context,
        tokenizer=tokenizer.kind,
        vocab=tokenizer.vocab_size if tokenizer.kind == "bpe" else None,
        optimizer=optimizer,
        lr=fine_tuning_lr(model.width, optimizer) if request.lr is None else request.lr,
    )


def copy_start(base: Run, run: Run, context: int) -> StartConfig:
    """Copy the best weights of `base` into the new run, as its snapshot of step 0, from which the trainer begins.

    Raises:
        UserError: if there are none, or their file is damaged.
        OSError: as the system says.
    """
    import numpy as np

    source = base.path / WEIGHTS
    width = base.config.model.width
    try:
        check_whole(source)
        run.snapshots_path.mkdir(run.path.stat().st_mode & 0o777)
        with opened_with_header(source) as (file, header):
            step, begin = header.step, file.tell()
            data = np.memmap(file, np.uint8, "r")
            tensors = {}
            for name, entry in header.tensors.items():
                start, end = (begin + offset for offset in entry.data_offsets)
                shape = entry.shape
                if name == POSITIONS and len(shape) == 2 and shape[0] > context:
                    end -= (end - start) // shape[0] * (shape[0] - context)
                    shape = (context, width)
                tensors[name] = RawTensor(entry.dtype, shape, data[start:end].data)
            if broken := next((name for name, tensor in tensors.items() if not tensor.is_finite), ""):
                raise UserError(f"{base.name} cannot be begun with: its weights hold NaN or infinity, in {broken}.")
            write_tensors(run.snapshots_path / "00000000.safetensors", tensors, {"format": "pt", "step": "0"})
    except FileNotFoundError as error:
        raise UserError(_no_weights(base.name)) from error
    return StartConfig(base=base.name, base_step=step)


def _no_weights(name: str) -> str:
    return f"{name} has no weights to begin with: train it first."
