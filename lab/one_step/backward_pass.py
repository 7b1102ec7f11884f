"""Numbers of the picture of the backward pass: loss, p − one-hot, gradients part by part, and the weight that moves most."""

import math

import numpy as np

from lab.core.number_format import fixed, probability, significant, whole
from lab.one_step.gradient_norms_view import part_of, squares_by_part
from lab.one_step.step_stages import BackwardPass, GradientPart, LogitError, MovingWeight
from lab.one_step.view_context import StepContext
from lab.one_step.weight_changes_view import describe_change
from lab.views.blocks import View

ERRORS = 16
"""Tokens whose p − one-hot is shown."""


def backward_pass(context: StepContext) -> BackwardPass:
    """The picture's numbers, all of the step itself; without the weight while the step's changes are not found."""
    step = context.step
    own = float(context.losses()[context.position - 1])
    found = step.gradients
    return BackwardPass(
        step.current.mean, own, step.trained.target_name, _errors(context), _parts(context), found.total, _weight(context)
    )


def backward_view(context: StepContext) -> View:
    """The words beside the picture."""
    step = context.step
    label, here = f"“{context.label(context.position)}”", context.position - 1
    p, own = float(context.given()[here]), float(context.losses()[here])
    sentence = (
        f"{label} had {probability(p)}, a loss of {fixed(own, 2)}; the mean of all {whole(context.count)} is "
        f"{fixed(step.current.mean, 3)}. Its gradient flows back from the logits to the embeddings, with a norm of "
        f"{significant(step.gradients.total)} over all weights."
    )
    return View("backward", "backward pass", sentence, [], context.parity())


def _errors(context: StepContext) -> list[LogitError]:
    """p − target of the target and of the tokens with the highest p, the target first, and of all others together."""
    p = context.probabilities()
    top = [context.target, *(id_ for id_ in np.argsort(-p, kind="stable").tolist()[:ERRORS] if id_ != context.target)][:ERRORS]
    *errors, of_rest = (error for _, _, error in context.at_logits(top))
    found = [LogitError(context.tokenizer.label(id_), error) for id_, error in zip(top, errors, strict=True)]
    rest = len(p) - len(top)
    return [*found, LogitError(f"{rest} others", of_rest, True)] if rest else found


def _parts(context: StepContext) -> list[GradientPart]:
    """From the final norm back to the embeddings. `stream` is the gradient that goes on to the part before."""
    step, layers = context.step, context.step.model.config.layers
    squares = squares_by_part(step.gradients.norms)
    stream = step.gradients.stream
    parts = [GradientPart("final norm", None, math.sqrt(squares["final norm"]), stream[f"blocks.{layers - 1}.resid_post"])]
    for layer in reversed(range(layers)):
        for kind, before in (("MLP", "resid_mid"), ("attention", "resid_pre")):
            name = f"{layer + 1} {kind}"
            parts.append(GradientPart(name, layer, math.sqrt(squares[name]), stream[f"blocks.{layer}.{before}"]))
    embeddings = ("position embedding", "token embedding")
    return [*parts, *(GradientPart(name, None, math.sqrt(squares[name]), None) for name in embeddings)]


def _weight(context: StepContext) -> MovingWeight | None:
    changes = context.step.found_changes
    if changes is None:
        return None
    first = changes.largest[0]
    return MovingWeight(part_of(first.name), describe_change(context, first), first.ref, first.before, first.after)
