"""The loss of this run's architecture with its initial random weights, beside ln V and the loss of the weights at hand."""

import math

from lab.core.number_format import fixed, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Cell, Column, Table, View
from models.unembed import Slices

TOKENS = 1024


def initial_loss(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `loss_at_start` of a model initialized from the run's seed, `uniform` (ln V), their difference `gap`, `loss_now`,
    and `repeats`, the share of targets that are the token read last.

    Raises:
        UserError: if the run's text cannot be read.
    """
    import torch

    from models.gpt import GPT

    config = context.config
    tokens = context.affordable(TOKENS, passes=2)
    rows, part = context.windows(max(1, tokens // config.context), tokens)
    ids, targets = torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])
    fresh = GPT(config, seed=context.opened.run.config.train.seed).eval()
    yield
    with torch.no_grad():
        start = float(fresh.loss(ids, targets))
    yield
    with torch.no_grad():
        now = float(context.model.loss(ids, targets))
    uniform = math.log(config.vocab_size)
    measures: dict[str, Measure] = {
        "vocabulary": config.vocab_size,
        "uniform": uniform,
        "loss_at_start": start,
        "gap": start - uniform,
        "repeats": float((ids == targets).double().mean()),
        "loss_now": now,
        "step": context.opened.step,
        "tokens": int(targets.numel()),
        "part": part,
    }
    named = [("ln V: all tokens equally likely", uniform), ("random weights, before step 1", start)]
    named.append((f"{context.run_name} at step {whole(context.opened.step)}", now))
    most = max(value for _, value in named) or 1.0
    table = Table(
        [Column("", "left"), Column("loss, nats"), Column("perplexity", optional=1)],
        [
            [Cell(name), Cell(fixed(value, 3), value=value, bar=value / most), Cell(fixed(math.exp(min(value, 50.0)), 1))]
            for name, value in named
        ],
        title=f"loss on {whole(targets.numel())} tokens of the {part}",
    )
    sentence = (
        f"With random weights the loss is {fixed(start, 3)}; ln of {whole(config.vocab_size)} is {fixed(uniform, 3)}. At step "
        f"{whole(context.opened.step)} it is {fixed(now, 3)}."
    )
    return ExperimentResult(View("initial_loss", "the loss at the start", sentence, [table]), measures)
