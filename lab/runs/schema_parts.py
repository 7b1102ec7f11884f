"""Parts of config.json and status.json that are told in words, too: validation part, origin, GPU and ranks."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from lab.core.limits import LIMITS
from lab.core.number_format import bytes_, counted
from lab.core.visible_text import shortened, visible

LONGEST_SOURCE = 100_000
"""Characters of a run's source: about a thousand paths."""


class Holdout(msgspec.Struct, frozen=True, kw_only=True):
    """The choice of the validation part: the last tenth of the text, unless told otherwise."""

    share: Annotated[float, Meta(**LIMITS["val_share"].meta())] = 0.1
    """Share of the text's bytes, about; the part begins and ends at borders."""
    seed: Annotated[int, Meta(**LIMITS["split_seed"].meta())] | None = None
    """It is blocks from all over the text, drawn with this seed; None: the end of the text."""
    source: Annotated[str, Meta(max_length=LONGEST_SOURCE)] = ""
    """A text of its own, one source a line, cleaned by the rules of the text; empty: it is part of the text."""
    encoding: Annotated[str, Meta(max_length=500)] | None = None
    sha256: Annotated[str, Meta(max_length=500)] = ""
    """Checksum of this text, in a run."""

    @property
    def training_share(self) -> float:
        """Share of the text that is trained on."""
        return 1.0 if self.source else 1 - self.share

    @property
    def in_words(self) -> str:
        """The validation part, as the end of a sentence: `the last 10% of the text`."""
        if self.source:
            return "a text of its own"
        if self.seed is None:
            return f"the last {100 * self.share:.3g}% of the text"
        return f"{100 * self.share:.3g}% of the text in blocks, drawn with seed {self.seed}"


LAST_TENTH = Holdout()


class CopiedShare(msgspec.Struct, frozen=True):
    """The share of the validation text that also stands in the training text: see `lab.data.statistics.copied_share`."""

    share: Annotated[float, Meta(ge=0, le=1)]
    error: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """The true share is within so much of it, in 95 of 100 samples; 0.0 where the whole part was looked at."""


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


Share = Annotated[float, Meta(ge=0, le=10)]
"""Around 0 to 1; a peak may be given too low."""


class GpuUse(msgspec.Struct, frozen=True, kw_only=True):
    """Use of the GPU of rank 0."""

    memory: Count
    """The most that the trainer's tensors took at one time."""
    total: Count
    """Memory of the card."""
    busy: Share | None = None
    """Share of the last moment in which it computed anything; None without nvidia-ml-py."""
    mfu: Share | None = None
    """Model FLOPs utilization; None where the peak of the card is not known."""


def describe_gpu(use: GpuUse) -> str:
    """`GPU memory 34.1 GB of 80.0 GB, busy 97%, MFU 41%`."""
    words = f"GPU memory {bytes_(use.memory)} of {bytes_(use.total)}"
    words += "" if use.busy is None else f", busy {use.busy:.0%}"
    return words + ("" if use.mfu is None else f", MFU {use.mfu:.0%}")


ShardSetting = Literal["auto", "on", "off"]
"""Whether each rank keeps the optimizer state of a part of the weights only; auto where memory does not suffice for all of it."""

MOST_LISTED = 256
"""Ranks whose heartbeats are told, so that status.json stays small; a run may have more."""
MOST_NAMED = 4
"""Hosts that are named, that of rank 0 first."""
LONGEST_NAME = 40
"""Characters of a host's name that are shown."""


class RankHeartbeat(msgspec.Struct, frozen=True, array_like=True):
    """Heartbeat of one of the processes that train a run together, as rank 0 last saw it."""

    host: Word
    pid: Count
    heartbeat: Annotated[float, Meta(ge=0, le=1e11)]
    """Unix time in seconds."""


RankHeartbeats = Annotated[tuple[RankHeartbeat, ...], Meta(max_length=MOST_LISTED)]


def describe_ranks(ranks: Sequence[RankHeartbeat]) -> str:
    """`2 ranks on abacus`, `16 ranks on 2 hosts (abacus, babbage)`; empty for a training in one process. Text to show."""
    if len(ranks) < 2:
        return ""
    hosts = list(dict.fromkeys(visible(shortened(rank.host, LONGEST_NAME)) for rank in ranks))
    if len(hosts) == 1:
        return f"{len(ranks)} ranks on {hosts[0]}"
    named = ", ".join(hosts[:MOST_NAMED]) + ", …" * (len(hosts) > MOST_NAMED)
    return f"{counted(len(ranks), 'rank')} on {counted(len(hosts), 'host')} ({named})"
