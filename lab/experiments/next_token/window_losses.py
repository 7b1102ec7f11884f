"""Windows of the run's own text: each target, its probability and its surprise −ln p, with trained and with random weights."""

import math
from typing import TYPE_CHECKING

import numpy as np

from lab.core.number_format import fixed, probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import Numbers
from models.unembed import Slices

if TYPE_CHECKING:
    from torch import Tensor

    from models.gpt import GPT

WINDOWS = 64
"""Windows to choose from, spread over the text."""
LENGTH = 16
"""Most tokens of a window: enough for a screen."""


def window_losses(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `mean` and `mean_random`, the mean −ln p with the weights at hand and with random ones, `uniform` (ln V),
    `targets`, and `largest`, the highest −ln p. The input `window` chooses the window, from 1.

    Raises:
        UserError: if the run's text cannot be read.
    """
    from models.gpt import GPT

    rows, part = context.windows(WINDOWS, min(LENGTH, context.config.context))
    chosen = int(context.number("window", 1, 1, WINDOWS)) - 1
    row = rows[chosen % len(rows)]
    fresh = GPT(context.config, seed=context.opened.run.config.train.seed).eval()
    yield
    at_random = losses(fresh, row)
    yield
    found = losses(context.model, row)
    uniform, mean, mean_random = math.log(context.config.vocab_size), float(found.mean()), float(at_random.mean())
    measures: dict[str, Measure] = {
        "mean": mean,
        "mean_random": mean_random,
        "uniform": uniform,
        "targets": len(found),
        "largest": float(found.max()),
        "perplexity": math.exp(min(mean, 50.0)),
    }
    labels = [context.tokenizer.label(id_) for id_ in row.tolist()]
    most = max(float(found.max()), float(at_random.max()), uniform)
    table = Table(
        [
            Column("reads", "left"),
            Column("target", "left"),
            Column("p"),
            Column("−ln p"),
            Column("random weights", optional=1),
        ],
        [
            [
                Cell(f"{i + 1:>{len(str(len(found)))}} {labels[i]}"),
                Cell(labels[i + 1], style="strong"),
                Cell(probability(math.exp(-found[i]), digits=2)),
                Cell(fixed(found[i], 2), value=float(found[i]), bar=float(found[i]) / most),
                Cell(fixed(at_random[i], 2), value=float(at_random[i])),
            ]
            for i in range(len(found))
        ],
        title=f"window {chosen % len(rows) + 1} of {len(rows)}, {part}: each row also reads the rows above",
        total=[
            Cell("mean"),
            Cell(""),
            Cell(""),
            Cell(fixed(mean, 2), value=mean, bar=mean / most),
            Cell(fixed(mean_random, 2), value=mean_random),
        ],
    )
    return ExperimentResult(View("window_losses", "windows and targets", _sentence(measures, labels, found), [table]), measures)


def losses(model: "GPT", row: "np.ndarray") -> Numbers:
    """−ln p of each token of a window after its first, (T,), float64."""
    import torch
    from torch.nn.functional import cross_entropy

    ids: Tensor = torch.from_numpy(row)
    with torch.no_grad():
        logits = model(ids[None, :-1])[0]
        each: Numbers = cross_entropy(logits.double(), ids[1:], reduction="none").numpy()
    return each


def _sentence(measures: dict[str, Measure], labels: list[str], found: Numbers) -> str:
    worst = int(found.argmax())
    surprise = fixed(float(found[worst]), 2)
    if len(found) == 1:
        return f"The target “{labels[1]}” has −ln p = {surprise}."
    return (
        f"The most surprising of {whole(len(found))} targets is “{labels[worst + 1]}”: −ln p = {surprise}. Their mean is the "
        f"loss: {fixed(float(measures['mean']), 2)}."
    )
