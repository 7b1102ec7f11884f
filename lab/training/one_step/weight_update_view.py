"""Views of the weights that the next step changes most, and of one weight's update: the optimizer's formula with real numbers."""

import math
import re
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import AdamW as TorchAdamW

from lab.core.errors import UserError
from lab.core.number_format import probability, significant, whole
from lab.training.one_step.view_context import StepContext
from lab.training.one_step.weight_changes import WeightChange
from lab.views.blocks import Block, Cell, Column, Paragraph, Parity, Table, View
from lab.views.number_refs import describe_weight, split
from lab.views.number_tables import figures
from models.optimizers import RMS, orthogonalize, short_side_first

ABBREVIATIONS = {"token embedding": "embedding", "position embedding": "position", "dimension": "dim", " of the stream": ""}
"""Shorter words for a weight in the table."""
_LONG_WORDS = re.compile("|".join(ABBREVIATIONS))


def describe_change(context: StepContext, moved: WeightChange) -> str:
    return describe_weight(moved.name, moved.index, context.step.run.config.model, context.tokenizer.label)


def weight_changes_view(context: StepContext) -> View:
    step = context.step
    found = step.changes
    first = found.largest[0]
    change = first.after - first.before
    everywhere = f"{significant(100 * found.share, 2)}%"
    clipped = " (after clipping)" if step.gradients.factor < 1.0 else ""
    moved = found.against / found.changed if found.changed else 0.0
    sentence = (
        f"{context.next_step[:1].upper()}{context.next_step[1:]} changes {whole(found.changed)} of "
        f"{whole(sum(w.numel() for w in step.parameters.values()))} weights, by {everywhere} of their norm; "
        f"{probability(moved, 0)} of them go against the gradient{clipped}. "
        f"The largest change: {describe_change(context, first)}, from {significant(first.before, 4)} by "
        f"{significant(change, 3, sign=True)}."
    )
    rows = [
        [
            Cell(_LONG_WORDS.sub(lambda long: ABBREVIATIONS[long[0]], describe_change(context, each))),
            figures(each.after - each.before, 3, each.ref),
            figures(each.before, 4, each.ref),
            figures(each.after, 4, each.ref),
            figures(each.gradient, 3, each.ref),
        ]
        for each in found.largest
    ]
    columns = [
        Column("weight", align="left"),
        Column("step"),
        Column("before"),
        Column("after"),
        Column("gradient", optional=1),
    ]
    table, note = Table(columns, rows, title="largest first"), Paragraph(_learning_rate_sentence(context))
    return View("changes", "largest weight changes", sentence, [table, note])


def _learning_rate_sentence(context: StepContext) -> str:
    step = context.step
    if not isinstance(step.optimizer, TorchAdamW):
        return f"The learning rate is {significant(step.lr)}."
    if step.checkpoint.has_fresh_optimizer and step.applied == 0:
        share = step.changes.at_least_half / sum(weight.numel() for weight in step.parameters.values())
        return (
            f"With running means of 0 Adam's first step is g ÷ (|g| + 1e−8) times the learning rate, {significant(step.lr)}; "
            f"{probability(share, 0)} of all weights change by half of it or more."
        )
    return f"The learning rate is {significant(step.lr)}; Adam multiplies it by m̂ ÷ √v̂, gradient mean by gradient size."


FIGURES = 6
"""Significant figures of the terms of an update, so that it can be checked by hand."""


class Update(NamedTuple):
    """An optimizer's update of one weight."""

    title: str
    terms: list[tuple[str, str, float]]
    """Name, formula and value of each, in order of computation."""
    after: float


def adamw_update(weight: Tensor, state: dict[str, Any], group: dict[str, Any], index: tuple[int, ...], clipping: float) -> Update:
    """AdamW's update of the weight's element at `index`. `state` and `group` are the optimizer's before the step, `clipping` is
    the factor that clipping has multiplied the gradient by."""
    assert weight.grad is not None
    w, g = float(weight[index]), float(weight.grad[index])
    m, v = (float(state[key][index]) if key in state else 0.0 for key in ("exp_avg", "exp_avg_sq"))
    (beta1, beta2), step, lr, eps = group["betas"], int(state.get("step", 0)) + 1, group["lr"], group["eps"]
    new_m, new_v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    m_hat, v_hat = new_m / (1 - beta1**step), new_v / (1 - beta2**step)  # bias-corrected: both means started at 0
    ratio = m_hat / (math.sqrt(v_hat) + eps)  # between −1 and 1 unless the gradient has just changed much
    decay = _decay(group, w)
    kept1, new1, kept2, new2 = (f"{each:.10g}" for each in (beta1, 1 - beta1, beta2, 1 - beta2))
    terms = [
        ("g", _gradient(g, clipping), g),
        ("m", f"{kept1} × {_n(m)} + {new1} × g", new_m),
        ("v", f"{kept2} × {_n(v)} + {new2} × g²", new_v),
        ("m̂", f"m ÷ (1 − {kept1}^{step})", m_hat),
        ("v̂", f"v ÷ (1 − {kept2}^{step})", v_hat),
        ("ratio", f"m̂ ÷ (√v̂ + {significant(eps, 1)})", ratio),
        ("step", f"−{_n(lr)} × ratio", -lr * ratio),
        decay,
    ]
    return Update(f"AdamW, its update {whole(step)}", terms, w + decay[2] - lr * ratio)


