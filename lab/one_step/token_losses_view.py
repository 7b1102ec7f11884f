"""View of the loss of each token of a window."""

import math

from lab.core.number_format import fixed, probability, significant, whole
from lab.one_step.view_context import ROWS, StepContext
from lab.views.blocks import Array, Block, Cell, Column, Strip, Table, View
from lab.views.number_tables import around, decimals_for, figures, number


def token_losses_view(context: StepContext) -> View:
    own = context.losses()
    probabilities = context.given()
    here, formula = context.position - 1, context.step.trained.loss_formula
    worst = int(own.argmax())
    mean = f"mean of all {whole(context.count)} predictions" if len(own) != context.count else "mean"
    surprise = f"the highest loss is {fixed(float(own[worst]), 3)}, of “{context.label(worst + 1)}” (token {worst + 2})"
    if worst == here:
        surprise = "the highest loss of this window" if len(own) > 1 else "the only prediction"
    sentence = (
        f"“{context.label(context.position)}” had {probability(float(probabilities[here]))}: loss "
        f"{formula(significant(float(probabilities[here]), 4))} = {fixed(float(own[here]), 3)}; {surprise}. The step is to lower "
        f"the {mean}{context.steps_so_far}: {fixed(context.step.current.mean, 3)}, perplexity "
        f"{significant(math.exp(float(context.step.current.surprises.double().mean())))}."
    )
    shown = around(len(own), here, ROWS)
    most = float(own.max()) or 1.0
    decimals = decimals_for(own, digits=4)
    rows = [
        [
            Cell(context.name(index + 1)),
            figures(float(probabilities[index]), 3),
            number(own[index], decimals, bar=float(own[index]) / most),
        ]
        for index in shown
    ]
    columns = [Column("target", align="left"), Column("p"), Column(formula("p"))]
    total = [Cell("mean of the window"), Cell(""), number(float(own.mean()), decimals)]
    table = Table(columns, rows, total=total, selected=here - shown.start)
    blocks: list[Block] = [table]
    if len(own) > len(shown):
        blocks.append(Strip(f"all {len(own)} of this window, token 2 on", Array.of(own), never_negative=True, first=2))
    return View("losses", "loss of each token", sentence, blocks, context.parity())
