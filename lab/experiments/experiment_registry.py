"""The experiments by name. To add one, write a function marked with `@experiment` in the file of its subject.

An experiment is a function of the context that returns its result. Where it takes longer than some hundredths of a second it
calls `check` often, so that other requests are served meanwhile and it can be given up.
"""

from lab.core.errors import UserError
from lab.experiments import (  # noqa: F401
    attention,
    attention_heads,
    changed_attention,
    context_window,
    feature_twins,
    generation,
    greedy_loops,
    induction,
    inference,
    lens_distance,
    loss,
    neurons,
    probes,
    prompt_to_token,
    sizes,
    steering,
    superposition,
    tokens,
    written_text,
)
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import MARKED, ExperimentResult

EXPERIMENTS = dict(sorted(MARKED.items()))


def run_experiment(name: str, context: ExperimentContext) -> ExperimentResult:
    """The result of an experiment. Raises: UserError: if there is none of that name, or it cannot be made on this run."""
    if name not in EXPERIMENTS:
        raise UserError(f"There is no experiment called {name}; the experiments are {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name](context)
