"""Resolve a request into a run: what it asks for checked, every setting decided, and the reason for each default.

The command line, the form of a new run and `prepare_run` all use `resolve`, so that what the form shows is what is trained.
Precision and attention kernel stay "auto": `lab.planning.compute_choice` measures them when training begins.
"""

import os
from dataclasses import dataclass, replace

import msgspec

from lab.core.errors import UserError
from lab.core.limits import LIMITS, SMALLEST_VOCABULARY, VOCABULARY
from lab.core.machine import Machine, has_mps, machine
from lab.core.number_format import whole
from lab.core.visible_text import quoted
from lab.planning.default_hyperparameters import (
    BYTES_PER_TOKEN,
    DEFAULT_OPTIMIZER,
    VOCABULARY_SIZES,
    default_batch,
    default_dropout,
    default_lr,
    default_vocabulary,
    memorizing_epochs,
)
from lab.planning.device import check_device, check_memory, check_ranks, training_memory, training_threads, with_ranks
from lab.planning.settings_table import AUTO, RunRequest, SettingError
from lab.planning.text_difficulty import Pilot
from lab.runs.home_folder import check_name, home
from lab.runs.metrics_log import check_log_to
from lab.runs.run_schema import TrainConfig
from lab.runs.schema_parts import LAST_TENTH, CopiedShare
from models.config import DEFAULT_PRESET, FIXED_VOCABULARY_SIZES, PRESETS, ConfigError, ModelConfig
from models.parameter_count import flops_per_token, parameter_count

UNKNOWN_BYTES = 1 << 30
"""Assumed size of a text that nothing is known about yet."""


@dataclass(frozen=True)
class TextSize:
    """Known facts about the text that a run trains on; None: not known yet."""

    source: str
    encoding: str | None = None
    bytes: int | None = None
    tokens: int | None = None
    most_vocab: int | None = None
    """The largest vocabulary that BPE can learn from it, where that is less than what was tried: there are no more merges."""
    vocab_size: int | None = None
    """Of its tokenizer, once there is one."""
    split: int | None = None
    """Number of training tokens, once the text is encoded."""
    training_share: float = LAST_TENTH.training_share
    """Share of the text that is trained on."""
    copied: CopiedShare | None = None
    counted_with: int | None = None
    """Size of the vocabulary that `tokens` were counted with."""
    pilot: Pilot | None = None
    """What a very small model reached on a sample of it."""

    @property
    def train_tokens(self) -> int | None:
        """Number of training tokens; an estimate until the text is encoded, for it is split by bytes."""
        if self.split is None and self.tokens is not None:
            return round(self.tokens * self.training_share)
        return self.split


