"""Origins, within config.json and in words: of weights that did not begin as random ones, and of the validation text."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from lab.core.visible_text import shortened, visible

IMPORTABLE = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2")
"""Names of the models that `llmlab import` knows."""

Word = Annotated[str, Meta(max_length=500)]
Step = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Count = Annotated[int, Meta(ge=0, le=1 << 62)]
NonNegative = Annotated[float, Meta(ge=0, le=1e18)]


class TuningConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Origin of a run that was trained further after pretraining; see `lab.training.posttraining`."""

    base: Word
    """Name of the run that it began with."""
    base_step: Step
    base_sha256: Word
    """Checksum of the base's weights, over their values in the order of their names."""
    method: Literal["sft", "rl"]
    """Supervised fine-tuning; or that and then reinforcement learning."""
    pairs: Count
    """Questions with answers that it was fine-tuned on."""
    rounds: Step = 0
    beta: NonNegative = 0.0
    """Weight of the KL penalty."""


class StartConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Origin of a run whose training began with the weights of another; see `lab.planning.fine_tuning`."""

    base: Word
    """Name of that run."""
    base_step: Step


class ImportConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Origin of a run whose weights were trained elsewhere; see `lab.exchange.hugging_face`."""

    source: Word
    """Name of the model, or of the folder that it was read from."""
    revision: Word = ""
    """Commit of its repository; empty where it did not come from one."""
    dtype: Word = ""
    """Type of its weights there, in safetensors' words: "F16"."""


def import_sentence(imported: ImportConfig) -> str:
    """One sentence on a run that was imported: `Imported from gpt2 (revision 607a30d), whose weights are F32.`"""
    revision = f" (revision {visible(imported.revision[:7])})" if imported.revision else ""
    dtype = f", whose weights are {visible(imported.dtype)} there" if imported.dtype else ""
    return f"Imported from {visible(shortened(imported.source))}{revision}{dtype}."


def tuning_sentence(tuning: TuningConfig) -> str:
    """One sentence on a run that was trained further: the run that it began with, and what was done with its weights."""
    made = f"Fine-tuned from {tuning.base} (step {tuning.base_step}) on {tuning.pairs} questions with answers"
    if tuning.method == "sft":
        return f"{made}."
    penalty = f"with the KL penalty {tuning.beta:g}" if tuning.beta else "without a KL penalty"
    return f"{made}, then {tuning.rounds} rounds of reinforcement learning {penalty}."
