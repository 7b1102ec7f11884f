"""The settings of a new run: the request that has those that were asked for; label, help, kind, choices and default of each, for
the form and the command line alike; and the form as typed. Imports nothing heavy.

To add a setting: a row here and, where the form shows it, a field of `Settings`; a field of `RunRequest` and of
`lab.runs.run_schema.TrainConfig`; and its bounds in `lab.core.limits`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import msgspec

from lab.core.errors import UserError
from lab.core.limits import LIMITS, VOCABULARY, Limit
from lab.planning.default_hyperparameters import DEFAULT_OPTIMIZER
from lab.runs.expected_loss_range import ExpectedLoss
from lab.runs.run_in_words import label
from lab.runs.run_schema import DEFAULT_RULES, LogTo, PrecisionSetting
from lab.runs.schema_parts import LAST_TENTH, Holdout, ShardSetting
from models.config import DEFAULT_PRESET, PRESETS, AttentionKernel, CompileSetting, OptimizerName, TokenizerKind
from models.learning_rate import Schedule

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
    """A preset's name, or `AUTO`: see `lab.planning.plan_for_minutes`."""
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


TYPES = {name: get_args(found) or (found,) for name, found in get_type_hints(RunRequest).items()}
"""Types of each field, without the union about them."""


@dataclass(frozen=True)
class Setting:
    """A setting, named as in `RunRequest`."""

    name: str
    help: str
    default: str = ""
    """In words; of a choice, one of `choices`."""
    options: tuple[str, ...] = ()
    """The choices, where its type in `RunRequest` does not tell them, or not in this order."""
    offers: tuple[str, ...] = ()
    """Values that the form offers, the default among them, before another is typed."""
    in_form: bool = True
    on_command_line: bool = True
    metavar: str | None = None
    """Of the command line's help; a choice that has one can be given other values there."""

    @property
    def label(self) -> str:
        return label(self.name)

    @property
    def choices(self) -> tuple[str, ...]:
        return self.options or next((get_args(each) for each in TYPES.get(self.name, ()) if get_origin(each) is Literal), ())

    @property
    def kind(self) -> Literal["whole", "real", "choice", "text"]:
        types = TYPES.get(self.name, ())
        return "choice" if self.choices else "whole" if int in types else "real" if float in types else "text"

    @property
    def limit(self) -> Limit:
        return VOCABULARY if self.name == "vocab" else LIMITS[self.name]


