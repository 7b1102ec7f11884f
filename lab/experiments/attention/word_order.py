"""Word order without position embeddings: the earlier tokens reversed, and the effect on the next token's probabilities."""

from typing import TYPE_CHECKING

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import fixed, probability, significant, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import number
from models.unembed import Slices

if TYPE_CHECKING:
    from torch import Tensor

TOKENS = 4096
LONGEST = 64
FEWEST = 3
"""Tokens that are needed to reverse all but the last."""


def word_order(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures on windows of the run's text, of which all tokens but the last are reversed: `with_change` and `without_change`,
    the mean total variation between the next token's probabilities before and after, with position embeddings and without (each
    replaced by their mean); `first_layer_change` and `without_state_change`, without them, of the last token's attention output
    in layer 1 and of its vector after the final norm, relative to their length; `loss` and `loss_without` of the text as it is.

    Where reversing changes nothing in the text, the windows are of the vocabulary in the order of its ids.

    Raises:
        UserError: if the context is too short, or the run's text cannot be read.
    """
    import torch

    from lab.experiments.attention.forward_pass import first_attention_output, hidden, loss_of

    total = context.affordable(TOKENS, passes=4)
    length = min(context.config.context, LONGEST)
    rows, part = context.windows(max(1, total // length), length)
    tokens = rows.shape[1] - 1
    if tokens < FEWEST:
        words = f"A window of {context.run_name}'s text holds {whole(tokens)} of the {FEWEST} tokens that this experiment needs"
        raise UserError(f"{words}; choose another run.")
    earlier = rows[:, : tokens - 1]
    changed = (earlier != earlier[:, ::-1]).any(1)  # windows that reversing leaves as they are say nothing
    if changed.any():
        rows = rows[changed]
    else:
        rows, part = np.arange(rows.size).reshape(rows.shape) % context.config.vocab_size, "vocabulary (in the order of its ids)"
    model = context.model
    ids, targets = torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])
    turned = torch.cat([ids[:, :-1].flip(1), ids[:, -1:]], 1)
    with torch.no_grad():
        positions = model.wpe.weight[:tokens]
        streams = {
            name: (model.wte(ids) + rows_added, model.wte(turned) + rows_added)
            for name, rows_added in (("with", positions), ("without", positions.mean(0)))
        }
    changes: dict[str, float] = {}
    losses: dict[str, float] = {}
    state_changes: dict[str, float] = {}
    for name, (stream, reversed_stream) in streams.items():
        normed = yield from hidden(model, stream)
        losses[name] = loss_of(model, normed, targets)
        other = yield from hidden(model, reversed_stream)
        with torch.no_grad():
            before, after = (model.unembed(each[:, -1]).double().softmax(-1) for each in (normed, other))
        changes[name] = float((before - after).abs().sum(-1).mean() / 2)
        state_changes[name] = _relative(normed[:, -1], other[:, -1])
    first, second = (first_attention_output(model, stream)[:, -1] for stream in streams["without"])
    measures: dict[str, Measure] = {
        "layers": context.config.layers,
        "windows": len(rows),
        "tokens": tokens,
        "part": part,
        "with_change": changes["with"],
        "without_change": changes["without"],
        "first_layer_change": _relative(first, second),
        "without_state_change": state_changes["without"],
        "loss": losses["with"],
        "loss_without": losses["without"],
    }
    view = View("word_order", "word order and positions", _sentence(measures), [_table(changes, losses, measures, part)])
    return ExperimentResult(view, measures)


def _relative(first: "Tensor", second: "Tensor") -> float:
    """Length of the difference divided by the length of the first, over all windows."""
    length = float(first.norm())
    return float((first - second).norm()) / length if length else 0.0


def _sentence(measures: dict[str, Measure]) -> str:
    with_change, without_change = float(measures["with_change"]), float(measures["without_change"])
    return (
        f"Reversing the earlier tokens moves {probability(with_change)} of the next token's probability with position embeddings "
        f"and {probability(without_change)} without. Attention in layer 1 without them changes by "
        f"{significant(float(measures['first_layer_change']), 2)} of its length."
    )


def _table(changes: dict[str, float], losses: dict[str, float], measures: dict[str, Measure], part: str) -> Table:
    most = max(losses.values()) or 1.0
    rows = [
        [
            Cell(f"{name} position embeddings"),
            Cell(probability(changes[name]), value=changes[name], bar=changes[name]),
            number(losses[name], 3, bar=losses[name] / most),
        ]
        for name in changes
    ]
    alone = float(measures["first_layer_change"])
    rows.append([Cell("attention of layer 1 alone, without"), Cell(fixed(alone, 3), value=alone, bar=min(1.0, alone)), Cell("")])
    columns = [Column("", "left"), Column("change when reversed"), Column("loss as it is")]
    return Table(columns, rows, title=f"{measures['windows']} windows of {measures['tokens']} tokens of the {part}")
