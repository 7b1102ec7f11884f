"""The nearest neighbours of token embeddings: their cosines with random rows, as at init, and with those at hand."""

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import fixed, whole
from lab.experiments.experiment_context import ExperimentContext, Ids
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import Numbers
from models.unembed import Slices

TOKENS = 128
"""Most tokens whose nearest neighbour is looked for, spread over those that are compared."""
COUNTED_TOKENS = 1 << 20
"""Tokens of the text that are counted in a slice."""
TOGETHER = 0.1
"""Rise of the mean cosine from which on rows are said to have moved together."""


def nearest_rows(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `now` and `at_init`, mean cosines of a token of the training text with the nearest other one, their difference
    `moved`, `tokens`, the number looked at, `sample`, these in words, and `never`, a sentence on the tokens that never occur,
    `unused` of them, with `unused_now` and `unused_at_init`, the same two means among them. Where the training text is not at
    hand, or has fewer than two different tokens, all tokens of the vocabulary are compared, and `sample` says so.
    """
    from models.gpt import GPT

    fresh = GPT(context.config, seed=context.opened.run.config.train.seed).wte.weight.detach().numpy()
    yield
    rows = context.model.wte.weight.detach().float().numpy()
    missing, is_text = "", False
    used, unused = np.arange(len(rows)), np.zeros(0, np.int64)
    try:
        text = context.tokens()[0]
    except UserError as error:
        missing = str(error)
    else:
        counts = yield from _counts(text, len(rows))
        if (counts > 0).sum() > 1:
            used, unused, is_text = np.flatnonzero(counts > 0), np.flatnonzero(counts == 0), True
    among = f"{whole(len(used))} tokens " + ("that occur in the text" if is_text else "of the vocabulary")
    tables = (("random rows, before step 1", fresh), (f"{context.run_name} at step {whole(context.opened.step)}", rows))
    found: list[float] = []
    unused_found: list[float] = []
    for _, table in tables:
        found.append(nearest_cosine(table[used], _spread(len(used))))
        yield
        unused_found.append(nearest_cosine(table[unused], _spread(len(unused))) if len(unused) > 1 else 0.0)
        yield
    tokens = len(_spread(len(used)))
    sample = f"{whole(tokens)} of the {among}" if tokens < len(used) else f"the {among}"
    measures: dict[str, Measure] = {
        "at_init": found[0],
        "now": found[1],
        "moved": found[1] - found[0],
        "tokens": tokens,
        "sample": f"{sample}; the training text is not at hand" if missing else sample,
        "unused": len(unused),
        "never": "",
        "step": context.opened.step,
    }
    columns = [Column("", "left"), Column("mean cosine")]
    shown = [[Cell(name), Cell(fixed(value, 3), value=value, bar=value)] for (name, _), value in zip(tables, found, strict=True)]
    if len(unused) > 1:
        measures |= {"unused_at_init": unused_found[0], "unused_now": unused_found[1]}
        measures["never"] = _never(len(unused), *unused_found)
        columns.append(Column("tokens that never occur"))
        for row, value in zip(shown, unused_found, strict=True):
            row.append(Cell(fixed(value, 3), value=value))
    blocks = [Table(columns, shown, title=f"{sample}, and the nearest of these")]
    sentence = (
        f"On average a token and its nearest neighbour have cosine {fixed(found[1], 2)}; with random rows of the same size it is "
        f"{fixed(found[0], 2)}."
    )
    return ExperimentResult(View("nearest_rows", "how near the nearest token is", sentence, [*blocks]), measures, missing)


def _never(unused: int, before: float, now: float) -> str:
    moved = "have moved together" if now - before > TOGETHER else "have mean cosine"
    return (
        f"{whole(unused)} tokens never occur in the text: their rows {moved} ({fixed(before, 3)} at init, {fixed(now, 3)} now)."
    )


def _counts(text: Ids, vocabulary: int) -> Slices[Ids]:
    """Number of times that each token occurs in the text, (V,), so many tokens of it a slice; ids outside are left out."""
    counts = np.zeros(vocabulary, np.int64)
    for at in range(0, len(text), COUNTED_TOKENS):
        counts += np.bincount(text[at : at + COUNTED_TOKENS], minlength=vocabulary)[:vocabulary]
        yield
    return counts


def _spread(rows: int) -> Ids:
    """At most TOKENS places, evenly spaced over so many rows."""
    places: Ids = np.unique(np.linspace(0, max(0, rows - 1), TOKENS).astype(np.int64))
    return places


def nearest_cosine(table: Numbers, places: Numbers) -> float:
    """Mean over these rows of the largest cosine with another row; a row of zeros has cosine 0 with all."""
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    units = np.divide(table, lengths, out=np.zeros_like(table), where=lengths > 0)
    cosines = units[places] @ units.T
    cosines[np.arange(len(places)), places] = -np.inf
    return float(cosines.max(1).mean(dtype=np.float64)) if len(table) > 1 else 0.0
