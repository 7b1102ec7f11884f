"""What a user asks a run to be, checked as far as that can be done without the text. Imports nothing heavy."""

from pathlib import Path

import msgspec

from lab.core.errors import UserError
from lab.core.limits import LIMITS, SMALLEST_VOCABULARY, quoted
from lab.core.limits import VOCABULARY as VOCABULARY_LIMIT
from lab.core.machine import cores, gpu, memory, trains_on_gpu
from lab.core.number_format import bytes_
from lab.planning.device import check_device
from lab.runs.home_folder import home
from lab.runs.run_names import check_name
from lab.runs.run_schema import PrecisionSetting, TrainConfig
from models.config import DEFAULT_PRESET, PRESETS, AttentionKernel, ConfigError, ModelConfig, OptimizerName
from models.lr_schedule import Schedule
from models.parameter_count import BYTES, flops_per_token, parameter_count
from models.tokenizers.tokenizer_kinds import FIXED_VOCABULARY_SIZES, TokenizerKind

VOCABULARY = {"nano": 512, "micro": 1024, "mini": 2048, "small": 4096, "medium": 8192, "gpt2": 16384}
"""How many tokens BPE learns for a preset, so that the embedding is no more than about a third of the weights."""

BYTES_PER_TOKEN = 100
"""A vocabulary learned by default has one token for so many bytes of text at most: rarer merges would hardly be trained."""

SMALL_TEXT = 0.01
"""Training tokens per parameter below which a model memorizes its text before it has learned much from it. The compute-optimal
ratio is near 20 (Hoffmann et al. 2022)."""
MANY_EPOCHS = 20
"""From about so many times through the same text a model without dropout learns it by heart (Muennighoff et al. 2023)."""
MANY_FOR_A_LARGE_MODEL = 8
"""The same where the model has more weights than the text has tokens. Measured with micro on tinyshakespeare, 9 epochs: 2.21 bits
per byte at the end without dropout, 2.17 with it."""
DROPOUT = 0.1
"""Against that. Measured with nano on 60 kB, the lowest validation loss without, with 0.1 and with 0.2: python's manual, 5 epochs
3.82, 3.87, 3.94; 21 epochs 3.74, 3.73, 3.85; 52 epochs 3.76, 3.68, 3.73; stories, 7 epochs 0.95, 1.31, 1.58; 27 epochs 0.62,
0.55, 0.65; 67 epochs 0.63, 0.49, 0.56."""
QUICK_FLOPS_PER_CORE = 1e11
"""Floating-point operations a second that training reaches on a quick core. By them it is guessed how often a run by minutes goes
through its text: rather too often, for dropout that was not needed does less harm than learning by heart."""
QUICK_FLOPS_PER_GPU = 2e14
"""The same on a quick GPU."""
QUICKEST_GPU_STEP = 2e-3
"""Seconds that a step takes on a GPU at the least, however small: starting some hundred kernels takes that long."""

WIDEST = 1 << 30

TRAINED_COPIES = 3
"""Numbers kept for each weight while it is trained, at the least: itself, its gradient, and Muon's momentum (AdamW keeps two)."""

LEARNING_RATES = {
    "muon": ((64, 1.6e-2), (192, 8e-3), (384, 5e-3), (512, 3e-3), (WIDEST, 2e-3)),
    "adamw": ((192, 3e-3), (384, 1e-3), (WIDEST, 6e-4)),
}
"""Peak learning rates by width, up to and including it, as found by `lab.bench.optimizer_sweep`; AdamW's for the widest is
nanoGPT's."""
FEWEST_WINDOWS, FEWEST_TOKENS = 16, 2048
"""Of a step: with fewer tokens its fixed costs, Muon's among them, are a large part of its time."""
DEFAULT_OPTIMIZER: OptimizerName = "muon"
"""It won at equal time on every text and seed that was tried: lab/bench/optimizer_sweep.md."""


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asks for. None stands for the preset's value, or the default."""

    text: str
    """A path, "-" for standard input, or a built-in text's name."""
    name: str | None = None
    preset: str = DEFAULT_PRESET
    tokenizer: TokenizerKind = "bpe"
    vocab: int | None = None
    encoding: str | None = None
    layers: int | None = None
    heads: int | None = None
    width: int | None = None
    context: int | None = None
    dropout: float | None = None
    batch: int | None = None
    accumulate: int | None = None
    steps: int | None = None
    minutes: float | None = None
    optimizer: OptimizerName | None = None
    lr: float | None = None
    schedule: Schedule | None = None
    final_lr: float | None = None
    warmup: float | None = None
    weight_decay: float | None = None
    beta1: float | None = None
    beta2: float | None = None
    clip: float | None = None
    seed: int | None = None
    device: str | None = None
    threads: int | None = None
    precision: PrecisionSetting | None = None
    attention: AttentionKernel | None = None
    eval_every: int | None = None
    patience: int | None = None
    prompts: tuple[str, ...] = ()
    sample_tokens: int | None = None
    home: Path | None = None
    steps_by_machine: bool = False
    """Whether a run without steps or minutes is as long as `lab.planning.default_length` says after timing a step; else it
    takes 2,000."""


