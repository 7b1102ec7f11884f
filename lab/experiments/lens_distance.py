"""How far lenses are from the model's final prediction, layer by layer, on text that they were not fitted to."""

from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import counted, fixed, whole
from lab.experiments.experiment_context import VALIDATION, ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.views.blocks import View

if TYPE_CHECKING:
    from lab.inspect.fitted_lenses import FittedLenses

FITTED, JUDGED = 16384, 4096
"""Most places of the training text that lenses are fitted to, and of the validation text that they are judged on."""


def fitted_lenses(context: ExperimentContext) -> "FittedLenses":
    """The lenses of the opened weights, fitted once and kept with them.

    Raises: UserError: if the run's text is not there, or its validation part too short for five folds of windows.
    """
    if context.opened.lenses is None:
        import torch

        from lab.inspect.fitted_lenses import FOLDS, LOGITS, fit_lenses

        length = context.config.context
        validation = context.tokens()[1]
        apart = len(validation) // (length + 1)  # windows that share places would be in two folds
        if apart < FOLDS:
            raise UserError(
                f"The validation text of {context.run_name} has {whole(len(validation))} tokens: too few to judge a lens on "
                f"{FOLDS} windows of {whole(length)}."
            )
        most = min(context.affordable(JUDGED), FOLDS * LOGITS // context.config.vocab_size) // length
        judged, _ = context.windows(max(FOLDS, min(apart, most)))
        fitted, _ = context.windows(max(FOLDS, context.affordable(FITTED) // length), training=True)
        folds = [torch.from_numpy(fold[:, :-1]) for fold in np.array_split(judged, FOLDS)]
        context.opened.lenses = fit_lenses(context.model, torch.from_numpy(fitted[:, :-1]), folds)
    return context.opened.lenses


@experiment
def lens_distance(context: ExperimentContext) -> ExperimentResult:
    """Measures: `streams`, the number of layers before the last; `tuned_closer` and `jacobian_closer`, after how many of them
    every fold of that lens is closer to the final prediction than every fold of the logit lens and of the constant; `layer`, the
    one after which the tuned lens gains most on the logit lens, there `logit` and `tuned` with `logit_low`, `logit_high`,
    `tuned_low`, `tuned_high`, and `constant`; `first_logit`, `first_jacobian`, `first_tuned`: the mean layer from which on the
    final token is first; `places`, `part`.

    Raises: UserError: as `fitted_lenses`; if no layer is before the last.
    """
    if context.config.layers == 1:
        raise UserError(f"{context.run_name} has one layer, and no stream between it and the embeddings to judge a lens on.")
    found = fitted_lenses(context)
    logit, jacobian, tuned = (found.distances[name] for name in ("logit", "Jacobian", "tuned"))
    layers = range(1, len(logit))  # the logit lens of the embeddings can only repeat the token

    def closer(lens: list[list[float]]) -> int:
        return sum(max(lens[at]) < min(*logit[at], *found.constant) for at in layers)

    layer = max(layers, key=lambda at: fmean(logit[at]) - fmean(tuned[at]))
    measures: dict[str, Measure] = {
        **{"streams": len(layers), "tuned_closer": closer(tuned), "jacobian_closer": closer(jacobian), "layer": layer},
        **{"constant": fmean(found.constant), "places": found.places, "part": VALIDATION},
        **{f"first_{name.lower()}": fmean(each) for name, each in found.first.items()},
    }
    for name, each in (("logit", logit[layer]), ("tuned", tuned[layer])):
        measures |= {name: fmean(each), f"{name}_low": min(each), f"{name}_high": max(each)}
    first = {name: fixed(fmean(each), 1) for name, each in found.first.items()}
    sentence = (
        f"The tuned lens is clearly closer to the final prediction than the logit lens after {closer(tuned)} of "
        f"{counted(len(layers), 'layer')}, the Jacobian lens after {closer(jacobian)}. On average the final token is first from "
        f"layer {first['tuned']} on by the tuned lens, {first['Jacobian']} by the Jacobian, {first['logit']} by the logit lens."
    )
    view = View("lens_distance", "distance of three lenses", sentence, [found.table(VALIDATION, context.width or None)])
    return ExperimentResult(view, measures)
