"""The settings of a new run: label, help, kind, choices and default of each, for the form and the command line alike.

To add a setting: a row here and, where the form shows it, a field of `Settings`; a field of `RunRequest` and `TrainConfig`; and
its bounds in `lab.core.limits`.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from lab.core.limits import LIMITS, VOCABULARY, Limit
from lab.planning.default_hyperparameters import DEFAULT_OPTIMIZER
from lab.runs.ranks.rank_heartbeat import ShardSetting
from lab.runs.run_schema import PrecisionSetting
from models.config import DEFAULT_PRESET, PRESETS, AttentionKernel, CompileSetting, OptimizerName
from models.optimizers.lr_schedule import Schedule


@dataclass(frozen=True)
class Setting:
    """A setting, named as in `RunRequest`."""

    name: str
    help: str
    kind: Literal["whole", "real", "choice", "text"]
    default: str = ""
    """In words; of a choice, one of `choices`."""
    choices: tuple[str, ...] = ()
    label: str = ""
    in_form: bool = True
    on_command_line: bool = True
    metavar: str | None = None
    """Of the command line's help; a choice that has one can be given other values there."""

    @property
    def limit(self) -> Limit:
        return VOCABULARY if self.name == "vocab" else LIMITS[self.name]


def _by_name(*settings: Setting) -> dict[str, Setting]:
    return {setting.name: setting for setting in settings}


SETTINGS = _by_name(
    Setting("preset", "Shape of the model; each number can be changed", "choice", DEFAULT_PRESET, tuple(PRESETS), label="shape"),
    Setting(
        "tokenizer",
        "bpe learns its tokens from your text, bytes has 256, gpt2 is OpenAI's",
        "choice",
        "bpe",
        ("bpe", "bytes", "gpt2"),
    ),
    Setting("vocab", "Number of tokens that bpe learns", "whole", "by preset and text", label="vocabulary"),
    Setting("layers", "Blocks of attention and MLP, one after the other", "whole", "the preset's"),
    Setting("heads", "Attention heads in each layer; they share the width", "whole", "the preset's"),
    Setting("width", "Length of the residual stream's vectors", "whole", "the preset's"),
    Setting("context", "Tokens that the model sees at once", "whole", "the preset's"),
    Setting(
        "dropout",
        "Share of activations zeroed in training, against memorization; 0 is none",
        "real",
        "0.1 where the text would be memorized, else 0",
    ),
    Setting(
        "seed",
        "Same seed, steps, machine, versions: the same model, to rounding if busy",
        "whole",
        "1337",
    ),
    Setting(
        "length",
        "Steps, such as 2000, or time, such as 5 min or 2 h",
        "text",
        "about 4 minutes",
        label="train for",
        on_command_line=False,
    ),
    Setting("steps", "Train for so many steps", "whole", "about 4 minutes", in_form=False),
    Setting("minutes", "Train for so many minutes instead", "real", in_form=False),
    Setting("batch", "Windows of text in one step", "whole", "16, or 2,048 tokens"),
    Setting(
        "accumulate",
        "Compute a step in so many micro-batches in turn, for less memory",
        "whole",
        "1",
        label="micro-batches",
    ),
    Setting("lr", "Peak learning rate", "real", "by width and optimizer", label="learning rate"),
    Setting(
        "schedule",
        "cosine: the rate falls all the way; wsd: it falls over the last fifth alone",
        "choice",
        "cosine",
        get_args(Schedule),
    ),
    Setting("patience", "End early after so many evaluations in a row without a lower validation loss", "whole", "never"),
    Setting(
        "optimizer",
        "muon, for the layers' matrices, learns faster; adamw for all is nanoGPT's",
        "choice",
        DEFAULT_OPTIMIZER,
        get_args(OptimizerName),
    ),
    Setting(
        "device",
        "Where to train; auto takes a GPU if there is one",
        "choice",
        "auto",
        ("auto", "cpu", "cuda", "mps"),
        metavar="auto|cpu|cuda|mps",
    ),
    Setting("gpus", "Train on so many GPUs of this machine, or on all", "text", "1", label="GPUs", metavar="N|all"),
    Setting("name", "Name of the run", "text", "the text's", metavar="RUN"),
    Setting("val_share", "Share of the text that is held out for validation", "real", "0.1", label="val share"),
    Setting(
        "split_seed",
        "Hold out blocks from all over the text, drawn with this seed, not its end",
        "whole",
        "the end",
        label="val seed",
    ),
    Setting(
        "clean",
        "Rules beside line-endings, or all; `llmlab data --clean list` explains them",
        "text",
        "line-endings",
        label="cleaning",
        metavar="RULE,…",
    ),
    Setting(
        "validation",
        "A text of its own for validation, instead of a part of the text",
        "text",
        "part of it",
        label="val text",
        metavar="FILE",
    ),
    Setting("encoding", "Encoding of the text", "text", "auto-detected for UTF-8 and UTF-16", in_form=False, metavar="NAME"),
    Setting("threads", "Processor cores to compute on", "whole", "all of two, else all but one", in_form=False),
    Setting(
        "precision",
        "Precision of the matrix products; auto is the quicker one here, fp16 is for an NVIDIA GPU without bf16",
        "choice",
        "auto",
        get_args(PrecisionSetting),
        in_form=False,
    ),
    Setting(
        "attention", "Attention kernel; auto is the quicker one here", "choice", "auto", get_args(AttentionKernel), in_form=False
    ),
    Setting(
        "compile",
        "Compile the training steps; auto does so for long runs on an NVIDIA GPU",
        "choice",
        "auto",
        get_args(CompileSetting),
        in_form=False,
    ),
    Setting(
        "ranks",
        "Train in so many processes, one for each GPU; on a CPU they share its cores, which is no faster",
        "whole",
        "1",
        in_form=False,
    ),
    Setting(
        "shard_optimizer",
        "Keep the optimizer's state in parts, one on each GPU; auto where memory does not suffice for all of it",
        "choice",
        "auto",
        get_args(ShardSetting),
        in_form=False,
    ),
    Setting("eval_every", "Steps between evaluations", "whole", "100", in_form=False),
)
"""By name, in the order of the form and of the command line's help."""

FORM = tuple(setting for setting in SETTINGS.values() if setting.in_form)


def shown_settings(gpus: int) -> tuple[Setting, ...]:
    """The settings that the form shows on a machine with so many GPUs."""
    return tuple(setting for setting in FORM if setting.name != "gpus" or gpus > 1)


@dataclass(frozen=True)
class Settings:
    """The form as typed. An empty string stands for the default, or the preset's own number."""

    preset: str = DEFAULT_PRESET
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
