"""Parse the settings that were typed into the form of a new run: numbers, lengths, and a sentence for each that is wrong."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from lab.core.errors import UserError
from lab.core.limits import LIMITS, limit_in_words
from lab.core.visible_text import shortened
from lab.data.cleaning.rule_registry import parse_rules
from lab.planning.resolve_run import TextSize
from lab.planning.run_request import RunRequest
from lab.planning.settings_table import FORM, SETTINGS, Settings

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
        label = (setting.label or name).capitalize()
        if number is None or number != number:
            self.problems[name] = f"{label} must be {kind} {setting.limit.lowest}, not {shortened(text)}."
        elif problem := setting.limit.problem(number):
            self.problems[name] = f"{label} must {problem}, not {shortened(text)}."
        return None if name in self.problems else number

    def length(self) -> tuple[int | None, float | None]:
        """Steps or minutes; a bare number is steps."""
        text = self._typed("length")
        if text is None:
            return None, None
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
