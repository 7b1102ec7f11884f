"""The backward pass: p − target at the logits, the gradient norm of each part of the model, and the numbers of its picture."""

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np

from lab.core.number_format import fixed, probability, significant, whole
from lab.training.one_step.step_stages import BackwardPass, GradientPart, LogitError, MovingWeight
from lab.training.one_step.view_context import TOP, StepContext
from lab.training.one_step.weight_update_view import describe_change
from lab.views.blocks import Block, Cell, Column, Paragraph, Parity, Table, View
from lab.views.number_tables import decimals_for, figures, number


def logits_gradient_view(context: StepContext) -> View:
    """p − target, the gradient of the loss at the logits."""
    p = context.probabilities()
    target, count = context.target, context.count
    came = f"“{context.label(context.position)}”"
    guess = int(p.argmax())
    best = (
        "the highest"
        if guess == target
        else f"“{context.tokenizer.label(guess)}” had the highest, {probability(float(p[guess]))}"
    )
    part = f"; it is only one of the {whole(count)} predictions of the step" if count > 1 else ""
    towards, name = context.towards(), context.step.trained.loss.target_name
    way, lowered = "down" if p[target] > towards[target] else "up", int((p > towards).sum())
    down = "all others" if lowered >= len(p) - 1 else f"{whole(lowered)} others"
    sentence = f"After {context.text_before} the target {came} had {probability(float(p[target]))}, {best}." + (
        _logit_change(context, came)
        or f" Against its gradient, this prediction pulls the logit of {came} {way} and {down} down{part}."
    )
    top = np.argsort(-p, kind="stable")[:TOP].tolist()
    if target not in top:
        top = [*top[:-1], target]
    found = context.at_logits(top)
    total, decimals, others = sum(error for _, _, error in found), 5, len(p) - len(top)
    labels = [Cell(context.tokenizer.label(id_), style="strong" if id_ == target else "") for id_ in top]
    labels += [Cell(f"{whole(others)} others", style="dim")] * bool(others)
    rows = []
    for label, (own, share, error) in zip(labels, found, strict=False):
        is_rest = label.style == "dim"
        dim = "dim" if is_rest else ""
        cells = [number(own, decimals, style=dim), Cell(f"{share:.4g}", None if is_rest else share, style=dim)]
        cells.append(Cell(fixed(error, decimals, sign=True), error, style=dim, bar=error))
        rows.append([label, *cells, figures(error / count, 3)])
    rounded = 0.0 if abs(total) < 1e-9 else total
    columns = [Column("token", align="left"), Column("p"), Column(name), Column(f"p − {name}")]
    sums = [Cell("Σ"), number(float(p.sum()), decimals), Cell("1"), Cell(fixed(rounded, decimals), total), Cell("0")]
    columns.append(Column(f"÷ {whole(count)}", optional=1))
    own, share, error = found[top.index(target)]
    formula = Paragraph(
        f"∂loss/∂logit of {came} = (p − {share:.4g}) ÷ N\n= ({significant(own, 5)} − {share:.4g}) ÷ {whole(count)}\n"
        f"= {significant(error / count, 5)}"
    )
    blocks: list[Block] = [Table(columns, rows, title="at the logits", total=sums), formula]
    if context.step.has_dropout:
        without = probability(float(context.in_inspect()[target]))
        blocks.append(Paragraph(f"With dropout off, as in Inspect, {came} has {without} with these weights."))
    return View("logits_gradient", f"p − {name} at token {context.position + 1}", sentence, blocks, context.parity())


def _logit_change(context: StepContext, came: str) -> str:
    """Change of the target's logit by the last step, which is of the whole batch; empty where none is taken."""
    at = context.step.applied
    if not at:
        return ""
    before, now = context.logit(at - 1), context.logit(at)
    verb = "raised" if now > before else "lowered" if now < before else "did not change"
    moved = f" by {significant(abs(now - before), 3)}, from {fixed(before, 3)} to {fixed(now, 3)}" if now != before else ""
    return f" Step {at}, of all predictions together, {verb} the logit of {came}{moved}."


def part_of(name: str) -> str:
    """The part of the model that a weight belongs to: `token embedding`, `2 attention`, `2 MLP`, `2 norms`, `final norm` …"""
    if name.startswith("h."):
        _, layer, inside, *_ = name.split(".")
        kind = "attention" if inside == "attn" else "MLP" if inside == "mlp" else "norms"
        return f"{int(layer) + 1} {kind}"
    return {"wte": "token embedding", "wpe": "position embedding", "ln_f": "final norm"}[name.split(".")[0]]


def squares_by_part(norms: Mapping[str, float]) -> dict[str, float]:
    """Square of the norm of each part, from the norms of its weights."""
    squares: dict[str, float] = {}
    for name, norm in norms.items():
        squares[part_of(name)] = squares.get(part_of(name), 0.0) + norm**2
    return squares


def gradient_norms_view(context: StepContext) -> View:
    found = context.step.gradients
    squares = squares_by_part(found.norms)
    sizes: Counter[str] = Counter()
    for name in found.norms:
        sizes[part_of(name)] += context.step.parameters[name].numel()
    whole_square = sum(squares.values()) or 1.0
    most = max(squares, key=lambda part: squares[part])
    rms = {part: math.sqrt(squares[part] / sizes[part]) for part in squares}
    if found.factor < 1.0:
        clipping = (
            f"above the limit of {significant(found.clip)}, so clipping multiplies every gradient by {significant(found.clip)} ÷ "
            f"{significant(found.total, 4)} = {significant(found.factor, 4)}"
        )
    else:
        clipping = f"below the limit of {significant(found.clip)}, so clipping changes nothing"
    number_, _, kind = most.partition(" ")
    part_name = f"{kind} of layer {number_}" if number_.isdecimal() else most
    sentence = (
        f"The gradient norm of all {whole(sum(sizes.values()))} weights{context.steps_so_far} is {significant(found.total, 4)}, "
        f"{clipping}. The {part_name} has most of it: {probability(squares[most] / whole_square, 0)} of its square."
    )
    norms = [math.sqrt(square) for square in squares.values()]
    largest = max(norms) or 1.0
    decimals = decimals_for(norms, found.total, digits=4)
    rows = [
        [
            Cell(part),
            number(norm, decimals, bar=norm / largest),
            Cell(probability(norm**2 / whole_square), norm**2 / whole_square),
            figures(rms[part], 2),
        ]
        for part, norm in zip(squares, norms, strict=True)
    ]
    columns = [Column("part", align="left"), Column("gradient norm"), Column("share (norm²)"), Column("RMS", optional=1)]
    total = [Cell("√ of Σ of squares"), number(math.sqrt(sum(squares.values())), decimals), Cell("100%"), Cell("")]
    parity = Parity("√ of Σ of squares · clip_grad_norm_", abs(math.sqrt(sum(squares.values())) - found.total), 1, found.total)
    table = Table(columns, rows, title="part by part", total=total)
    return View("gradients", "gradient norm of each part", sentence, [table], parity)


ERRORS = 16
"""Tokens whose p − one-hot is shown."""


def backward_pass(context: StepContext) -> BackwardPass:
    """The picture's numbers, all of the step itself; without the weight while the step's changes are not found."""
    step = context.step
    own = float(context.losses()[context.position - 1])
    found = step.gradients
    return BackwardPass(
        step.current.mean, own, step.trained.loss.target_name, _errors(context), _parts(context), found.total, _weight(context)
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
