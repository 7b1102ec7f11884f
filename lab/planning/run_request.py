"""A request for a run: the settings that a user asked for, from the command line or the form. Imports nothing heavy."""

from pathlib import Path

import msgspec

from lab.core.errors import UserError
from lab.runs.run_schema import DEFAULT_RULES, LogTo, PrecisionSetting
from lab.runs.schema_parts import LAST_TENTH, ExpectedLoss, Holdout, ShardSetting
from models.config import DEFAULT_PRESET, AttentionKernel, CompileSetting, OptimizerName, Schedule, TokenizerKind

AUTO = "auto"
"""The preset that stands for none: the shape, and all else that was not asked for, is chosen for the minutes."""


class SettingError(UserError):
    """A setting that cannot be; `setting` is its name."""

    def __init__(self, setting: str, sentence: str) -> None:
        super().__init__(sentence)
        self.setting = setting


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that were asked for. None stands for the preset's value, or the default: see `lab.planning.resolve_run`."""

    text: str
    """One source a line: the path of a file or folder, a glob pattern, "-" for standard input, or a built-in text's name."""
    name: str | None = None
    start: str | None = None
    """Name or path of the run whose weights it begins with: see `lab.planning.fine_tuning`. None: random ones."""
    preset: str = DEFAULT_PRESET
    """A preset's name, or `AUTO`: see `lab.planning.best_for_minutes`."""
    tokenizer: TokenizerKind = "bpe"
    vocab: int | None = None
    encoding: str | None = None
    clean: tuple[str, ...] = DEFAULT_RULES
    """Names of cleaning rules."""
    val_share: float | None = None
    split_seed: int | None = None
    validation: str | None = None
    """A text of its own for validation, named as `text` is."""
    layers: int | None = None
    heads: int | None = None
    width: int | None = None
    context: int | None = None
    dropout: float | None = None
    batch: int | None = None
    accumulate: int | None = None
    steps: int | None = None
    minutes: float | None = None
    minutes_of_steps: bool = False
    optimizer: OptimizerName | None = None
    lr: float | None = None
    schedule: Schedule | None = None
    final_lr: float | None = None
    warmup: float | None = None
    weight_decay: float | None = None
    average: float | None = None
    beta1: float | None = None
    beta2: float | None = None
    clip: float | None = None
    seed: int | None = None
    device: str | None = None
    threads: int | None = None
    precision: PrecisionSetting | None = None
    attention: AttentionKernel | None = None
    compile: CompileSetting | None = None
    eval_every: int | None = None
    patience: int | None = None
    gpus: str | None = None
    """Number of GPUs, or "all": another way to ask for ranks, and for CUDA."""
    ranks: int | None = None
    shard_optimizer: ShardSetting | None = None
    log_to: LogTo | None = None
    prompts: tuple[str, ...] = ()
    sample_tokens: int | None = None
    home: Path | None = None
    expected: ExpectedLoss | None = None
    """The loss to expect, of a run whose settings were chosen for its minutes."""

    @property
    def holdout(self) -> Holdout:
        """The choice of the validation part."""
        return Holdout(share=self.val_share or LAST_TENTH.share, seed=self.split_seed, source=self.validation or "")
