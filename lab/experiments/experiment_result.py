"""An experiment: a function that is marked as one, and its result, a view to draw and the numbers that it measured, by name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from lab.views.blocks import View

if TYPE_CHECKING:
    from lab.experiments.experiment_context import ExperimentContext

Measure = bool | int | float | str


class ExperimentResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """A picture and what was measured. The measures decide claims and fill the figures of texts."""

    view: View
    measures: dict[str, Measure]
    missing: str = ""
    """One sentence on what could not be measured here, and what to do about it; "" where nothing is missing."""
    seeds: tuple[dict[str, Measure], ...] = ()
    """The measures of each seed, where `measures` are the medians of several."""
    width: int = 0
    """Width on screen that its lines were made for; 0 where they do not depend on it."""


Experiment = Callable[["ExperimentContext"], ExperimentResult]
Marked = TypeVar("Marked", bound=Experiment)

MARKED: dict[str, Experiment] = {}
"""The experiments of all modules imported so far; `experiment_registry` imports all."""


def experiment(function: Marked) -> Marked:
    """Mark a function as an experiment. Lessons and claims call it by the function's name."""
    MARKED[function.__name__] = function
    return function
