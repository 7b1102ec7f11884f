"""View of p − one-hot, the gradient of the loss at the logits."""

import numpy as np

from lab.core.number_format import fixed, probability, significant, whole
from lab.one_step.view_context import TOP, StepContext
from lab.views.blocks import Block, Cell, Column, Paragraph, Table, View
from lab.views.number_tables import figures, number


def logits_gradient_view(context: StepContext) -> View:
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
    sentence = f"After {context.text_before} the target {came} had {probability(float(p[target]))}, {best}." + (
        _logit_change(context, came)
        or f" Against its gradient, this prediction pulls the logit of {came} up and all others down{part}."
    )
    top = np.argsort(-p, kind="stable")[:TOP].tolist()
    if target not in top:
        top = [*top[:-1], target]
    one_hot = {id_: float(id_ == target) for id_ in top}
    errors = {id_: float(p[id_]) - one_hot[id_] for id_ in top}
    rest = float(p.sum() - p[top].sum())
    total = sum(errors.values()) + rest
    decimals = 5
    rows = [
        [
            Cell(context.tokenizer.label(id_), style="strong" if id_ == target else ""),
            number(p[id_], decimals),
            Cell("1" if id_ == target else "0", one_hot[id_]),
            Cell(fixed(errors[id_], decimals, sign=True), errors[id_], bar=errors[id_]),
            figures(errors[id_] / count, 3),
        ]
        for id_ in top
    ]
    others = len(p) - len(top)
    if others:
        cells = [Cell(f"{whole(others)} others", style="dim"), number(rest, decimals, style="dim"), Cell("0", style="dim")]
        rows.append([*cells, Cell(fixed(rest, decimals, sign=True), rest, style="dim", bar=rest), figures(rest / count, 3)])
    columns = [Column("token", align="left"), Column("p"), Column("one-hot"), Column("p − one-hot")]
    sums = [Cell("Σ"), number(float(p.sum()), decimals), Cell("1"), Cell(fixed(_zero(total), decimals), total), Cell("0")]
    columns.append(Column(f"÷ {whole(count)}", optional=1))
    formula = Paragraph(
        f"∂loss/∂logit of {came} = (p − 1) ÷ N\n= ({significant(float(p[target]), 5)} − 1) ÷ {whole(count)}\n"
        f"= {significant((float(p[target]) - 1) / count, 5)}"
    )
    blocks: list[Block] = [Table(columns, rows, title="at the logits", total=sums), formula]
    if context.step.has_dropout:
        without = probability(float(context.in_inspect()[target]))
        blocks.append(Paragraph(f"With dropout off, as in Inspect, {came} has {without} with these weights."))
    return View("logits_gradient", f"p − one-hot at token {context.position + 1}", sentence, blocks, context.parity())


def _logit_change(context: StepContext, came: str) -> str:
    """Change of the target's logit by the last step, which is of the whole batch; empty where none is taken."""
    at = context.step.applied
    if not at:
        return ""
    before, now = context.logit(at - 1), context.logit(at)
    verb = "raised" if now > before else "lowered" if now < before else "did not change"
    moved = f" by {significant(abs(now - before), 3)}, from {fixed(before, 3)} to {fixed(now, 3)}" if now != before else ""
    return f" Step {at}, of all predictions together, {verb} the logit of {came}{moved}."


def _zero(total: float) -> float:
    """A sum that is 0 up to rounding, as 0."""
    return 0.0 if abs(total) < 1e-9 else total
