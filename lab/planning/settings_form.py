"""The form of a new run: what was typed as a plan, with a sentence for each field that is wrong; the defaults; and a run's
settings as they would be typed."""

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec

from lab.core.errors import UserError
from lab.core.limits import LIMITS, limit_in_words
from lab.core.machine import Machine, has_mps, machine, no_cuda_reason
from lab.core.number_format import bytes_, whole
from lab.core.visible_text import shortened
from lab.data.cleaning.rule_registry import parse_rules, typed_rules
from lab.data.corpus import STDIN, shown_source
from lab.data.text_source import open_corpus, sources_of
from lab.planning.default_hyperparameters import DEFAULT_MINUTES, FINE_TUNING_OPTIMIZER, default_dropout
from lab.planning.fine_tuning import BaseRun, fine_tuning_reasons, fine_tuning_request
from lab.planning.plan_for_minutes import MinutesPlan, is_planned, plan_for_minutes
from lab.planning.resolve_run import ResolvedRun, TextSize, check_new_name, resolve, vocabulary_size
from lab.planning.settings_table import AUTO, FORM, RunRequest, Setting, SettingError, Settings
from lab.planning.step_time import StepSpeed
from lab.planning.text_difficulty import Outcome
from lab.runs.run_schema import DEFAULT_RULES, RunConfig, TrainConfig
from lab.runs.schema_parts import LAST_TENTH
from models.config import DEFAULT_PRESET, FIXED_VOCABULARY_SIZES, PRESETS, ModelConfig

SHAPE = ("layers", "heads", "width", "context")


def closest_preset(model: ModelConfig) -> str:
    """The preset with the model's shape, or with most of its numbers."""

    def similarity(name: str) -> tuple[int, bool]:
        return sum(getattr(PRESETS[name], field) == getattr(model, field) for field in SHAPE), name == DEFAULT_PRESET

    return max(PRESETS, key=similarity)


def cloned_settings(config: RunConfig) -> Settings:
    """The form as it would be filled in for this run. Defaults, and the name, are left empty."""
    preset = closest_preset(config.model)
    model, train = config.model, config.train
    shape = {name: getattr(model, name) for name in SHAPE}
    request = RunRequest(text=config.data.source, preset=preset, optimizer=train.optimizer, **shape)
    usual = resolve(request, TextSize(config.data.source, vocab_size=model.vocab_size), machine()).train
    typed = {name: str(value) for name, value in shape.items() if value != getattr(PRESETS[preset], name)}
    if model.dropout != default_dropout(train, model, config.data.split, machine()):
        typed["dropout"] = f"{model.dropout:g}"
    if config.tokenizer.kind not in FIXED_VOCABULARY_SIZES:
        typed["vocab"] = str(config.tokenizer.vocab_size)
    if train.minutes != DEFAULT_MINUTES:
        typed["length"] = f"{train.steps} steps" if train.minutes is None else f"{train.minutes:g} min"
    for setting in FORM:
        asked = getattr(train, setting.name, None)
        if asked is not None and (setting.kind == "choice" or asked != getattr(usual, setting.name)):
            typed[setting.name] = f"{asked:g}" if setting.kind == "real" else str(asked)
    typed["clean"] = typed_rules(config.data.cleaning)
    held = config.data.holdout
    if held.source:
        typed["validation"] = held.source
    else:
        typed["val_share"] = f"{held.share:g}" if held.share != LAST_TENTH.share else ""
        typed["split_seed"] = "" if held.seed is None else str(held.seed)
    return Settings(preset=preset, tokenizer=config.tokenizer.kind, **typed)


def hidden_settings(config: RunConfig) -> dict[str, Any]:
    """The fields of a `RunRequest` that the form does not show, where the run's are not the defaults; and its prompts."""
    usual = TrainConfig()
    hidden = set(RunRequest.__struct_fields__) & set(TrainConfig.__struct_fields__) - {*Settings.__dataclass_fields__}
    start = {"start": config.start.base} if config.start is not None else {}
    values = {name: getattr(config.train, name) for name in sorted(hidden - {"steps", "minutes"})}
    return start | {name: value for name, value in values.items() if value != getattr(usual, name)}


def text_problem(config: RunConfig) -> str:
    """The reason why the run's text cannot be used again, or has changed; empty if it is the same. Reads the whole text."""
    data = config.data
    if not config.has_text:
        return f"{config.name} was imported, without a text: choose one (2)."
    if STDIN in (*sources_of(data.source), *sources_of(data.holdout.source)):
        return f"{data.name} came through standard input and was not kept: choose another text, or pipe it in again."
    try:
        corpus = open_corpus(data.source, data.encoding, cleaning=data.cleaning, holdout=data.holdout)
        facts, other = corpus.measure(), corpus.validation
        if other is not None and other.sha256 != data.holdout.sha256:
            return f"{shown_source(other.source)}, its text for validation, has changed since."
    except UserError:
        return "The text that it learned from cannot be read any more; 2 chooses another."
    if facts.sha256 != data.sha256:
        sizes = f"{whole(data.bytes)} bytes then, {whole(facts.bytes)} now"
        return f"{shown_source(data.source)} has changed since ({sizes}), so that a new run does not compare with the old one."
    return ""