@dataclass(frozen=True)
class ResolvedRun:
    """A run as it will be trained."""

    request: RunRequest
    text: TextSize
    model: ModelConfig
    train: TrainConfig
    threads: int
    reasons: dict[str, str]
    """The reason for each default, by the setting's name in the request."""

    @property
    def parameters(self) -> int:
        return parameter_count(self.model)

    @property
    def micro_batch(self) -> int:
        """Windows that are computed at once: the largest of the parts of a step's batch."""
        return -(-self.train.batch // max(1, self.train.accumulate))

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one step trains on."""
        return self.model.context * self.train.batch

    @property
    def flops_per_step(self) -> int:
        return self.tokens_per_step * flops_per_token(self.model)

    @property
    def memory(self) -> int:
        """Bytes that training needs."""
        return training_memory(self.model, self.micro_batch)


def resolve(request: RunRequest, text: TextSize, machine: Machine) -> ResolvedRun:
    """Decide every setting of a run, from what is known of its text so far.
    Raises SettingError if there can be no such model, a step has fewer windows than parts, or the machine fewer GPUs than
    asked."""
    request = with_ranks(request, machine)
    if request.preset == AUTO:  # and nothing is chosen for minutes
        request = msgspec.structs.replace(request, preset=DEFAULT_PRESET)
    vocab_size = vocabulary_size(request, text)
    shape = {name: getattr(request, name) for name in ("layers", "heads", "width", "context", "dropout")}
    try:
        model = PRESETS[request.preset].config(vocab_size, **shape)
    except ConfigError as error:
        raise SettingError("width", str(error)) from error
    train = _train_config(request, model)
    check_ranks(train, train.ranks, machine)
    if request.dropout is None and text.train_tokens is not None:
        model = replace(model, dropout=default_dropout(train, model, text.train_tokens, machine))
    threads = training_threads(model, train, machine.cores, on_gpu=machine.trains_on_gpu(train.device))
    return ResolvedRun(request, text, model, train, threads, _reasons(request, text, model, train, threads))


def vocabulary_size(request: RunRequest, text: TextSize) -> int:
    """The vocabulary of the tokenizer: the size it has, or is to learn."""
    if size := text.vocab_size or FIXED_VOCABULARY_SIZES.get(request.tokenizer):
        return size
    size = request.vocab or default_vocabulary(request.preset, text.bytes or UNKNOWN_BYTES)
    return size if text.most_vocab is None else min(size, text.most_vocab)


def _train_config(request: RunRequest, model: ModelConfig) -> TrainConfig:
    asked = {name: getattr(request, name) for name in TrainConfig.__struct_fields__}
    given = {name: value for name, value in asked.items() if value is not None}
    if request.minutes is not None:
        given["steps"] = None
    optimizer = request.optimizer or DEFAULT_OPTIMIZER
    defaults = {"optimizer": optimizer, "lr": default_lr(model.width, optimizer), "batch": default_batch(model.context)}
    settings = defaults | given
    if request.accumulate is not None and request.accumulate > settings["batch"]:
        raise SettingError(
            "accumulate",
            f"A batch of {settings['batch']} windows cannot be computed in {request.accumulate} parts; accumulate fewer.",
        )
    return TrainConfig(**settings)


def _reasons(request: RunRequest, text: TextSize, model: ModelConfig, train: TrainConfig, threads: int) -> dict[str, str]:
    reasons = {
        "vocab": _vocabulary_reason(request, text, model.vocab_size),
        "lr": f"usual for a width of {model.width} with {train.optimizer}",
        "batch": f"so that a step has {whole(train.batch * model.context)} tokens",
        "optimizer": "the lowest loss in equal time on every text that was tried",
        "threads": f"{threads} for steps of this size on this machine",
        "precision": "the quicker one, measured when training begins",
        "attention": "the quicker one, measured when training begins",
    }
    if text.train_tokens is not None:
        epochs = memorizing_epochs(model, text.train_tokens)
        words = "beyond {} epochs such a model memorizes its text" if model.dropout else "up to {} epochs it is not needed"
        reasons["dropout"] = words.format(epochs)
    return {name: reason for name, reason in reasons.items() if getattr(request, name) is None}


def _vocabulary_reason(request: RunRequest, text: TextSize, size: int) -> str:
    if request.tokenizer in FIXED_VOCABULARY_SIZES:
        return f"that of {request.tokenizer}"
    if size == text.most_vocab:
        return "this text has no more pairs to merge"
    if size in (VOCABULARY_SIZES[request.preset], SMALLEST_VOCABULARY):
        return f"usual for the preset {request.preset}"
    return f"one token for {BYTES_PER_TOKEN} bytes of text"


def check_request(request: RunRequest) -> None:
    """Check everything that can be known without the text. Raises UserError about the first mistake."""
    check_new_name(request)
    if request.preset not in (AUTO, *PRESETS):
        raise SettingError("preset", f"There is no preset called {request.preset!r}; choose one of {', '.join(PRESETS)}.")
    if request.steps is not None and request.minutes is not None:
        raise SettingError("length", "Training ends after a number of steps or of minutes; give only one of them.")
    for name, limit in LIMITS.items():
        value = getattr(request, name, None)
        if value is not None and (problem := limit.problem(value)):
            raise SettingError(name, f"{name.replace('_', ' ')} must {problem}, not {value}.")
    if request.validation == "":
        raise SettingError("validation", "The name of the text for validation is empty; leave it out for a part of the text.")
    if request.validation is not None and (request.val_share is not None or request.split_seed is not None):
        sentence = "A text of its own for validation is used whole: give no share of the text and no seed of its split with it."
        raise SettingError("validation", sentence)
    fixed = FIXED_VOCABULARY_SIZES.get(request.tokenizer)
    if request.vocab is not None and fixed is None:
        if request.vocab < SMALLEST_VOCABULARY:
            sentence = f"A bpe vocabulary holds the 256 bytes and at least one merge, so {request.vocab} is too small."
            raise SettingError("vocab", sentence)
        if problem := VOCABULARY.problem(request.vocab):
            raise SettingError("vocab", f"vocab must {problem}, not {request.vocab}.")
    elif request.vocab not in (None, fixed):
        sentence = f"The {request.tokenizer} tokenizer has {fixed} tokens, whatever the text; only bpe can have {request.vocab}."
        raise SettingError("vocab", sentence)
    smallest = fixed or request.vocab or SMALLEST_VOCABULARY
    run = resolve(request, TextSize(request.text, vocab_size=smallest), machine())
    for prompt in request.prompts:
        if any("\ud800" <= character <= "\udfff" for character in prompt):
            raise UserError(f"The prompt {quoted(prompt)} is not UTF-8; type it in a terminal that writes UTF-8.")
    if run.train.precision == "fp16" and (run.train.device == "mps" or (run.train.device == "auto" and has_mps())):
        raise SettingError("precision", "fp16 with a scaled loss is for an NVIDIA GPU or a CPU; choose auto, fp32 or bf16.")
    check_device(run.train.device)
    check_log_to(run.train.log_to)
    check_memory(run.model, run.train.device)


def check_new_name(request: RunRequest) -> None:
    """Check that the run can have the name that was asked for, if one was.
    Raises UserError if it cannot be a run's name, or is taken."""
    if request.name is not None and os.path.lexists((request.home or home()) / check_name(request.name)):
        raise SettingError("name", f"There is a run called {request.name} already; choose another name.")
