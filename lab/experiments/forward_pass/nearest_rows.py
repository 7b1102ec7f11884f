"""The nearest neighbours of token embeddings: their cosines with random rows, as at init, and with those at hand."""

import numpy as np

from lab.core.number_format import fixed, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import Numbers
from models.unembed import Slices

TOKENS = 128
"""Tokens whose nearest neighbour is looked for, spread over the vocabulary."""


def nearest_rows(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `now` and `at_init`, mean cosines of a token with its nearest neighbour, their difference `moved`,
    and `tokens`, the number compared.
    """
    from models.gpt import GPT

    fresh = GPT(context.config, seed=context.opened.run.config.train.seed).wte.weight.detach().numpy()
    yield
    rows = context.model.wte.weight.detach().float().numpy()
    places = np.unique(np.linspace(0, len(rows) - 1, TOKENS).astype(np.int64))
    at_init = nearest_cosine(fresh, places)
    yield
    now = nearest_cosine(rows, places)
    named = [("random rows, before step 1", at_init), (f"{context.run_name} at step {whole(context.opened.step)}", now)]
    table = Table(
        [Column("", "left"), Column("mean cosine")],
        [[Cell(name), Cell(fixed(value, 3), value=value, bar=value)] for name, value in named],
        title=f"{whole(len(places))} tokens and the nearest of {whole(len(rows) - 1)} others",
    )
    measures: dict[str, Measure] = {
        "now": now,
        "at_init": at_init,
        "moved": now - at_init,
        "tokens": len(places),
        "step": context.opened.step,
    }
    sentence = (
        f"On average a token and its nearest neighbour have cosine {fixed(now, 2)}; with random rows of the same size it is "
        f"{fixed(at_init, 2)}."
    )
    return ExperimentResult(View("nearest_rows", "how near the nearest token is", sentence, [table]), measures)


def nearest_cosine(table: Numbers, places: Numbers) -> float:
    """Mean over these rows of the largest cosine with another row; a row of zeros has cosine 0 with all."""
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    units = np.divide(table, lengths, out=np.zeros_like(table), where=lengths > 0)
    cosines = units[places] @ units.T
    cosines[np.arange(len(places)), places] = -np.inf
    return float(cosines.max(1).mean(dtype=np.float64)) if len(table) > 1 else 0.0
