"""A run in words, the same in the form, the report, the comparison and Home: labels and values of its settings, and the share of
the validation part that an evaluation uses."""

from typing import Any, NamedTuple

from lab.core.number_format import counted, probability, whole
from lab.runs.run_schema import DataConfig, FinalEvaluation, RunConfig, Status, TrainConfig
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


class EvaluatedShare(NamedTuple):
    """A share of the validation part, in bytes or tokens."""

    part: int
    total: int
    unit: str

    @property
    def is_whole(self) -> bool:
        return self.part >= self.total

    @property
    def in_words(self) -> str:
        """`all 111,540 bytes`, `32,841 of 111,540 bytes`."""
        share = f"all {whole(self.part)}" if self.is_whole else f"{whole(self.part)} of {whole(self.total)}"
        return f"{share} {self.unit}"

    @property
    def loss_suffix(self) -> str:
        """` (on 29%)` behind the name of a loss that is measured on it; empty where it is all."""
        return "" if self.is_whole else f" (on {self.percent})"

    @property
    def percent(self) -> str:
        """`29%`, or `all`."""
        return "all" if self.is_whole else probability(self.part / self.total, 0)

    @property
    def in_short(self) -> str:
        """The share for a narrow column: `29%, 32,841 bytes`."""
        return f"{self.percent}{'' if self.is_whole else ','} {whole(self.part)} {self.unit}"


def during_training(data: DataConfig, status: Status) -> EvaluatedShare | None:
    """Share that evaluations during training use; None where it is not known yet. In runs from before it was kept in bytes, in
    tokens."""
    if data.evaluated is not None:
        return EvaluatedShare(data.evaluated.bytes, data.val_bytes, "bytes")
    return EvaluatedShare(status.eval_tokens, data.tokens - data.split, "tokens") if status.eval_tokens else None


def at_the_end(data: DataConfig, found: FinalEvaluation) -> EvaluatedShare:
    """Share that an evaluation at the end uses."""
    return EvaluatedShare(found.bytes, data.val_bytes, "bytes")
