"""View of the loss of each token of a window, −ln p."""

import math

import numpy as np

from lab.core.number_format import fixed, probability, significant, whole
from lab.one_step.view_context import ROWS, StepContext
from lab.views.blocks import Array, Block, Cell, Column, Strip, Table, View
from lab.views.number_tables import around, decimals_for, figures, number


def token_losses_view(context: StepContext) -> View:
    own = context.losses()
    probabilities = np.exp(-own)
    here = context.position - 1
    worst = int(own.argmax())
    mean = f"the mean over all {whole(context.count)} predictions" if len(own) != context.count else "their mean"
    surprise = f"Most surprising was “{context.label(worst + 1)}” (token {worst + 2}) with {fixed(float(own[worst]), 3)}"
    if worst == here:
        surprise = "No token of this window surprised the model more" if len(own) > 1 else "It is the only prediction"
    sentence = (
        "The loss of a token is −ln p, p being its probability given the tokens before it. Here "
        f"“{context.label(context.position)}” had {probability(float(probabilities[here]))}: "
        f"−ln {significant(float(probabilities[here]), 4)} = "
        f"{fixed(float(own[here]), 3)}. "
        f"{surprise}. "
        f"The step is to lower {mean}{context.steps_so_far}: {fixed(context.step.current.mean, 3)}, a perplexity of "
        f"{significant(math.exp(context.step.current.mean))}."
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
    columns = [Column("target", align="left"), Column("p"), Column("−ln p")]
    total = [Cell("mean of the window"), Cell(""), number(float(own.mean()), decimals)]
    table = Table(columns, rows, total=total, selected=here - shown.start)
    blocks: list[Block] = [table]
    if len(own) > len(shown):
        blocks.append(Strip(f"all {len(own)} of this window, token 2 on", Array.of(own)))
    return View("losses", "loss of each token", sentence, blocks, context.parity())
