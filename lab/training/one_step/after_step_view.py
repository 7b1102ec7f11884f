"""View of the loss and the probabilities after the step, beside those before it and those predicted."""

import numpy as np

from lab.core.number_format import fixed, probability, probability_change, significant, whole
from lab.training.one_step.view_context import ROWS, TOP, StepContext
from lab.views.blocks import Block, Cell, Column, Table, View
from lab.views.number_tables import Numbers, around, decimals_for, number


def after_step_view(context: StepContext) -> View:
    step = context.step
    title = "after the step"
    if step.applied == 0:
        expected = step.current.mean + step.changes.predicted
        sentence = (
            f"No step taken yet: gradient times step, over all weights, predicts a loss of {fixed(expected, 4)} instead of "
            f"{fixed(step.current.mean, 4)} ({significant(step.changes.predicted, 3, sign=True)}). space takes the step."
        )
        return View("after", title, sentence, [])
    before, now = step.snapshots[step.applied - 1], step.current
    change = now.mean - before.mean
    assert before.predicted is not None
    sentence = (
        f"Step {step.applied} is taken: the loss {'fell' if change < 0 else 'rose'} from {fixed(before.mean, 4)} to "
        f"{fixed(now.mean, 4)}, by {significant(abs(change), 3)}. Gradient times step predicted "
        f"{significant(before.predicted, 3, sign=True)}: "
        f"{_compared(change, before.predicted)}"
    )
    return View("after", title, sentence, [_probabilities(context), _tokens(context), *_history(context)], context.parity())


def _compared(change: float, predicted: float) -> str:
    if predicted >= 0:
        return "the optimizer's momentum pulls against this batch, so no fall was predicted."
    share = change / predicted
    if share < 0:
        return "the step was so large that the loss rose all the same."
    if share > 1.1:
        return f"it fell {significant(share, 2)} times as much: the gradients grew along the step."
    if share < 0.9:
        return f"it fell only {probability(share, 0)} of that: the prediction is linear and holds for small steps."
    return "about what happened, since the step was small."


def _probabilities(context: StepContext) -> Table:
    """The most probable tokens at the chosen position before and after the last step."""
    at = context.step.applied
    before, now = context.probabilities(at - 1), context.probabilities(at)
    order: list[int] = []
    for id_ in [context.target, *np.argsort(-np.maximum(before, now), kind="stable")[:TOP].tolist()]:
        if id_ not in order:
            order.append(id_)
    order = sorted(order[:TOP], key=lambda id_: -now[id_])
    rest, rest_now = (float(p.sum() - p[order].sum()) for p in (before, now))
    most = max(abs(rest_now - rest), float(np.abs(now - before)[order].max())) or 1.0
    rows = [
        [
            Cell(context.tokenizer.label(id_), style="strong" if id_ == context.target else ""),
            *_pair(float(before[id_]), float(now[id_]), most),
        ]
        for id_ in order
    ]
    if len(before) > len(order):
        rows.append([Cell(f"{whole(len(before) - len(order))} others", style="dim"), *_pair(rest, rest_now, most)])
    columns = [Column("token", align="left"), Column("p before"), Column("p after"), Column("change")]
    title = f"token {context.position + 1}: target “{context.label(context.position)}” after {context.text_before}"
    return Table(columns, rows, title=title)


def _pair(before: float, now: float, most: float) -> list[Cell]:
    """Both, and the change with a bar that is full for `most`."""
    was, is_now, change = probability_change(before, now, 2)
    return [Cell(was, before), Cell(is_now, now), Cell(change, now - before, bar=(now - before) / most)]


def _tokens(context: StepContext) -> Table:
    """Losses around the chosen position before and after the last step."""
    at = context.step.applied
    before, now = context.losses(at - 1), context.losses(at)
    shown = around(len(now), context.position - 1, ROWS)
    decimals = decimals_for(before, now, digits=4)
    most = float(np.abs(now - before).max()) or 1.0

    def cells(old: float, new: float, bar: float | None) -> list[Cell]:
        change = new - old
        return [number(old, decimals), number(new, decimals), Cell(fixed(change, decimals, sign=True), change, bar=bar)]

    rows = [[Cell(context.name(i + 1)), *cells(float(before[i]), float(now[i]), float(now[i] - before[i]) / most)] for i in shown]
    total = [Cell("mean of the window"), *cells(float(before.mean()), float(now.mean()), None)]
    columns = [Column("target", align="left"), Column("loss before"), Column("after"), Column("change")]
    return Table(columns, rows, title="loss of each token", total=total, selected=context.position - 1 - shown.start)


def _history(context: StepContext) -> list[Block]:
    snapshots = context.step.snapshots
    if len(snapshots) < 3:
        return []
    losses: Numbers = np.array([snapshot.mean for snapshot in snapshots])
    decimals = decimals_for(losses, digits=5)
    rows = []
    for index in range(1, len(snapshots)):
        change, predicted = float(losses[index] - losses[index - 1]), snapshots[index - 1].predicted or 0.0
        rows.append(
            [
                Cell(str(index)),
                number(losses[index], decimals, bar=float(losses[index] / losses.max())),
                Cell(significant(change, 3, sign=True), change),
                Cell(significant(predicted, 3, sign=True), predicted),
            ]
        )
    columns = [Column("step"), Column("loss"), Column("changed by"), Column("predicted", optional=1)]
    return [Table(columns, rows, title=f"repeated steps on this batch, from {fixed(float(losses[0]), decimals)}")]