def muon_update(
    weight: Tensor, state: dict[str, Any], group: dict[str, Any], index: tuple[int, ...], clipping: float, dtype: torch.dtype
) -> Update:
    """The same by Muon, whose matrix products are computed in `dtype`."""
    gradients, momentum, lr = weight.grad, group["momentum"], group["lr"]
    assert gradients is not None
    means = state.get("momentum_buffer", torch.zeros_like(weight))
    w, g, m = float(weight[index]), float(gradients[index]), float(means[index])
    matrices = gradients.lerp(means.lerp(gradients, 1 - momentum), momentum).view(group["parts"], -1, weight.shape[1])
    wide = short_side_first(matrices)  # (parts, short, long)
    orthogonal = orthogonalize(wide, dtype)
    if wide.shape != matrices.shape:
        orthogonal = orthogonal.mT
    part, row = divmod(index[0], matrices.shape[1])
    o, long = float(orthogonal[part, row, index[1]]), max(matrices.shape[1:])
    new_m = momentum * m + (1 - momentum) * g
    moved, decay = -lr * (RMS * math.sqrt(long)) * o, _decay(group, w)
    kept, new = f"{momentum:g}", f"{1 - momentum:.10g}"
    terms = [
        ("g", _gradient(g, clipping), g),
        ("m", f"{kept} × {_n(m)} + {new} × g", new_m),
        ("Nesterov", f"{new} × g + {kept} × m", (1 - momentum) * g + momentum * new_m),
        ("o", "nearest orthogonal matrix", o),
        ("step", f"−{_n(lr)} × {RMS:g}·√{long} × o", moved),
        decay,
    ]
    return Update("Muon, o by Newton-Schulz", terms, w + decay[2] + moved)


def _n(value: float) -> str:
    return significant(value, FIGURES)


def _gradient(gradient: float, clipping: float) -> str:
    """Formula of the gradient that the optimizer gets."""
    return f"{_n(gradient / clipping)} × {significant(clipping, 4)} (clipping)" if clipping < 1.0 else "clipping changes nothing"


def _decay(group: dict[str, Any], w: float) -> tuple[str, str, float]:
    lr, decay = group["lr"], group["weight_decay"]
    return "decay", f"−{_n(lr)} × {decay:g} × {_n(w)}", -lr * decay * w


def weight_update_view(context: StepContext, ref: str) -> View:
    """The optimizer's update of one weight, term by term. Raises: UserError if the model has no such weight."""
    step = context.step
    name, index = _named(context, ref or step.changes.largest[0].ref)
    parameter, group = step.parameters[name], step.group_of(step.parameters[name])
    rule = group.get("rule", "adamw" if isinstance(step.optimizer, TorchAdamW) else type(step.optimizer).__name__)
    asked = (parameter, dict(step.optimizer.state.get(parameter, {})), group, index, step.gradients.factor)
    update = adamw_update(*asked) if rule == "adamw" else None
    if rule == "muon":
        update = muon_update(*asked, step.optimizer.dtype)  # type: ignore[attr-defined]
    before, after = step.before_and_after(parameter)
    assert parameter.grad is not None
    moved = WeightChange(name, index, float(before[index]), float(after[index]), float(parameter.grad[index]))
    words = describe_change(context, moved)
    sentence = (
        f"{words[:1].upper()}{words[1:]}. It is {_n(moved.before)}, and {context.next_step} makes it {_n(moved.after)}: "
        f"{significant(moved.after - moved.before, 3, sign=True)}."
    )
    title = f"one weight: {moved.ref}, zero-indexed"
    if update is None:
        return View("weight", title, sentence, _plain(moved, rule))
    rows = [[Cell(name), Cell(_n(value), value), Cell(formula)] for name, formula, value in update.terms]
    total = [Cell("after"), Cell(_n(update.after), update.after), Cell(f"{_n(moved.before)} + step + decay")]
    table = Table([Column("", align="left"), Column("value"), Column(update.title, align="left")], rows, total=total)
    parity = Parity(f"{moved.ref} by the formula · optimizer", abs(update.after - moved.after), 1)
    return View("weight", title, sentence, [table], parity)


def _named(context: StepContext, ref: str) -> tuple[str, tuple[int, ...]]:
    name, indices = split(ref)
    parameter = context.step.parameters.get(name)
    known = parameter is not None and len(indices) == parameter.dim() and all(each.isdecimal() for each in indices)
    index = tuple(map(int, indices)) if known else ()
    if parameter is None or not known or any(at >= size for at, size in zip(index, parameter.shape, strict=True)):
        raise UserError(f"There is no weight called {ref}.")
    return name, index


def _plain(moved: WeightChange, rule: str) -> list[Block]:
    numbers = (("before", moved.before), ("gradient", moved.gradient), ("step", moved.after - moved.before))
    rows = [[Cell(label), Cell(_n(value), value)] for label, value in numbers]
    total = [Cell("after"), Cell(_n(moved.after), moved.after)]
    note = f"This weight follows {rule}, a rule whose terms the lab does not write out."
    return [Table([Column("", align="left"), Column("value")], rows, total=total), Paragraph(note)]