_LENGTH = re.compile(r"(\d+(?:[.,]\d+)?)\s*(steps?|s|sec|seconds?|m|min|minutes?|h|hours?)?", re.IGNORECASE)
_MINUTES = {"s": 1 / 60, "m": 1.0, "h": 60.0}
Parsed = TypeVar("Parsed")


def parse_settings(settings: Settings, text: TextSize) -> tuple[RunRequest, dict[str, str]]:
    """The request that was typed, and a sentence for each field that is wrong, by name. A wrong field is left to its default."""
    problems: dict[str, str] = {}

    def parsed(name: str, parse: Callable[[str], Parsed], otherwise: Parsed) -> Parsed:
        try:
            return parse(getattr(settings, name).strip())
        except UserError as error:
            problems[name] = str(error)
            return otherwise

    none: tuple[int | None, float | None] = (None, None)
    steps, minutes = parsed("length", _length, none)
    values: dict[str, Any] = {"steps": steps, "minutes": minutes}
    for setting in FORM:
        if setting.kind == "choice":
            values[setting.name] = getattr(settings, setting.name)
        elif setting.kind != "text" and (setting.name != "vocab" or settings.tokenizer == "bpe"):
            values[setting.name] = parsed(setting.name, functools.partial(_number, setting), None)
    values |= {name: getattr(settings, name).strip() or None for name in ("name", "gpus", "validation")}
    values["clean"] = parsed("clean", parse_rules, DEFAULT_RULES)
    return RunRequest(text=text.source, encoding=text.encoding, **values), problems


def _number(setting: Setting, text: str) -> int | float | None:
    """The number that was typed; None where nothing was. Raises UserError where it is none within the setting's bounds."""
    if not text:
        return None
    label, is_whole = setting.label.capitalize(), setting.kind == "whole"
    try:
        number: float = int(text.replace(",", "").replace("_", "")) if is_whole else float(text.replace(",", "."))
    except ValueError:
        number = math.nan
    if number != number:
        raise UserError(
            f"{label} must be a {'whole number of' if is_whole else 'number'} {setting.limit.lowest}, not {shortened(text)}."
        )
    if problem := setting.limit.problem(number):
        raise UserError(f"{label} must {problem}, not {shortened(text)}.")
    return number


def _length(text: str) -> tuple[int | None, float | None]:
    """Steps or minutes; a bare number is steps. Raises UserError where it is neither, or too long."""
    if not text:
        return None, DEFAULT_MINUTES
    match = _LENGTH.fullmatch(text)
    number, unit = (float(match[1].replace(",", ".")), (match[2] or "steps").lower()) if match else (0.0, "")
    what = "steps" if unit.startswith("step") else "minutes"
    amount = number if what == "steps" else number * _MINUTES.get(unit[:1], 0.0)
    is_long = amount > LIMITS[what].most
    if amount <= 0 or (what == "steps" and not is_long and amount != int(amount)):
        raise UserError(f"Train for must be like 2000 steps, 5 min or 2 h, not {shortened(text)}.")
    if LIMITS[what].problem(amount):
        raise UserError(f"Train for must be at most {limit_in_words(LIMITS[what].most)} {what}.")
    return (int(amount), None) if what == "steps" else (None, amount)


@dataclass(frozen=True)
class Plan:
    """The run that the form stands for. `problems` has a sentence for each field that is wrong."""

    problems: dict[str, str]
    """By the field's name."""
    run: ResolvedRun | None = None
    """None where the problems leave no run to resolve."""
    minutes_plan: MinutesPlan | None = None
    """Where the run was chosen for its minutes."""

    @property
    def request(self) -> RunRequest | None:
        """The request to prepare; None while there are problems."""
        return self.run.request if self.run is not None and not self.problems else None


@functools.lru_cache(maxsize=1)
def _planned(
    request: RunRequest, text: TextSize, machine: Machine, times: tuple[tuple[str, float], ...], outcomes: tuple[Outcome, ...]
) -> MinutesPlan:
    """The plan, kept until another is asked for: most changes of the form leave it as it is."""
    return plan_for_minutes(request, text, StepSpeed(machine, dict(times)), outcomes)


LOCKED = ("preset", "layers", "heads", "width", "tokenizer", "vocab")
"""Fields of the form that follow from the run whose weights it begins with."""


