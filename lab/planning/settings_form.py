"""The settings of a run as they are typed: what they mean, what they cost and what is wrong with them, before a run is made."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from lab.core.errors import UserError
from lab.core.limits import LIMITS, VOCABULARY, limit_in_words, shortened
from lab.core.machine import has_mps, why_no_cuda
from lab.core.number_format import bytes_, whole
from lab.data.train_val_split import TRAINING_FRACTION, VALIDATION_FRACTION, evaluated_windows
from lab.planning.run_request import (
    DEFAULT_OPTIMIZER,
    RunRequest,
    check_settings,
    default_dropout,
    default_vocabulary,
    shape,
    train_config,
)
from lab.runs.home_folder import home
from lab.runs.run_names import check_name
from lab.runs.run_schema import TrainConfig
from models.config import DEFAULT_PRESET, ModelConfig
from models.parameter_count import BYTES, by_part, flops_per_token, parameter_count, training_bytes
from models.tokenizers.tokenizer_kinds import FIXED_VOCABULARY_SIZES

if TYPE_CHECKING:
    from lab.runs.run_summary import RunSummary

FLOPS_PER_CORE = 25e9
"""Floating-point operations a second that training reaches on one core, as long as nothing was measured on this machine."""
FLOPS_PER_GPU = 10e12
LIKE = 2.0
"""Up to so many times the work for a token, and the tokens of a step, a run's speed is taken for another's: small models reach a
far smaller part of what the machine can do."""
OF_A_STEP = ("batch", "accumulate", "optimizer", "precision", "attention", "threads")
"""Settings that decide how long a step takes, besides the model and the device."""

WHOLE_NUMBERS = ("layers", "heads", "width", "context", "batch", "accumulate", "patience")

UNKNOWN_BYTES, UNKNOWN_BYTES_PER_TOKEN = 1 << 30, 3
"""Of a text that nothing is known of yet."""

DEVICES = ("auto", "cpu", "cuda", "mps")
Number = TypeVar("Number", int, float)
_DURATION = re.compile(r"(\d+(?:[.,]\d+)?)\s*(steps?|s|sec|seconds?|m|min|minutes?|h|hours?)?", re.IGNORECASE)
_MINUTES = {"s": 1 / 60, "m": 1.0, "h": 60.0}


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
    name: str = ""


@dataclass(frozen=True)
class TextSize:
    """What is known of the text that the run will learn from; the tokens only once they were counted."""

    source: str
    encoding: str | None = None
    bytes: int | None = None
    tokens: int | None = None
    most_vocab: int | None = None
    """The largest vocabulary that bpe can learn from it, where that is less than what was tried: there are no more merges."""


@dataclass
class Plan:
    """What the settings come to. `problems` has a sentence for each field that is wrong; what they forbid to compute is None."""

    settings: Settings
    problems: dict[str, str] = field(default_factory=dict)
    """A field's name, or "" for what is no single field's fault, and the sentence."""
    request: RunRequest | None = None
    model: ModelConfig | None = None
    train: TrainConfig | None = None

    @property
    def parameters(self) -> int | None:
        """Numbers that training sets."""
        return parameter_count(self.model) if self.model else None

    @property
    def parts(self) -> dict[str, int]:
        """The parameters by part of the model, without those that are tied to another."""
        return {part: count for part, count in by_part(self.model).items() if count} if self.model else {}

    @property
    def memory(self) -> int | None:
        """Bytes that training needs: a step's, and the good state that is kept to go back to."""
        if self.model is None or self.train is None:
            return None
        kept = 3 * BYTES * parameter_count(self.model)
        return training_bytes(self.model, -(-self.train.batch // max(1, self.train.accumulate))) + kept

    @property
    def head_share(self) -> float | None:
        """Share of a step's work that the head takes, 6 · vocabulary · width of the operations for each token."""
        return 6 * self.model.vocab_size * self.model.width / flops_per_token(self.model) if self.model else None

    @property
    def tokens_per_step(self) -> int | None:
        """Tokens that one step is computed on."""
        return self.model.context * self.train.batch if self.model and self.train else None

    def share_of_evaluations(self, text: TextSize) -> float:
        """Time of an evaluation, without its samples, over that of the steps between two: a token costs a third of a step's, for
        it has no backward pass. A text that is not known yet is taken for a long one."""
        if self.train is None or self.model is None:
            return 0.0
        size = text.bytes or UNKNOWN_BYTES
        tokens = text.tokens or size / UNKNOWN_BYTES_PER_TOKEN
        windows = evaluated_windows(size * VALIDATION_FRACTION, tokens * VALIDATION_FRACTION, self.model.context)
        return windows / 3 / (self.train.eval_every * self.train.batch)

    def steps(self, flops_per_second: float) -> float | None:
        """How many steps it takes: what was asked, or what the minutes allow at that speed."""
        if self.train is None or self.train.steps is not None or self.model is None or not self.tokens_per_step:
            return self.train.steps if self.train else None
        return (self.train.minutes or 0) * 60 * flops_per_second / flops_per_token(self.model) / self.tokens_per_step

    def seconds(self, flops_per_second: float) -> float | None:
        """How long training takes at that speed."""
        if self.train is not None and self.train.minutes is not None:
            return self.train.minutes * 60
        if self.model is None or self.train is None or self.train.steps is None or self.tokens_per_step is None:
            return None
        return self.train.steps * self.tokens_per_step * flops_per_token(self.model) / flops_per_second


def make_plan(settings: Settings, text: TextSize, *, memory: int | None = None, steps: int | None = None) -> Plan:
    """Reads the settings. What is known of the text and the machine sharpens the checks; None leaves them to the preparation.

    `steps` is for how many a run is trained where the length is left empty.
    """
    plan = Plan(settings)
    reader = _Reader(settings, plan.problems)
    typed_steps, minutes = reader.length()
    steps = steps if typed_steps is None and minutes is None else typed_steps
    numbers: dict[str, Any] = {name: reader.whole(name) for name in WHOLE_NUMBERS}
    numbers |= {"seed": reader.whole("seed"), "dropout": reader.real("dropout")}
    numbers |= {"lr": reader.real("lr"), "steps": steps, "minutes": minutes}
    vocab = reader.whole("vocab") if settings.tokenizer == "bpe" else None
    if plan.problems:
        return plan
    request = RunRequest(
        text=text.source,
        encoding=text.encoding,
        preset=settings.preset,
        tokenizer=settings.tokenizer,  # type: ignore[arg-type]
        vocab=vocab,
        schedule=settings.schedule,  # type: ignore[arg-type]
        optimizer=settings.optimizer,  # type: ignore[arg-type]
        device=settings.device,
        name=settings.name.strip() or None,
        **numbers,
    )
    vocab_size = (
        FIXED_VOCABULARY_SIZES.get(settings.tokenizer) or vocab or default_vocabulary(settings.preset, text.bytes or 1 << 30)
    )
    if settings.tokenizer == "bpe" and text.most_vocab is not None:
        vocab_size = min(vocab_size, text.most_vocab)
    try:
        plan.model = shape(request, vocab_size)
    except UserError as error:
        plan.problems["width"] = str(error)
        return plan
    try:
        plan.train = train_config(request, plan.model)
    except UserError as error:
        plan.problems["accumulate"] = str(error)
        return plan
    if request.dropout is None and text.tokens is not None:
        dropout = default_dropout(plan.train, plan.model, round(text.tokens * TRAINING_FRACTION))
        plan.model = replace(plan.model, dropout=dropout)
    _check(plan, request, text, memory)
    if not plan.problems:
        plan.request = request
    return plan


def _check(plan: Plan, request: RunRequest, text: TextSize, memory: int | None) -> None:
    for name, check in (("name", _check_name), ("device", _check_device), ("", _check_rest)):
        try:
            check(request)
        except UserError as error:
            if str(error) not in plan.problems.values():
                plan.problems[name] = str(error)
    if plan.model is not None and text.tokens is not None:
        validation = text.tokens // 10
        if plan.model.context >= validation:
            plan.problems["context"] = (
                f"The context of {whole(plan.model.context)} tokens does not fit into the tenth of the text that is kept for "
                f"validation, about {whole(validation)} tokens; choose a smaller context or a longer text."
            )
    if memory is not None and plan.memory is not None and plan.memory > memory:
        plan.problems["batch"] = (
            f"A step needs about {bytes_(plan.memory)} of memory and this machine has {bytes_(memory)}; "
            "make the batch, the context or the model smaller."
        )


def _check_name(request: RunRequest) -> None:
    if request.name is not None and (home() / check_name(request.name)).exists():
        raise UserError(f"There is a run called {request.name} already; choose another name.")


def _check_device(request: RunRequest) -> None:
    """The reasons that can be seen at once; whether torch really can use the device is tried out when the run is made."""
    if request.device == "cuda" and (why := why_no_cuda()):
        raise UserError(f"Training on cuda is not possible here: {why}; choose auto or cpu.")
    if request.device == "mps" and not has_mps():
        raise UserError("Training on mps needs a Mac with Apple's own processor; choose auto or cpu.")


def _check_rest(request: RunRequest) -> None:
    check_settings(msgspec.structs.replace(request, device="auto"))


def defaults(settings: Settings, text: TextSize, plan: Plan | None = None) -> dict[str, str]:
    """What stands for each field that is left empty; the dropout follows from the whole plan, where there is one."""
    request = RunRequest(text=text.source, preset=settings.preset)
    model = shape(request, 1)
    train = train_config(msgspec.structs.replace(request, optimizer=settings.optimizer), model)
    of_shape = plan.train if plan is not None and plan.train is not None else train
    vocab = FIXED_VOCABULARY_SIZES.get(settings.tokenizer) or default_vocabulary(settings.preset, text.bytes or 1 << 30)
    numbers = {name: str(getattr(model, name)) for name in ("layers", "heads", "width", "context", "dropout")}
    if plan is not None and plan.model is not None and not settings.dropout.strip():
        numbers["dropout"] = str(plan.model.dropout)
    return numbers | {
        "vocab": str(vocab),
        "length": f"{of_shape.steps if of_shape.steps is not None and not settings.length.strip() else train.steps} steps",
        "batch": str(of_shape.batch),
        "accumulate": str(train.accumulate),
        "patience": "never",
        "lr": f"{of_shape.lr:g}",
        "seed": str(train.seed),
        "name": "as the text",
    }


def flops_per_second(plan: Plan, runs: Iterable["RunSummary"], cores: int, gpu: bool) -> tuple[float, "RunSummary | None"]:
    """The speed to expect, and the run that it was measured on: one with the very same steps, else one much like it, on the same
    kind of device of this machine. Of several the fastest, for what else a machine does only makes a run slower. None: a guess.
    """
    on_gpu = gpu and plan.train is not None and plan.train.device != "cpu"
    like = [run for run in runs if is_like(run, plan, on_gpu=on_gpu)]
    same = [run for run in like if is_same(run, plan)]
    if not like:
        return (FLOPS_PER_GPU if on_gpu else FLOPS_PER_CORE * cores), None
    fastest = max(same or like, key=_speed_of)
    return _speed_of(fastest), fastest


def _speed_of(run: "RunSummary") -> float:
    return run.flops_per_token * (run.mean_speed or 0.0)


def is_like(run: "RunSummary", plan: Plan, *, on_gpu: bool) -> bool:
    """Whether the speed of a run says something about that of the planned one."""
    if run.is_demo or run.owner or not run.mean_speed or run.model is None or run.train is None:
        return False
    if plan.model is None or plan.train is None or run.train.optimizer != plan.train.optimizer:
        return False
    work, tokens = run.flops_per_token / flops_per_token(plan.model), run.train.batch * run.model.context
    sizes = (work, tokens / (plan.tokens_per_step or 1))
    return run.device.startswith(("cuda", "mps")) == on_gpu and all(1 / LIKE <= size <= LIKE for size in sizes)


def is_same(run: "RunSummary", plan: Plan) -> bool:
    """Whether the steps of a run that `is_like` the planned one are computed as it would be."""
    if run.model is None or run.train is None or plan.model is None or plan.train is None:
        return False
    return run.model == plan.model and all(getattr(run.train, name) == getattr(plan.train, name) for name in OF_A_STEP)


LABELS = {"lr": "learning rate", "length": "train for", "vocab": "vocabulary"}


@dataclass
class _Reader:
    """Reads numbers out of the form, and notes what is none."""

    settings: Settings
    problems: dict[str, str]

    def _typed(self, name: str) -> str | None:
        return str(getattr(self.settings, name)).strip() or None

    @staticmethod
    def _label(name: str) -> str:
        return LABELS.get(name, name).capitalize()

    def whole(self, name: str) -> int | None:
        text = self._typed(name)
        if text is None:
            return None
        number = _parse(int, text.replace(",", "").replace("_", ""))
        return number if self._is_within(name, number, text, "a whole number of") else None

    def real(self, name: str) -> float | None:
        text = self._typed(name)
        if text is None:
            return None
        number = _parse(float, text.replace(",", "."))
        return number if self._is_within(name, number, text, "a number") else None

    def _is_within(self, name: str, number: float | None, text: str, kind: str) -> bool:
        limit = VOCABULARY if name == "vocab" else LIMITS[name]
        if number is None or number != number:
            self.problems[name] = f"{self._label(name)} must be {kind} {limit.lowest}, not {shortened(text)}."
        elif problem := limit.problem(number):
            self.problems[name] = f"{self._label(name)} must {problem}, not {shortened(text)}."
        return name not in self.problems

    def length(self) -> tuple[int | None, float | None]:
        """Steps or minutes; a bare number is steps."""
        text = self._typed("length")
        if text is None:
            return None, None
        match = _DURATION.fullmatch(text)
        number = float(match[1].replace(",", ".")) if match else 0.0
        unit = (match[2] or "steps").lower() if match else ""
        if unit.startswith("step") and number >= 1 and (number > LIMITS["steps"].most or number == int(number)):
            steps: int | None = None if self._too_long("steps", number) else int(number)
            return steps, None
        if unit and not unit.startswith("step") and number > 0:
            minutes = number * _MINUTES[unit[0]]
            return None, None if self._too_long("minutes", minutes) else minutes
        self.problems["length"] = f"Train for must be like 2000 steps, 5 min or 2 h, not {shortened(text)}."
        return None, None

    def _too_long(self, unit: str, number: float) -> bool:
        if LIMITS[unit].problem(number):
            self.problems["length"] = f"Train for must be at most {limit_in_words(LIMITS[unit].most)} {unit}."
        return "length" in self.problems


def _parse(kind: Callable[[str], Number], text: str) -> Number | None:
    try:
        return kind(text)
    except ValueError:
        return None
