"""The result of an experiment: a view to draw, and the numbers that it measured, by name."""

import msgspec

from lab.views.blocks import View

Measure = bool | int | float | str


class ExperimentResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """A picture and what was measured. The measures decide claims and fill the figures of texts."""

    view: View
    measures: dict[str, Measure]
    missing: str = ""
    """One sentence on what could not be measured here, and what to do about it; "" where nothing is missing."""
