"""Defaults of a run's settings: vocabulary, optimizer, learning rate, batch, dropout, length, each with its measurement."""

from lab.core.limits import SMALLEST_VOCABULARY
from lab.core.machine import Machine
from lab.core.number_format import significant
from lab.runs.run_schema import RunConfig, TrainConfig
from models.config import ModelConfig, OptimizerName
from models.parameter_count import flops_per_token, parameter_count

VOCABULARY_SIZES = {"nano": 512, "micro": 1024, "mini": 2048, "small": 4096, "medium": 8192, "gpt2": 16384}
"""Tokens that BPE learns for a preset, so that the embedding has no more than about a third of the parameters."""
BYTES_PER_TOKEN = 100
"""A default vocabulary has at most one token for so many bytes of text: rarer merges would hardly be trained."""

WIDEST = 1 << 30
LEARNING_RATES = {
    "muon": ((64, 1.6e-2), (192, 8e-3), (384, 5e-3), (512, 3e-3), (WIDEST, 2e-3)),
    "adamw": ((192, 3e-3), (384, 1e-3), (WIDEST, 6e-4)),
}
"""Peak learning rates by width, up to and including it: see tests/lab/planning/optimizer_sweep.md; AdamW's for the widest is
nanoGPT's."""
DEFAULT_OPTIMIZER: OptimizerName = "muon"
"""The lowest loss at equal time on every text and seed tried: tests/lab/planning/optimizer_sweep.md."""
FINE_TUNING_OPTIMIZER: OptimizerName = "adamw"
"""Of trained weights: those of GPT-2 come from Adam."""
FINE_TUNING_SHARE = 0.1
"""Peak learning rate for trained weights, as a share of that for initial ones, so that they do not lose what they hold. For
GPT-2's width that is 6e-5, near the 5e-5 of Hugging Face's `Trainer`; the demo's post-training measured it."""
FEWEST_WINDOWS, FEWEST_TOKENS = 16, 2048
"""Fewest tokens of a step: with fewer its fixed costs, Muon's among them, take a large part of its time."""

DROPOUT = 0.1
"""Dropout of a run that would memorize its text. Measured with nano on 60 kB, the lowest validation loss without, with 0.1 and
with 0.2: python's manual, 5 epochs 3.82, 3.87, 3.94; 21 epochs 3.74, 3.73, 3.85; 52 epochs 3.76, 3.68, 3.73; stories, 7 epochs
0.95, 1.31, 1.58; 27 epochs 0.62, 0.55, 0.65; 67 epochs 0.63, 0.49, 0.56."""
QUICK_FLOPS_PER_CORE = 1e11
"""FLOP/s that training reaches on a quick core. They give the epochs of a run by minutes, rather too many than too few, for
dropout that was not needed does less harm than memorization."""
QUICK_FLOPS_PER_GPU = 2e14
"""The same on a quick GPU."""
QUICKEST_GPU_STEP = 2e-3
"""Least seconds of a step on a GPU, however small: starting some hundred kernels takes that long."""


def default_vocabulary(preset: str, text_bytes: int) -> int:
    """Number of tokens that BPE learns."""
    return max(SMALLEST_VOCABULARY, min(VOCABULARY_SIZES[preset], 256 + text_bytes // BYTES_PER_TOKEN))


def default_lr(width: int, optimizer: OptimizerName) -> float:
    """Peak learning rate of a model of this width."""
    return next(lr for widest, lr in LEARNING_RATES[optimizer] if width <= widest)


def fine_tuning_lr(width: int, optimizer: OptimizerName) -> float:
    """Peak learning rate of a model of this width whose weights are trained already."""
    return FINE_TUNING_SHARE * default_lr(width, optimizer)


def usual_lr(config: RunConfig) -> float:
    """Peak learning rate that a run of this kind has by default: one that began with another's weights has a lower one."""
    usual = default_lr if config.start is None else fine_tuning_lr
    return usual(config.model.width, config.train.optimizer)


def lower_lr(config: RunConfig, factor: float) -> float:
    """Peak learning rate to advise after one that was too high, of which `factor` was left after halving it.

    Never more than half of what was left, and never above the usual one.
    """
    return min(config.train.lr * factor / 2, usual_lr(config))


def describe_lowered_lr(config: RunConfig, factor: float, step: int) -> str:
    """A sentence on the peak learning rate, of which `factor` is left since that step."""
    peak = significant(config.train.lr * factor, 2)
    return f"Since step {step} the learning rate is 1/{round(1 / factor)} of the chosen one, {peak} at its peak."


def default_batch(context: int) -> int:
    return max(FEWEST_WINDOWS, FEWEST_TOKENS // context)


def default_dropout(train: TrainConfig, model: ModelConfig, tokens: int, machine: Machine) -> float:
    """`DROPOUT` for a run with so many epochs over its `tokens` of training text that it would memorize them; else 0."""
    tokens_per_step = train.batch * model.context
    if train.steps is None:
        gpu_step = max(QUICKEST_GPU_STEP, tokens_per_step * flops_per_token(model) / QUICK_FLOPS_PER_GPU)
        core_step = tokens_per_step * flops_per_token(model) / (machine.cores * QUICK_FLOPS_PER_CORE)
        step_seconds = gpu_step if machine.trains_on_gpu(train.device) else core_step
        trained_on = 60 * (train.minutes or 0.0) * tokens_per_step / step_seconds
    else:
        trained_on = float(train.steps * tokens_per_step)
    return DROPOUT if trained_on > tokens * memorizing_epochs(model, tokens) else 0.0


MANY_EPOCHS = 20
"""From about so many epochs on, a model without dropout memorizes its text (Muennighoff et al. 2023)."""
MANY_EPOCHS_FOR_A_LARGE_MODEL = 8
"""The same for a model with more parameters than its text has tokens. Measured with micro on tinyshakespeare, 9 epochs: 2.21 bits
per byte at the end without dropout, 2.17 with it."""
FEWEST_TOKENS_PER_PARAMETER = 0.01
"""With fewer training tokens, a model memorizes its text before it has learned much from it. The compute-optimal number is near
20 (Hoffmann et al. 2022)."""
MOST_EPOCHS = 1000
"""With more of them, a model of any size memorizes its text, dropout or not."""


def memorizing_epochs(model: ModelConfig, tokens: int) -> int:
    """Number of epochs over `tokens` of training text from which on the model memorizes it."""
    return MANY_EPOCHS if tokens >= parameter_count(model) else MANY_EPOCHS_FOR_A_LARGE_MODEL


DEFAULT_MINUTES = 5.0
"""Minutes of a run that was given no length."""
