"""The settings of a run in words: their labels and values, the same in the form, the report, the comparison and Home."""

from typing import Any

from lab.core.number_format import counted, probability, whole
from lab.runs.run_schema import RunConfig, TrainConfig
from models.config import ModelConfig

LABELS = {
    "preset": "shape",
    "vocab": "vocabulary",
    "vocab_size": "vocabulary",
    "length": "train for",
    "accumulate": "micro-batches",
    "lr": "learning rate",
    "final_lr": "last learning rate",
    "beta1": "β₁",
    "beta2": "β₂",
    "clip": "gradient clipping",
    "eval_every": "evaluates every",
    "sample_tokens": "tokens in samples",
    "gpus": "GPUs",
    "val_share": "val share",
    "split_seed": "val seed",
    "clean": "cleaning",
    "validation": "val text",
}
"""Labels of settings whose name does not say it."""

UNITS = {"batch": "window", "context": "token", "eval_every": "step", "patience": "evaluation"}
"""What a number of them counts."""

ELSEWHERE = ("steps", "minutes", "minutes_of_steps", "prompts", "sample_tokens", "log_to")
"""Settings of the length and the samples, which are shown with these."""
UNLESS_DEFAULT = ("accumulate", "patience", "device", "threads", "precision", "attention", "compile", "ranks", "shard_optimizer")
"""Settings that are worth a word only where they were chosen."""


def label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " "))


def value_in_words(name: str, value: Any) -> str:
    """A value as it is shown; "" for None."""
    if name in UNITS and value is not None:
        return counted(value, UNITS[name])
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float() if name == "warmup":
            return f"the first {probability(value)}"
        case float() if name == "final_lr":
            return f"{value:g} × the peak"
        case float():
            return f"{value:g}"
        case int():
            return str(value) if name == "seed" else whole(value)
        case tuple():
            return " | ".join(map(str, value))
    return str(value)


def model_in_words(model: ModelConfig) -> list[tuple[str, str]]:
    """Labels and values of the model's shape."""
    return [(label(name), value_in_words(name, getattr(model, name))) for name in ModelConfig.__dataclass_fields__]


def training_in_words(config: RunConfig) -> list[tuple[str, str]]:
    """Labels and values of the training settings, those that are shown elsewhere left out."""
    default = TrainConfig()
    values = [(name, getattr(config.train, name)) for name in TrainConfig.__struct_fields__ if name not in ELSEWHERE]
    shown = [(name, value) for name, value in values if name not in UNLESS_DEFAULT or value != getattr(default, name)]
    return [(label(name), value_in_words(name, value)) for name, value in shown]
