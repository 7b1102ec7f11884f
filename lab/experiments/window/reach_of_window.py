"""The reach of the window: one token of the text replaced, near or far back, and by how much the prediction changes."""

from collections.abc import Sequence

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import probability, whole
from lab.experiments.experiment_context import ExperimentContext, Ids
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Cell, Column, Table, View
from models.unembed import Slices

MOST_PIECES = 16
FLOPS = 1e11


def reach_of_window(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `inside`, the mean change of the next token's probabilities by a token replaced in the window, over the distances
    tried, `beyond`, that by a token before the window, and `nearest` and `farthest` in the window.

    The change is the total variation distance, ½ Σ |p − q|: 0 for equal probabilities, 1 for disjoint ones. The replacement is
    another token from elsewhere in the text. Raises: UserError: if the run's text cannot be read, is shorter than the window, or
    is one token over and over.
    """
    from lab.experiments.window.window_passes import affordable_windows, last_probabilities

    window = context.config.context
    distances = [*(1 << power for power in range(window.bit_length()) if 1 << power < window), window]
    beyond = sorted({window + 1, 2 * window})
    passes = len(distances) + len(beyond)
    count = affordable_windows(context.config, FLOPS, MOST_PIECES * passes) // passes
    pieces, others, part = _pieces(context, max(2, count), beyond[-1])
    plain = (yield from last_probabilities(context.model, pieces[:, -window:])).numpy()
    changes = []
    for distance in (*distances, *beyond):
        changed = pieces.copy()
        changed[:, -distance] = _others(pieces, distance, others)
        found = (yield from last_probabilities(context.model, changed[:, -window:])).numpy()
        changes.append(float(np.abs(found - plain).sum(1).mean() / 2))
    inside, outside = changes[: len(distances)], changes[len(distances) :]
    measures: dict[str, Measure] = {
        "window": window,
        "pieces": len(pieces),
        "part": part,
        "nearest": inside[0],
        "farthest": inside[-1],
        "inside": float(np.mean(inside)),
        "beyond": max(outside),
    }
    farthest = f", replacing the one {whole(window)} back {probability(inside[-1])}" if window > 1 else ""
    sentence = (
        f"Replacing the last token moves {probability(inside[0])} of the next token's probability{farthest}. The one "
        f"{whole(beyond[0])} back is before the window, so the model never receives it: {probability(outside[0])}."
    )
    table = _table(context, (*distances, *beyond), changes, part, len(pieces))
    return ExperimentResult(View("reach_of_window", "the window's reach", sentence, [table]), measures)


def _pieces(context: ExperimentContext, count: int, length: int) -> tuple[Ids, Ids, str]:
    """Pieces of the text, (n, length), a token from elsewhere for each, and the part that they are from."""
    parts = dict(zip(("training text", "validation text"), context.tokens(), strict=True))
    name = "validation text" if len(parts["validation text"]) > length else "training text"
    ids = parts[name]
    if len(ids) <= length:
        raise UserError(
            f"The text of {context.run_name} has {whole(len(ids))} tokens; this experiment needs more than {whole(length)}."
        )
    starts = np.unique(np.linspace(0, len(ids) - length, count).astype(np.int64))
    pieces = np.stack([ids[start : start + length] for start in starts.tolist()]).astype(np.int64)
    if int(pieces.max()) >= context.config.vocab_size:
        raise UserError(f"The tokens of {context.run_name} are not in its vocabulary.")
    if int(pieces.min()) == int(pieces.max()):
        words = f"The text of {context.run_name} is one token over and over here, so no other can take its place"
        raise UserError(f"{words}; choose another run.")
    return pieces, np.roll(pieces[:, length // 2], 1), name


def _others(pieces: Ids, distance: int, others: Ids) -> Ids:
    """The token (n,) that replaces the one `distance` back in each piece: `others`, but where that is the same token, another."""
    given = pieces[:, -distance]
    tokens = np.unique(pieces)
    following = tokens[(np.searchsorted(tokens, given) + 1) % len(tokens)]
    return np.where(others == given, following, others)


def _table(context: ExperimentContext, distances: Sequence[int], changes: Sequence[float], part: str, pieces: int) -> Table:
    most = max(changes) or 1.0
    rows = [
        [
            Cell(whole(distance)),
            Cell("in the window" if distance <= context.config.context else "before it", style="" if change else "dim"),
            Cell(probability(change, digits=2), value=change, bar=change / most),
        ]
        for distance, change in zip(distances, changes, strict=True)
    ]
    columns = [Column("tokens back"), Column("", "left"), Column("change of the prediction")]
    return Table(columns, rows, title=f"one token replaced, in {whole(pieces)} places of the {part}")
