"""Figures in a text: `{vocabulary}` stands for a measure, `{loss:.2f}` for one in a format.

Formats: `.3f` so many decimals, `.3g` so many significant figures, `.1%` a share in percent, `count` few characters (10.2B),
`bytes` a size. Without one, a whole number is written in full and any other to three significant figures.
"""

import re
from collections.abc import Callable, Mapping

from lab.core.number_format import bytes_, count, fixed, probability, significant, whole
from lab.core.visible_text import visible
from lab.experiments.experiment_result import Measure

_FIGURE = re.compile(r"\{([^{}]*)\}")
_PLACE = re.compile(r"([a-z][a-z0-9_]*)(?::(count|bytes|\.\d[fg%]))?")


def unchanged(text: str) -> str:
    return text


def fill(text: str, measures: Mapping[str, Measure], escape: Callable[[str], str] = unchanged) -> str:
    """The text with its figures; a paragraph one of whose measures is missing is left out.

    `escape` is applied to measures that are texts, such as labels of tokens.
    """
    kept = [paragraph for paragraph in re.split(r"\n{2,}", text) if names_in(paragraph) <= measures.keys()]
    return "\n\n".join(_FIGURE.sub(lambda found: _figure(found[1], measures, escape), paragraph) for paragraph in kept)


def names_in(text: str) -> set[str]:
    """Names of the measures that the figures of a text need. Raises: ValueError, naming a figure that is in no known form."""
    found = set()
    for place in _FIGURE.findall(text):
        match = _PLACE.fullmatch(place)
        if match is None:
            raise ValueError(f"{{{place}}} is no figure such as {{vocabulary}} or {{loss:.2f}}")
        found.add(match[1])
    return found


def _figure(place: str, measures: Mapping[str, Measure], escape: Callable[[str], str]) -> str:
    name, _, form = place.partition(":")
    value = measures[name]
    if isinstance(value, str):
        return escape(visible(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if form == "count":
        return count(value)
    if form == "bytes":
        return bytes_(value)
    if form:
        digits = int(form[1])
        if form[2] == "%":
            return probability(value, digits)
        return fixed(value, digits) if form[2] == "f" else significant(value, digits)
    return whole(value) if isinstance(value, int) else significant(value)
