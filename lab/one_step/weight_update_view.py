"""View of one weight's update: the optimizer's formula with the real numbers."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW as TorchAdamW

from lab.core.errors import UserError
from lab.core.number_format import significant, whole
from lab.one_step.training_step import TrainingStep
from lab.one_step.view_context import StepContext
from lab.one_step.weight_changes import WeightChange
from lab.one_step.weight_changes_view import change_in_words
from lab.views.blocks import Block, Cell, Column, Paragraph, Parity, Table, View
from lab.views.number_refs import split
from models.optimizers import RMS, orthogonalize, short_side_first


@dataclass(frozen=True)
class Muon:
    """The terms of one update, in order of computation."""

    w: float
    g: float
    m: float
    """Running mean of the gradients before this step."""
    momentum: float
    o: float
    """The weight's entry of the nearest orthogonal matrix, by Newton-Schulz."""
    long: int
    """The longer side of the matrix."""
    lr: float
    decay: float

    @property
    def new_m(self) -> float:
        return self.momentum * self.m + (1 - self.momentum) * self.g

    @property
    def nesterov(self) -> float:
        """The gradient with Nesterov momentum: mostly the new mean, a little of the gradient itself."""
        return (1 - self.momentum) * self.g + self.momentum * self.new_m

    @property
    def scale(self) -> float:
        return RMS * math.sqrt(self.long)

    @property
    def decay_change(self) -> float:
        """Change by weight decay."""
        return -self.lr * self.decay * self.w

    @property
    def gradient_change(self) -> float:
        """Change by the gradients."""
        return -self.lr * self.scale * self.o

    @property
    def after(self) -> float:
        return self.w + self.decay_change + self.gradient_change


def muon_of(weight: Tensor, state: dict[str, Any], group: dict[str, Any], index: tuple[int, ...], dtype: torch.dtype) -> Muon:
    """The terms of the weight's element at `index`. `state` and `group` are the optimizer's before the step."""
    gradient, momentum = weight.grad, group["momentum"]
    assert gradient is not None
    mean = state.get("momentum_buffer", torch.zeros_like(weight))
    nesterov = gradient.lerp(mean.lerp(gradient, 1 - momentum), momentum)
    matrices = nesterov.view(group["parts"], -1, nesterov.shape[1])  # (parts, rows, columns)
    wide = short_side_first(matrices)
    orthogonal = orthogonalize(wide, dtype)
    if wide.shape != matrices.shape:
        orthogonal = orthogonal.mT
    part, row = divmod(index[0], matrices.shape[1])
    return Muon(
        w=float(weight[index]),
        g=float(gradient[index]),
        m=float(mean[index]),
        momentum=momentum,
        o=float(orthogonal[part, row, index[1]]),
        long=max(matrices.shape[1:]),
        lr=group["lr"],
        decay=group["weight_decay"],
    )


@dataclass(frozen=True)
class AdamW:
    """The terms of one update, in order of computation."""

    w: float
    g: float
    m: float
    """Running mean of the gradients before this step."""
    v: float
    """Running mean of their squares before this step."""
    step: int
    """Number of this update in the optimizer's own count, from 1."""
    lr: float
    beta1: float
    beta2: float
    eps: float
    decay: float

    @property
    def new_m(self) -> float:
        return self.beta1 * self.m + (1 - self.beta1) * self.g

    @property
    def new_v(self) -> float:
        return self.beta2 * self.v + (1 - self.beta2) * self.g**2

    @property
    def m_hat(self) -> float:
        """The bias-corrected mean: it started at 0."""
        return self.new_m / (1 - self.beta1**self.step)

    @property
    def v_hat(self) -> float:
        return self.new_v / (1 - self.beta2**self.step)

    @property
    def ratio(self) -> float:
        """Factor of the learning rate; between −1 and 1 unless the gradient has just changed much."""
        return self.m_hat / (math.sqrt(self.v_hat) + self.eps)

    @property
    def decay_change(self) -> float:
        """Change by weight decay."""
        return -self.lr * self.decay * self.w

    @property
    def gradient_change(self) -> float:
        """Change by the gradients."""
        return -self.lr * self.ratio

    @property
    def after(self) -> float:
        return self.w + self.decay_change + self.gradient_change


FIGURES = 6
"""Significant figures of the terms of an update, so that it can be checked by hand."""

Terms = list[tuple[str, str, float]]
"""Name, formula and value of each."""