_ROWS = (
    Setting(
        "preset",
        "Shape of the model; auto chooses all that decides the loss for the minutes",
        AUTO,
        options=(AUTO, *PRESETS),
    ),
    Setting(
        "tokenizer",
        "bpe learns its tokens from your text, bytes has 256, gpt2 is OpenAI's",
        "bpe",
        options=("bpe", "bytes", "gpt2"),
    ),
    Setting("vocab", "Number of tokens that bpe learns", "by minutes and text"),
    Setting("layers", "Blocks of attention and MLP, one after the other", "the preset's"),
    Setting("heads", "Attention heads in each layer; they share the width", "the preset's"),
    Setting("width", "Length of the residual stream's vectors", "the preset's"),
    Setting("context", "Tokens that the model sees at once", "the preset's"),
    Setting(
        "dropout",
        "Share of activations zeroed in training, against memorization; 0 is none",
        "0.1 where the text would be memorized, else 0",
    ),
    Setting("seed", "Same seed, steps, machine, versions: the same model, to rounding if busy", "1337"),
    Setting(
        "length",
        "← → choose; e types another time or steps, such as 90s or 2000 steps",
        "5 min",
        offers=("1 min", "5 min", "20 min", "60 min"),
        on_command_line=False,
    ),
    Setting("steps", "Train for so many steps", in_form=False),
    Setting("minutes", "Train for so many minutes", "5", in_form=False),
    Setting("batch", "Windows of text in one step", "16, or 2,048 tokens"),
    Setting("accumulate", "Compute a step in so many micro-batches in turn, for less memory", "1"),
    Setting("lr", "Peak learning rate", "by width and optimizer"),
    Setting("schedule", "cosine: the rate falls all the way; wsd: it falls over the last fifth alone", "cosine"),
    Setting("patience", "End early after so many evaluations in a row without a lower validation loss", "never"),
    Setting("optimizer", "muon, for the layers' matrices, learns faster; adamw for all is nanoGPT's", DEFAULT_OPTIMIZER),
    Setting("weight_decay", "Share of the learning rate by which matrices shrink in a step", "0.1", in_form=False),
    Setting("average", "Evaluate and keep the average of the weights over this share of the steps", "0", in_form=False),
    Setting(
        "device",
        "Where to train; auto takes a GPU if there is one",
        "auto",
        options=("auto", "cpu", "cuda", "mps"),
        metavar="auto|cpu|cuda|mps",
    ),
    Setting("gpus", "Train on so many GPUs of this machine, or on all", "1", metavar="N|all"),
    Setting("name", "Name of the run", "the text's", metavar="RUN"),
    Setting("val_share", "Share of the text that is held out for validation", "0.1"),
    Setting("split_seed", "Hold out blocks from all over the text, drawn with this seed, not its end", "the end"),
    Setting(
        "clean",
        "Rules beside line-endings, or all; Data explains them on its page clean",
        "line-endings",
        metavar="RULE,…",
    ),
    Setting(
        "validation",
        "A text of its own for validation, instead of a part of the text",
        "part of it",
        metavar="FILE",
    ),
    Setting("encoding", "Encoding of the text", "auto-detected for UTF-8 and UTF-16", in_form=False, metavar="NAME"),
    Setting("threads", "Processor cores to compute on", "all of two, else all but one", in_form=False),
    Setting(
        "precision",
        "Precision of the matrix products, the weights stay fp32; auto is the quicker one here, fp16 is for an NVIDIA GPU "
        "without bf16",
        "auto",
        in_form=False,
    ),
    Setting("attention", "Attention kernel; auto is the quicker one here", "auto", in_form=False),
    Setting("compile", "Compile the training steps; auto does so for long runs on an NVIDIA GPU", "auto", in_form=False),
    Setting(
        "ranks",
        "Train in so many processes, one for each GPU; on a CPU they share its cores, which is no faster",
        "1",
        in_form=False,
    ),
    Setting(
        "shard_optimizer",
        "Keep the optimizer's state in parts, one on each GPU; auto where memory does not suffice for all of it",
        "auto",
        in_form=False,
    ),
    Setting("eval_every", "Steps between evaluations", "100", in_form=False),
    Setting("log_to", "tensorboard: the run's folder has the metrics for TensorBoard, too", "files", in_form=False),
)
SETTINGS = {setting.name: setting for setting in _ROWS}
"""By name, in the order of the form and of the command line's help."""

FORM = tuple(setting for setting in SETTINGS.values() if setting.in_form)


def shown_settings(gpus: int) -> tuple[Setting, ...]:
    """The settings that the form shows on a machine with so many GPUs."""
    return tuple(setting for setting in FORM if setting.name != "gpus" or gpus > 1)


@dataclass(frozen=True)
class Settings:
    """The form as typed. An empty string stands for the default, or the preset's own number."""

    preset: str = AUTO
    layers: str = ""
    heads: str = ""
    width: str = ""
    context: str = ""
    dropout: str = ""
    tokenizer: str = "bpe"
    vocab: str = ""
    length: str = ""
    batch: str = ""
    accumulate: str = ""
    optimizer: str = DEFAULT_OPTIMIZER
    lr: str = ""
    schedule: str = "cosine"
    patience: str = ""
    seed: str = ""
    device: str = "auto"
    gpus: str = ""
    name: str = ""
    clean: str = ""
    val_share: str = ""
    split_seed: str = ""
    validation: str = ""
