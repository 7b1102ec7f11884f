"""The experiments by name. To add one, write its function and a line here.

An experiment is a function of the context that returns its result, or `Slices` of it where it takes longer than some
hundredths of a second: it then yields often, so that other requests are served meanwhile and a newer one can take its place.
"""

from collections.abc import Callable

from lab.core.errors import UserError
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult
from lab.experiments.tokens.vocabulary import vocabulary
from models.unembed import Slices

Experiment = Callable[[ExperimentContext], ExperimentResult | Slices[ExperimentResult]]

TOKENS: dict[str, Experiment] = {
    "vocabulary": vocabulary,
}
"""On text and tokens."""

EXPERIMENTS: dict[str, Experiment] = {**TOKENS}


def run_experiment(name: str, context: ExperimentContext) -> Slices[ExperimentResult]:
    """The result of an experiment. Raises: UserError: if there is none of that name, or it cannot be made on this run."""
    if name not in EXPERIMENTS:
        raise UserError(f"There is no experiment called {name}; the experiments are {', '.join(EXPERIMENTS)}.")
    found = EXPERIMENTS[name](context)
    return found if isinstance(found, ExperimentResult) else (yield from found)