def make_plan(
    settings: Settings,
    text: TextSize,
    machine: Machine,
    hidden: Mapping[str, Any] | None = None,
    base: BaseRun | None = None,
    times: Mapping[str, float] | None = None,
    outcomes: Sequence[Outcome] = (),
) -> Plan:
    """Parse, resolve and check the settings, as far as the text is known. `hidden` are those that the form does not show, `base`
    is the run whose weights it begins with, `times` are the seconds of steps that were measured here,
    `outcomes` those of earlier runs against what was expected of them."""
    request, problems = parse_settings(settings, text)
    if problems:
        return Plan(problems)
    request = msgspec.structs.replace(request, **(hidden or {}))
    text = replace(text, training_share=request.holdout.training_share)
    try:
        if base is None and is_planned(request):
            planned = _planned(request, text, machine, tuple((times or {}).items()), tuple(outcomes))
            run = planned.best.resolved
            return Plan(_problems(run, machine), run, planned)
        if base is None:
            run = resolve(request, text, machine)
        else:
            asked = request
            request = msgspec.structs.replace(fine_tuning_request(request, base), start=str(base.path))
            run = resolve(request, replace(text, vocab_size=base.model.vocab_size, most_vocab=None), machine)
            run = replace(run, reasons=run.reasons | fine_tuning_reasons(asked, base))
    except SettingError as error:
        return Plan({error.setting: str(error)})
    return Plan(_problems(run, machine), run)


def settings_of_base(settings: Settings, base: BaseRun) -> Settings:
    """The form with the shape and the tokenizer of a base, and the optimizer for trained weights."""
    freed = dict.fromkeys(("layers", "heads", "width", "context", "vocab", "lr", "dropout"), "")
    preset, kind = closest_preset(base.model), base.tokenizer.kind
    return replace(settings, **freed, preset=preset, tokenizer=kind, optimizer=FINE_TUNING_OPTIMIZER)


def _problems(run: ResolvedRun, machine: Machine) -> dict[str, str]:
    problems = {}
    for name, check in (("name", check_new_name), ("device", _check_device)):
        try:
            check(run.request)
        except UserError as error:
            problems[name] = str(error)
    if run.text.tokens is not None:
        held = run.request.holdout
        validation, part = int(held.share * run.text.tokens), "tenth" if held == LAST_TENTH else f"{100 * held.share:.3g}%"
        if run.model.context >= validation and not held.source:
            problems["context"] = (
                f"The context of {whole(run.model.context)} tokens does not fit into the {part} of the text that is kept for "
                f"validation, about {whole(validation)} tokens; choose a smaller context or a longer text."
            )
    # A card's memory is not known here: before the first step, the trainer tries how much of a batch fits.
    if run.memory > machine.memory and machine.trains_in_main_memory(run.train.device):
        problems["batch"] = (
            f"A step needs about {bytes_(run.memory)} of memory and this machine has {bytes_(machine.memory)}; "
            "make the batch, the context or the model smaller."
        )
    return problems


def _check_device(request: RunRequest) -> None:
    """Check what can be seen at once; whether torch really can use the device is tried when the run is prepared."""
    if request.device == "cuda" and (why := no_cuda_reason()):
        raise SettingError("device", f"Training on cuda is not possible here: {why}; choose auto or cpu.")
    if request.device == "mps" and not has_mps():
        raise SettingError("device", "Training on mps needs a Mac with Apple's own processor; choose auto or cpu.")


def defaults(
    settings: Settings, text: TextSize, machine: Machine, run: ResolvedRun | None = None, base: BaseRun | None = None
) -> dict[str, str]:
    """The placeholder of each field, shown while it is empty: from the resolved run, or from the preset or the base where there
    is none."""
    preset = DEFAULT_PRESET if settings.preset == AUTO else settings.preset
    request = RunRequest(text=text.source, preset=preset, tokenizer=settings.tokenizer, optimizer=settings.optimizer)  # type: ignore[arg-type]
    if base is not None:
        request = fine_tuning_request(request, base)
    run = run or resolve(request, TextSize(text.source), machine)
    decided = {setting.name: getattr(run.model, setting.name, getattr(run.train, setting.name, None)) for setting in FORM}
    chosen = run.request.vocab if settings.preset == AUTO else None  # not that of a text with no more pairs to merge
    decided["vocab"] = chosen or vocabulary_size(request, TextSize(text.source, bytes=text.bytes))
    decided["length"] = f"{DEFAULT_MINUTES:g} min"
    return {
        each.name: each.default if (value := decided[each.name]) is None else f"{value:g}" if each.kind == "real" else str(value)
        for each in FORM
        if each.kind != "choice"
    }
