"""What is shown of one training step's effect: the weights that move most, and what becomes of the loss."""

import numpy as np
from torch.optim import AdamW as TorchAdamW

from lab.core.number_format import fixed, probability, significant, whole
from lab.inspect.weight_names import weight_in_words
from lab.one_step.stage_views import ROWS, TOP, StepLook
from lab.one_step.step_state import Moved
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View
from lab.views.number_tables import Numbers, around, decimals_for, figures, number

SHORTER = (("token embedding", "embedding"), ("position embedding", "position"), ("dimension", "dim"), (" of the stream", ""))
"""What stands in a table for the words of a weight."""


def moves_in_words(look: StepLook, moved: Moved) -> str:
    return weight_in_words(moved.name, moved.index, look.step.run.config.model, look.tokenizer.label)


def in_short(look: StepLook, moved: Moved) -> str:
    words = moves_in_words(look, moved)
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
        f"{look.next_step[:1].upper()}{look.next_step[1:]} changes {whole(found.changed)} of "
        f"{whole(sum(w.numel() for w in step.names.values()))} weights; together they move by {everywhere} of their own "
        f"length. Furthest moves {moves_in_words(look, first)}: from "
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
    moved = found.against / found.changed if found.changed else 0.0
    notes = (
        f"Gradient{clipped}: how the loss rises with the weight. {probability(moved, 0)} of the weights that change go against "
        f"it: {_why_not_all(look)} enter puts a cursor on these rows, and enter on one shows how its step comes about."
    )
    return View("moves", "the largest single moves", sentence, [Table(columns, rows, title="furthest first"), Paragraph(notes)])


def _why_alike(look: StepLook) -> str:
    step = look.step
    if not isinstance(step.optimizer, TorchAdamW):
        return f"The learning rate is {significant(step.rate)}."
    if step.is_fresh and step.applied == 0:
        assert step.moves is not None
        share = step.moves.at_least_half / sum(weight.numel() for weight in step.names.values())
        return (
            f"With running means of 0 Adam's first step is g ÷ (|g| + 1e−8) times the learning rate, {significant(step.rate)}: "
            "nearly the whole of it unless the gradient g is about as small as 1e−8, or 0. "
            f"{probability(share, 0)} of all weights move by half of it or more."
        )
    return f"The learning rate is {significant(step.rate)}; Adam multiplies it by m̂ ÷ √v̂, gradient mean by gradient size."


def _why_not_all(look: StepLook) -> str:
    """Why a weight may move with its gradient of this batch."""
    groups = look.step.optimizer.param_groups
    rules = {group.get("rule", "adamw" if isinstance(look.step.optimizer, TorchAdamW) else "") for group in groups}
    said = "AdamW follows the running mean of the gradients, and weight decay pulls towards 0"
    if "muon" in rules:
        return f"{said}; Muon moves a matrix as a whole, and single weights of it either way."
    return f"{said}." if "adamw" in rules else "the optimizer has a rule of its own."


def after(look: StepLook) -> View:
    step = look.step
    title = "after the step"
    if step.applied == 0:
        assert step.moves is not None
        expected = step.now.mean + step.moves.predicted
        sentence = (
            f"No step is taken yet. Gradient times step, summed over all weights, says what to expect: a change of the loss by "
            f"{significant(step.moves.predicted, 3, sign=True)}, from {fixed(step.now.mean, 4)} to {fixed(expected, 4)}. "
            "space takes the step and shows what really happens; u undoes it."
        )
        return View("after", title, sentence, [])
    before, now = step.moments[step.applied - 1], step.now
    change = now.mean - before.mean
    assert before.predicted is not None
    sentence = (
        f"Step {step.applied} is taken: the loss {'fell' if change < 0 else 'rose'} from {fixed(before.mean, 4)} to "
        f"{fixed(now.mean, 4)}, by {significant(abs(change), 3)}. Gradient times step had said "
        f"{significant(before.predicted, 3, sign=True)}: "
        f"{_compared(change, before.predicted)} space takes another, u undoes."
    )
    return View("after", title, sentence, [_probabilities(look), _tokens(look), *_history(look)], look.parity())


def _compared(change: float, predicted: float) -> str:
    if predicted >= 0:
        return "what the optimizer keeps of earlier gradients pulls against this batch, and no fall was to be expected."
    share = change / predicted
    if share < 0:
        return "the step was so long that the loss went up all the same."
    if share > 1.1:
        return f"it fell {significant(share, 2)} times as much, since the gradients grew on the way."
    if share < 0.9:
        return f"it fell only {probability(share, 0)} of that, since a straight line follows the loss for short steps alone."
    return "about what happened, since the step was short."


def _probabilities(look: StepLook) -> Table:
    """The most probable tokens at the chosen place before and after the last step."""
    at = look.step.applied
    before, now = look.probabilities(at - 1), look.probabilities(at)
    order: list[int] = []
    for id_ in [look.target, *np.argsort(-np.maximum(before, now), kind="stable")[:TOP].tolist()]:
        if id_ not in order:
            order.append(id_)
    order = sorted(order[:TOP], key=lambda id_: -now[id_])
    rest, rest_now = (float(p.sum() - p[order].sum()) for p in (before, now))
    most = max(abs(rest_now - rest), float(np.abs(now - before)[order].max())) or 1.0
    rows = [
        [
            Cell(look.tokenizer.label(id_), style="strong" if id_ == look.target else ""),
            *_pair(float(before[id_]), float(now[id_]), most),
        ]
        for id_ in order
    ]
    if len(before) > len(order):
        rows.append([Cell(f"{whole(len(before) - len(order))} others", style="dim"), *_pair(rest, rest_now, most)])
    columns = [Column("token", align="left"), Column("p before"), Column("p after"), Column("change")]
    title = f"token {look.position + 1}: “{look.label(look.position)}” came after {look.after_what}"
    return Table(columns, rows, title=title)


def _pair(before: float, now: float, most: float) -> list[Cell]:
    """Both, and the change with a bar that is full for `most`: of a hundred points one step moves too few to be seen."""
    return [
        Cell(probability(before, 2), before),
        Cell(probability(now, 2), now),
        Cell(fixed(100 * (now - before), 2, sign=True), now - before, bar=(now - before) / most),
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
    losses: Numbers = np.array([moment.mean for moment in moments])
    places = decimals_for(losses, digits=5)
    rows = []
    for index in range(1, len(moments)):
        change, predicted = float(losses[index] - losses[index - 1]), moments[index - 1].predicted or 0.0
        rows.append(
            [
                Cell(str(index)),
                number(losses[index], places, bar=float(losses[index] / losses.max())),
                Cell(significant(change, 3, sign=True), change),
                Cell(significant(predicted, 3, sign=True), predicted),
            ]
        )
    columns = [Column("step"), Column("loss"), Column("changed by"), Column("predicted", optional=True)]
    return [Table(columns, rows, title=f"the same batch again and again, from {fixed(float(losses[0]), places)}")]