def weight_update_view(context: StepContext, ref: str) -> View:
    """The optimizer's update of one weight, term by term. Raises: UserError if the model has no such weight."""
    step = context.step
    name, index = _named(context, ref or step.changes.largest[0].ref)
    parameter, group = step.parameters[name], step.group_of(step.parameters[name])
    rule = group.get("rule", "adamw" if isinstance(step.optimizer, TorchAdamW) else type(step.optimizer).__name__)
    state = dict(step.optimizer.state.get(parameter, {}))
    adamw = _adamw_of(parameter, state, group, index) if rule == "adamw" else None
    muon = muon_of(parameter, state, group, index, step.optimizer.dtype) if rule == "muon" else None  # type: ignore[attr-defined]
    before, after = step.before_and_after(parameter)
    assert parameter.grad is not None
    moved = WeightChange(name, index, float(before[index]), float(after[index]), float(parameter.grad[index]))
    words = change_in_words(context, moved)
    sentence = (
        f"{words[:1].upper()}{words[1:]}. It is {significant(moved.before, FIGURES)}, and {context.next_step} makes "
        f"it {significant(moved.after, FIGURES)}: {significant(moved.after - moved.before, 3, sign=True)}."
    )
    title = f"one weight: {moved.ref}, zero-indexed"
    terms = adamw or muon
    if terms is None:
        return View("weight", title, sentence, _plain(moved, rule))
    blocks = _of_muon(step, terms) if isinstance(terms, Muon) else _of_adamw(step, terms)
    parity = Parity(f"{moved.ref} by the formula · optimizer", abs(terms.after - moved.after), 1)
    return View("weight", title, sentence, blocks, parity)


def _adamw_of(weight: Tensor, state: dict[str, Any], group: dict[str, Any], index: tuple[int, ...]) -> AdamW:
    assert weight.grad is not None
    m, v = (float(state[key][index]) if key in state else 0.0 for key in ("exp_avg", "exp_avg_sq"))
    beta1, beta2 = group["betas"]
    count = int(state.get("step", 0)) + 1
    lr, eps, decay = group["lr"], group["eps"], group["weight_decay"]
    return AdamW(float(weight[index]), float(weight.grad[index]), m, v, count, lr, beta1, beta2, eps, decay)


def _named(context: StepContext, ref: str) -> tuple[str, tuple[int, ...]]:
    name, indices = split(ref)
    parameter = context.step.parameters.get(name)
    known = parameter is not None and len(indices) == parameter.dim() and all(each.isdecimal() for each in indices)
    index = tuple(map(int, indices)) if known else ()
    if parameter is None or not known or any(at >= size for at, size in zip(index, parameter.shape, strict=True)):
        raise UserError(f"There is no weight called {ref}.")
    return name, index


def _n(value: float) -> str:
    return significant(value, FIGURES)


def _gradient(step: TrainingStep, gradient: float) -> str:
    """Formula of the gradient that the optimizer gets."""
    factor = step.gradients.factor
    return f"{_n(gradient / factor)} × {significant(factor, 4)} (clipping)" if factor < 1.0 else "clipping changes nothing"


def _table(title: str, terms: Terms, w: float, after: float) -> Table:
    rows = [[Cell(name), Cell(_n(value), value), Cell(formula)] for name, formula, value in terms]
    total = [Cell("after"), Cell(_n(after), after), Cell(f"{_n(w)} + step + decay")]
    return Table([Column("", align="left"), Column("value"), Column(title, align="left")], rows, total=total)


def _decay(terms: AdamW | Muon) -> tuple[str, str, float]:
    return "decay", f"−{_n(terms.lr)} × {terms.decay:g} × {_n(terms.w)}", terms.decay_change


def _of_adamw(step: TrainingStep, terms: AdamW) -> list[Block]:
    kept1, new1, kept2, new2 = (f"{each:.10g}" for each in (terms.beta1, 1 - terms.beta1, terms.beta2, 1 - terms.beta2))
    rows = [
        ("g", _gradient(step, terms.g), terms.g),
        ("m", f"{kept1} × {_n(terms.m)} + {new1} × g", terms.new_m),
        ("v", f"{kept2} × {_n(terms.v)} + {new2} × g²", terms.new_v),
        ("m̂", f"m ÷ (1 − {kept1}^{terms.step})", terms.m_hat),
        ("v̂", f"v ÷ (1 − {kept2}^{terms.step})", terms.v_hat),
        ("ratio", f"m̂ ÷ (√v̂ + {significant(terms.eps, 1)})", terms.ratio),
        ("step", f"−{_n(terms.lr)} × ratio", terms.gradient_change),
        _decay(terms),
    ]
    return [_table(f"AdamW, its update {whole(terms.step)}", rows, terms.w, terms.after)]


def _of_muon(step: TrainingStep, terms: Muon) -> list[Block]:
    kept, new = f"{terms.momentum:g}", f"{1 - terms.momentum:.10g}"
    rows = [
        ("g", _gradient(step, terms.g), terms.g),
        ("m", f"{kept} × {_n(terms.m)} + {new} × g", terms.new_m),
        ("Nesterov", f"{new} × g + {kept} × m", terms.nesterov),
        ("o", "nearest orthogonal matrix", terms.o),
        ("step", f"−{_n(terms.lr)} × {RMS:g}·√{terms.long} × o", terms.gradient_change),
        _decay(terms),
    ]
    return [_table("Muon, o by Newton-Schulz", rows, terms.w, terms.after)]


def _plain(moved: WeightChange, rule: str) -> list[Block]:
    numbers = (("before", moved.before), ("gradient", moved.gradient), ("step", moved.after - moved.before))
    rows = [[Cell(label), Cell(_n(value), value)] for label, value in numbers]
    total = [Cell("after"), Cell(_n(moved.after), moved.after)]
    note = f"This weight follows {rule}, a rule whose terms the lab does not write out."
    return [Table([Column("", align="left"), Column("value")], rows, total=total), Paragraph(note)]
