"""View of p − target, the gradient of the loss at the logits."""

import numpy as np

from lab.core.number_format import fixed, probability, significant, whole
from lab.training.one_step.view_context import TOP, StepContext
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
    towards, name = context.step.trained.target(target), context.step.trained.target_name
    way, lowered = "down" if p[target] > towards[target] else "up", int((p > towards).sum())
    down = "all others" if lowered >= len(p) - 1 else f"{whole(lowered)} others"
    sentence = f"After {context.text_before} the target {came} had {probability(float(p[target]))}, {best}." + (
        _logit_change(context, came)
        or f" Against its gradient, this prediction pulls the logit of {came} {way} and {down} down{part}."
    )
    top = np.argsort(-p, kind="stable")[:TOP].tolist()
    if target not in top:
        top = [*top[:-1], target]
    *listed, (rest, rest_of_target, rest_of_error) = context.at_logits(top)
    total = sum(error for _, _, error in listed) + rest_of_error
    decimals = 5
    rows = [
        [
            Cell(context.tokenizer.label(id_), style="strong" if id_ == target else ""),
            number(own, decimals),
            Cell(f"{share:.4g}", share),
            Cell(fixed(error, decimals, sign=True), error, bar=error),
            figures(error / count, 3),
        ]
        for id_, (own, share, error) in zip(top, listed, strict=True)
    ]
    others = len(p) - len(top)
    if others:
        cells = [Cell(f"{whole(others)} others", style="dim"), number(rest, decimals, style="dim")]
        cells.append(Cell(f"{rest_of_target:.4g}", style="dim"))
        cells.append(Cell(fixed(rest_of_error, decimals, sign=True), rest_of_error, style="dim", bar=rest_of_error))
        rows.append([*cells, figures(rest_of_error / count, 3)])
    rounded = 0.0 if abs(total) < 1e-9 else total
    columns = [Column("token", align="left"), Column("p"), Column(name), Column(f"p − {name}")]
    sums = [Cell("Σ"), number(float(p.sum()), decimals), Cell("1"), Cell(fixed(rounded, decimals), total), Cell("0")]
    columns.append(Column(f"÷ {whole(count)}", optional=1))
    own, share, error = listed[top.index(target)]
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
