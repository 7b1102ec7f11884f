"""What is shown of the optimizer's part of one training step: what moves most, one weight in full, and what came of it."""

from typing import Any

import numpy as np
from torch import Tensor
from torch.optim import AdamW as TorchAdamW
from torch.optim import Optimizer

from lab.adamw import AdamW
from lab.errors import UserError
from lab.numbers import fixed, probability, significant, whole
from lab.one_step import Moved
from lab.refs import split
from lab.stages.cells import Numbers, around, decimals_for, figures, number
from lab.step_views import ROWS, TOP, StepLook
from lab.views import Block, Cell, Column, Note, Parity, Table, View
from lab.weight_names import weight_in_words

FIGURES = 6
"""Significant figures of the terms of an update, so that it can be checked by hand."""


SHORTER = (("token embedding", "embedding"), ("position embedding", "position"), ("dimension", "dim"), (" of the stream", ""))
"""What stands in a table for the words of a weight."""


def in_words(look: StepLook, moved: Moved) -> str:
    return weight_in_words(moved.name, moved.index, look.step.run.config.model, look.tokenizer.label)


def in_short(look: StepLook, moved: Moved) -> str:
    words = in_words(look, moved)
    for long, short in SHORTER:
        words = words.replace(long, short)
    return words


def moves(look: StepLook) -> View:
    step = look.step
    found = step.moves
    assert found is not None
    assert step.gradients is not None
    first = found.largest[0]
    change = first.after - first.before
    everywhere = f"{significant(100 * found.step_norm / found.weight_norm if found.weight_norm else 0.0, 2)}%"
    sentence = (
        f"The next step{look.steps_so_far} changes {whole(found.changed)} of "
        f"{whole(sum(w.numel() for w in step.names.values()))} weights; together they move by {everywhere} of their own "
        f"length. Furthest moves {in_words(look, first)}: from "
        f"{significant(first.before, 4)} by {significant(change, 3, sign=True)}. {_why_alike(look)}"
    )
    rows = [
        [
            Cell(in_short(look, each)),
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
        Column("gradient", optional=True),
    ]
    clipped = " (after clipping)" if step.gradients.factor < 1.0 else ""
    notes = (
        f"Gradient{clipped}: how the loss rises with the weight; the step goes against its running mean. enter puts a "
        "cursor on these rows, and enter on one shows how its step comes about."
    )
    return View("moves", "the largest single moves", sentence, [Table(columns, rows, title="furthest first"), Note(notes)])


def _why_alike(look: StepLook) -> str:
    step = look.step
    if not isinstance(step.optimizer, TorchAdamW):
        return f"The learning rate is {significant(step.rate)}."
    if step.is_fresh and step.applied == 0:
        return (
            f"With running means of 0 Adam's first step moves every weight by about the learning rate, {significant(step.rate)}, "
            "however small its gradient."
        )
    return f"The learning rate is {significant(step.rate)}; Adam multiplies it by m̂ ÷ √v̂, gradient mean by gradient size."


def weight(look: StepLook, ref: str) -> View:
    """Raises: UserError if the model has no such weight."""
    step = look.step
    assert step.moves is not None
    name, index = _named(look, ref or step.moves.largest[0].ref)
    parameter = step.names[name]
    state = dict(step.optimizer.state.get(parameter, {}))
    m, v, count = (_at(state.get(key), index) for key in ("exp_avg", "exp_avg_sq", "step"))
    before, after, then = step.tried(parameter)
    assert parameter.grad is not None
    moved = Moved(name, index, float(before[index]), float(after[index]), float(parameter.grad[index]))
    words = in_words(look, moved)
    change = moved.after - moved.before
    sentence = (
        f"{words[:1].upper()}{words[1:]}. It is {significant(moved.before, FIGURES)}, and the next step{look.steps_so_far} makes "
        f"it {significant(moved.after, FIGURES)}: {significant(change, 3, sign=True)}."
    )
    group = step.group_of(parameter)
    if not follows_adamw(step.optimizer, group):
        return View(
            "weight", f"one weight: {moved.ref}", sentence, _plain(moved, str(group.get("rule", type(step.optimizer).__name__)))
        )
    terms = AdamW(
        moved.before, moved.gradient, m, v, int(count) + 1, group["lr"], *group["betas"], group["eps"], group["weight_decay"]
    )
    parity = Parity(f"{moved.ref} by the formula · optimizer", abs(terms.after - moved.after), 1)
    return View("weight", f"one weight: {moved.ref}", sentence, [*_adamw(look, terms, moved, then), _settings(terms)], parity)


def follows_adamw(optimizer: Optimizer, group: dict[str, Any]) -> bool:
    return bool(group.get("rule", "adamw" if isinstance(optimizer, TorchAdamW) else "") == "adamw")


def _at(value: Any, index: tuple[int, ...]) -> float:
    if isinstance(value, Tensor):
        return float(value[index] if value.dim() else value)
    return float(value or 0.0)


def _named(look: StepLook, ref: str) -> tuple[str, tuple[int, ...]]:
    name, places = split(ref)
    parameter = look.step.names.get(name)
    if parameter is None or len(places) != parameter.dim() or not all(place.isdecimal() for place in places):
        raise UserError(f"There is no weight called {ref}.")
    index = tuple(map(int, places))
    if any(place >= size for place, size in zip(index, parameter.shape, strict=True)):
        raise UserError(f"There is no weight called {ref}.")
    return name, index


def _adamw(look: StepLook, terms: AdamW, moved: Moved, then: dict[str, Any]) -> list[Block]:
    def n(value: float) -> str:
        return significant(value, FIGURES)

    step = look.step
    assert step.gradients is not None
    clipped = step.gradients.factor
    raw = f"{n(moved.gradient / clipped)} × {significant(clipped, 4)} (clipping)" if clipped < 1.0 else "clipping changes nothing"
    kept1, new1, kept2, new2 = (f"{each:.10g}" for each in (terms.beta1, 1 - terms.beta1, terms.beta2, 1 - terms.beta2))
    rows = [
        ("g", raw, terms.g),
        ("m", f"{kept1} × {n(terms.m)} + {new1} × g", terms.new_m),
        ("v", f"{kept2} × {n(terms.v)} + {new2} × g²", terms.new_v),
        ("m̂", f"m ÷ (1 − {kept1}^{terms.step})", terms.m_hat),
        ("v̂", f"v ÷ (1 − {kept2}^{terms.step})", terms.v_hat),
        ("ratio", f"m̂ ÷ (√v̂ + {terms.eps:g})", terms.ratio),
        ("moved", f"−{n(terms.rate)} × ratio", terms.moved),
        ("decay", f"−{n(terms.rate)} × {terms.decay:g} × {n(terms.w)}", terms.decayed),
    ]
    table = Table(
        [Column("", align="left"), Column("AdamW", align="left"), Column("value")],
        [[Cell(name), Cell(formula), Cell(n(value), value)] for name, formula, value in rows],
        total=[Cell("after"), Cell(f"{n(terms.w)} + moved + decay"), Cell(n(terms.after), terms.after)],
    )
    return [table]


def _settings(terms: AdamW) -> Note:
    why = (
        "m is the running mean of the gradients, v that of their squares; dividing by 1 − β^t takes out that both began at 0. "
        "The ratio is near ±1 where the gradients agreed from step to step, near 0 where they did not: here "
        f"{significant(terms.ratio)}."
    )
    decay = " Weight decay pulls the weight towards 0." if terms.decay else " Biases and norms are not decayed."
    return Note(f"{why}{decay} This is update {whole(terms.step)} of the optimizer's own count.")


def _plain(moved: Moved, rule: str) -> list[Block]:
    change = moved.after - moved.before
    rows = [
        [Cell(label), Cell(significant(value, FIGURES), value)]
        for label, value in (("before", moved.before), ("gradient", moved.gradient), ("step", change))
    ]
    total = [Cell("after"), Cell(significant(moved.after, FIGURES), moved.after)]
    note = (
        f"This weight follows {rule}, whose step depends on more than this one gradient, so that its terms are not written out."
    )
    return [Table([Column("", align="left"), Column("value")], rows, total=total), Note(note)]


def after(look: StepLook) -> View:
    step = look.step
    title = "after the step"
    if step.applied == 0:
        assert step.moves is not None
        expected = step.now.loss + step.moves.predicted
        sentence = (
            f"No step is taken yet. Gradient times step, summed over all weights, says what to expect: a change of the loss by "
            f"{significant(step.moves.predicted, 3, sign=True)}, from {fixed(step.now.loss, 4)} to {fixed(expected, 4)}. "
            "space takes the step and shows what really happens; u undoes it."
        )
        return View("after", title, sentence, [])
    before, now = step.moments[step.applied - 1], step.now
    change = now.loss - before.loss
    assert before.predicted is not None
    sentence = (
        f"Step {step.applied} is taken: the loss {'fell' if change < 0 else 'rose'} from {fixed(before.loss, 4)} to "
        f"{fixed(now.loss, 4)}, by {significant(abs(change), 3)}. Gradient times step had said "
        f"{significant(before.predicted, 3, sign=True)}: "
        f"{_compared(change, before.predicted)} space takes another, u undoes."
    )
    return View("after", title, sentence, [_probabilities(look), _tokens(look), *_history(look)])


def _compared(change: float, predicted: float) -> str:
    if predicted >= 0:
        return "the running means of earlier gradients pull against this batch, and no fall was to be expected."
    share = change / predicted
    if share < 0:
        return "the step was so long that the loss went up all the same."
    if share > 1.1:
        return f"it fell {significant(share, 2)} times as much, since the gradients grew on the way."
    if share < 0.9:
        return f"it fell only {probability(share, 0)} of that, since a straight line follows the loss for short steps alone."
    return "as good as true, since the step was short."


def _probabilities(look: StepLook) -> Table:
    """The most probable tokens at the chosen place before and after the last step."""
    at = look.step.applied
    before, now = look.probabilities(at - 1), look.probabilities(at)
    order: list[int] = []
    for id_ in [look.target, *np.argsort(-np.maximum(before, now), kind="stable")[:TOP].tolist()]:
        if id_ not in order:
            order.append(id_)
    order = sorted(order[:TOP], key=lambda id_: -now[id_])
    rest = [float(p.sum() - p[order].sum()) for p in (before, now)]
    rows = [
        [
            Cell(look.tokenizer.label(id_), style="strong" if id_ == look.target else ""),
            *_pair(float(before[id_]), float(now[id_])),
        ]
        for id_ in order
    ]
    if len(before) > len(order):
        rows.append([Cell(f"{whole(len(before) - len(order))} others", style="dim"), *_pair(*rest)])
    columns = [Column("token", align="left"), Column("p before"), Column("p after"), Column("change")]
    title = f"token {look.position + 1}: “{look.label(look.position)}” came after {look.after_what}"
    return Table(columns, rows, title=title)


def _pair(before: float, now: float) -> list[Cell]:
    return [
        Cell(probability(before, 2), before),
        Cell(probability(now, 2), now),
        Cell(fixed(100 * (now - before), 2, sign=True), now - before, bar=now - before),
    ]


def _tokens(look: StepLook) -> Table:
    """Losses around the chosen place before and after the last step."""
    at = look.step.applied
    before, now = look.losses(at - 1), look.losses(at)
    shown = around(len(now), look.position - 1, ROWS)
    places = decimals_for(before, now, digits=4)
    most = float(np.abs(now - before).max()) or 1.0

    def cells(old: float, new: float, bar: float | None) -> list[Cell]:
        change = new - old
        return [number(old, places), number(new, places), Cell(fixed(change, places, sign=True), change, bar=bar)]

    rows = [[Cell(look.name(i + 1)), *cells(float(before[i]), float(now[i]), float(now[i] - before[i]) / most)] for i in shown]
    total = [Cell("mean of the window"), *cells(float(before.mean()), float(now.mean()), None)]
    columns = [Column("what came", align="left"), Column("loss before"), Column("after"), Column("change")]
    return Table(columns, rows, title="loss of each token", total=total, selected=look.position - 1 - shown.start)


def _history(look: StepLook) -> list[Block]:
    """The loss after each step so far."""
    moments = look.step.moments
    if len(moments) < 3:
        return []
    losses: Numbers = np.array([moment.loss for moment in moments])
    places = decimals_for(losses, digits=5)
    rows = []
    for index in range(1, len(moments)):
        change, predicted = moments[index].loss - moments[index - 1].loss, moments[index - 1].predicted or 0.0
        rows.append(
            [
                Cell(str(index)),
                number(moments[index].loss, places, bar=moments[index].loss / float(losses.max())),
                Cell(significant(change, 3, sign=True), change),
                Cell(significant(predicted, 3, sign=True), predicted),
            ]
        )
    columns = [Column("step"), Column("loss"), Column("changed by"), Column("predicted", optional=True)]
    return [Table(columns, rows, title=f"the same batch again and again, from {fixed(float(losses[0]), places)}")]
