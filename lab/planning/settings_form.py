"""The form of a new run: what was typed as a plan, with a sentence for each field that is wrong; and the defaults."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec

from lab.core.errors import UserError
from lab.core.limits import LIMITS, limit_in_words
from lab.core.machine import Machine, has_mps, no_cuda_reason
from lab.core.number_format import bytes_, whole
from lab.core.visible_text import shortened
from lab.data.cleaning.rule_registry import parse_rules
from lab.planning.best_for_minutes.earlier_outcomes import Outcome
from lab.planning.best_for_minutes.plan_for_minutes import (
    MinutesPlan,
    is_planned,
    plan_for_minutes,
    settled,
)
from lab.planning.best_for_minutes.step_speed import StepSpeed
from lab.planning.check_request import check_new_name
from lab.planning.clone_settings import closest_preset
from lab.planning.default_hyperparameters import DEFAULT_MINUTES, FINE_TUNING_OPTIMIZER
from lab.planning.fine_tuning import BaseRun, fine_tuning_reasons, fine_tuning_request
from lab.planning.resolve_run import ResolvedRun, TextSize, resolve, vocabulary_size
from lab.planning.run_request import AUTO, RunRequest, SettingError
from lab.planning.settings_table import FORM, SETTINGS, Setting, Settings
from lab.runs.schema_parts import LAST_TENTH
from models.config import DEFAULT_PRESET

Number = TypeVar("Number", int, float)
_LENGTH = re.compile(r"(\d+(?:[.,]\d+)?)\s*(steps?|s|sec|seconds?|m|min|minutes?|h|hours?)?", re.IGNORECASE)
_MINUTES = {"s": 1 / 60, "m": 1.0, "h": 60.0}


def parse_settings(settings: Settings, text: TextSize) -> tuple[RunRequest, dict[str, str]]:
    """The request that was typed, and a sentence for each field that is wrong, by name. A wrong field is left to its default."""
    parser = _Parser(settings, {})
    values: dict[str, Any] = dict(zip(("steps", "minutes"), parser.length(), strict=True))
    for setting in FORM:
        if setting.kind == "choice":
            values[setting.name] = getattr(settings, setting.name)
        elif setting.kind != "text":
            values[setting.name] = parser.number(setting.name)
    if settings.tokenizer != "bpe":
        values["vocab"] = None
        parser.problems.pop("vocab", None)
    values |= {name: getattr(settings, name).strip() or None for name in ("gpus", "validation")}
    try:
        values["clean"] = parse_rules(settings.clean)
    except UserError as error:
        parser.problems["clean"] = str(error)
    request = RunRequest(text=text.source, encoding=text.encoding, name=settings.name.strip() or None, **values)
    return request, parser.problems


@dataclass
class _Parser:
    """Parses field by field and collects problems."""

    settings: Settings
    problems: dict[str, str]

    def _typed(self, name: str) -> str | None:
        return str(getattr(self.settings, name)).strip() or None

    def number(self, name: str) -> int | float | None:
        """None where nothing, or no number within its bounds, was typed."""
        text = self._typed(name)
        if text is None:
            return None
        setting = SETTINGS[name]
        number: int | float | None
        if setting.kind == "whole":
            number, kind = _parse(int, text.replace(",", "").replace("_", "")), "a whole number of"
        else:
            number, kind = _parse(float, text.replace(",", ".")), "a number"
        label = setting.label.capitalize()
        if number is None or number != number:
            self.problems[name] = f"{label} must be {kind} {setting.limit.lowest}, not {shortened(text)}."
        elif problem := setting.limit.problem(number):
            self.problems[name] = f"{label} must {problem}, not {shortened(text)}."
        return None if name in self.problems else number

    def length(self) -> tuple[int | None, float | None]:
        """Steps or minutes; a bare number is steps."""
        text = self._typed("length")
        if text is None:
            return None, DEFAULT_MINUTES
        match = _LENGTH.fullmatch(text)
        number = float(match[1].replace(",", ".")) if match else 0.0
        unit = (match[2] or "steps").lower() if match else ""
        if unit.startswith("step") and number >= 1 and (number > LIMITS["steps"].most or number == int(number)):
            steps: int | None = None if self._is_too_long("steps", number) else int(number)
            return steps, None
        if unit and not unit.startswith("step") and number > 0:
            minutes = number * _MINUTES[unit[0]]
            return None, None if self._is_too_long("minutes", minutes) else minutes
        self.problems["length"] = f"Train for must be like 2000 steps, 5 min or 2 h, not {shortened(text)}."
        return None, None

    def _is_too_long(self, unit: str, number: float) -> bool:
        if LIMITS[unit].problem(number):
            self.problems["length"] = f"Train for must be at most {limit_in_words(LIMITS[unit].most)} {unit}."
        return "length" in self.problems


def _parse(kind: Callable[[str], Number], text: str) -> Number | None:
    try:
        return kind(text)
    except ValueError:
        return None


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
            run = replace(planned.best.run, request=planned.best.request)
            return Plan(_problems(run, machine), run, planned)
        request = settled(request)
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
    return {setting.name: _placeholder(setting, decided[setting.name]) for setting in FORM if setting.kind != "choice"}


def _placeholder(setting: Setting, value: Any) -> str:
    if value is None:
        return setting.default
    return f"{value:g}" if setting.kind == "real" else str(value)