def check_settings(request: RunRequest) -> None:
    """Does nothing if everything that can be known without the text is in order.

    Raises:
        UserError: otherwise, about the first thing that is not.
    """
    if request.name is not None:
        where = request.home or home()
        if (where / check_name(request.name)).exists():
            raise UserError(f"There is a run called {request.name} already; choose another name.")
    if request.preset not in PRESETS:
        raise UserError(f"There is no preset called {request.preset!r}; choose one of {', '.join(PRESETS)}.")
    if request.steps is not None and request.minutes is not None:
        raise UserError("Training ends after a number of steps or of minutes; give only one of them.")
    _check_numbers(request)
    if request.vocab is not None and request.tokenizer == "bpe":
        if request.vocab < SMALLEST_VOCABULARY:
            raise UserError(f"A bpe vocabulary holds the 256 bytes and at least one merge, so {request.vocab} is too small.")
        if problem := VOCABULARY_LIMIT.problem(request.vocab):
            raise UserError(f"vocab must {problem}, not {request.vocab}.")
    fixed = FIXED_VOCABULARY_SIZES.get(request.tokenizer)
    if fixed and request.vocab not in (None, fixed):
        raise UserError(
            f"The {request.tokenizer} tokenizer has {fixed} tokens, whatever the text; only bpe can have {request.vocab}."
        )
    train_config(request, smallest_model(request))
    for prompt in request.prompts:
        if any("\ud800" <= character <= "\udfff" for character in prompt):
            raise UserError(f"The prompt {quoted(prompt)} is not UTF-8; type it in a terminal that writes UTF-8.")
    check_device("auto" if request.device is None else request.device)


def check_memory(model: ModelConfig, device: str = "cpu") -> None:
    """Does nothing if the machine has room for the model while it is trained, whatever the batch is.

    That is its weights, their gradients and the optimizer's state; where a GPU can be used, only the weights pass through here.

    Raises:
        UserError: otherwise.
    """
    on_gpu = device.startswith(("cuda", "mps")) or (device == "auto" and gpu() is not None)
    needed = parameter_count(model) * BYTES * (1 if on_gpu else TRAINED_COPIES)
    if needed > memory():
        raise UserError(
            f"A model of {model.layers} layers and width {model.width:,} needs at least {bytes_(needed)} of memory to be trained "
            f"and this machine has {bytes_(memory())}; choose fewer layers, a smaller width, context or vocabulary."
        )


def _check_numbers(request: RunRequest) -> None:
    for name, limit in LIMITS.items():
        value = getattr(request, name, None)
        if value is not None and (problem := limit.problem(value)):
            raise UserError(f"{name.replace('_', ' ')} must {problem}, not {value}.")


def smallest_model(request: RunRequest) -> ModelConfig:
    """The model that is asked for, with the smallest vocabulary that it can have. Raises what `shape` raises."""
    return shape(request, FIXED_VOCABULARY_SIZES.get(request.tokenizer) or request.vocab or SMALLEST_VOCABULARY)


def shape(request: RunRequest, vocab_size: int) -> ModelConfig:
    """The model that is asked for.

    Raises:
        UserError: if there can be no such model.
    """
    changes = {name: getattr(request, name) for name in ("layers", "heads", "width", "context", "dropout")}
    try:
        return PRESETS[request.preset].config(vocab_size, **changes)
    except ConfigError as error:
        raise UserError(str(error)) from error


def train_config(request: RunRequest, model: ModelConfig) -> TrainConfig:
    """The request's own settings, and defaults for the rest.

    Raises:
        UserError: if a step has fewer windows than parts.
    """
    asked = {name: getattr(request, name) for name in TrainConfig.__struct_fields__}
    given = {name: value for name, value in asked.items() if value is not None}
    if request.minutes is not None:
        given["steps"] = None
    optimizer = request.optimizer or DEFAULT_OPTIMIZER
    batch = max(FEWEST_WINDOWS, FEWEST_TOKENS // model.context)
    settings = {"optimizer": optimizer, "lr": default_rate(model.width, optimizer), "batch": batch} | given
    if request.accumulate is not None and request.accumulate > settings["batch"]:
        raise UserError(
            f"A batch of {settings['batch']} windows cannot be computed in {request.accumulate} parts; accumulate fewer."
        )
    return TrainConfig(**settings)


def default_rate(width: int, optimizer: OptimizerName) -> float:
    """The peak learning rate of a model of this width, unless another is asked for."""
    return next(lr for widest, lr in LEARNING_RATES[optimizer] if width <= widest)


def lower_rate(train: TrainConfig, width: int, factor: float) -> float:
    """The peak learning rate to advise after one that was too high, of which `factor` was left after halving it.

    Never more than half of what was left, and never above the default.
    """
    return min(train.lr * factor / 2, default_rate(width, train.optimizer))


def default_dropout(train: TrainConfig, model: ModelConfig, tokens: int) -> float:
    """Of a run that goes through its `tokens` of training text so often that it would learn them by heart; else none."""
    tokens_per_step = train.batch * model.context
    if train.steps is None:
        gpu_step = max(QUICKEST_GPU_STEP, tokens_per_step * flops_per_token(model) / QUICK_FLOPS_PER_GPU)
        core_step = tokens_per_step * flops_per_token(model) / (cores() * QUICK_FLOPS_PER_CORE)
        seen = 60 * (train.minutes or 0.0) * tokens_per_step / (gpu_step if trains_on_gpu(train.device) else core_step)
    else:
        seen = float(train.steps * tokens_per_step)
    return DROPOUT if seen > tokens * many_epochs(model, tokens) else 0.0


def many_epochs(model: ModelConfig, tokens: int) -> int:
    """From how many times through so many tokens on the model learns them by heart."""
    return MANY_EPOCHS if tokens >= parameter_count(model) else MANY_FOR_A_LARGE_MODEL


def default_vocabulary(preset: str, text_bytes: int) -> int:
    """How many tokens bpe learns unless it is told."""
    return max(SMALLEST_VOCABULARY, min(VOCABULARY[preset], 256 + text_bytes // BYTES_PER_TOKEN))
