"""The causal mask: attention paid to later tokens, and the effect of a later token on earlier predictions."""

from typing import TYPE_CHECKING

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import probability, significant, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Array, Block, Cell, Column, Matrix, Table, View
from lab.views.number_tables import number
from models.unembed import Slices

if TYPE_CHECKING:
    from torch import Tensor

SHOWN = 24
"""Tokens of the prompt drawn in the heatmap, the last ones."""


def causal_mask(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures over all layers and heads: `later_attention`, the largest weight on a later token, `earlier_attention`, the mean
    sum on earlier ones, `earlier_change`, the largest change of an earlier token's logits when the last token is replaced by
    another, and `last_change` of the last one's.

    Raises:
        UserError: if there are fewer than two tokens, or one in the vocabulary.
    """
    import torch

    from lab.experiments.attention.forward_pass import embedded, patterns

    ids = context.ids
    if context.config.context < 2:
        raise UserError(f"{context.run_name} sees one token at a time, so there is nothing to mask; choose another run.")
    if len(ids) < 2 or context.config.vocab_size < 2:
        raise UserError("The mask shows from two tokens on: type a longer prompt.")
    given = torch.tensor([ids])
    of_layers: list[Tensor] = []
    for pattern in patterns(context.model, embedded(context.model, given)):
        of_layers.append(pattern[0])
        yield
    found = torch.stack(of_layers)  # (L, H, T, T)
    later = torch.ones(len(ids), len(ids), dtype=torch.bool).triu(1)
    earlier = torch.ones(len(ids), len(ids), dtype=torch.bool).tril(-1)
    changed = torch.tensor([[*ids[:-1], (ids[-1] + 1) % context.config.vocab_size]])
    with torch.no_grad():
        logits = context.model(given)
    yield
    with torch.no_grad():
        change = (logits - context.model(changed)).abs().amax(-1)[0]  # (T,)
    measures: dict[str, Measure] = {
        "tokens": len(ids),
        "patterns": int(found.shape[0] * found.shape[1]),
        "later_attention": float(found[..., later].max()),
        "later_mean": float((found * later).sum(-1).mean()),
        "earlier_attention": float((found * earlier)[..., 1:, :].sum(-1).mean()),
        "earlier_change": float(change[:-1].max()),
        "last_change": float(change[-1]),
    }
    shown = found[context.layer, context.head, -SHOWN:, -SHOWN:].numpy().copy()
    if measures["later_attention"] == 0:
        shown[np.triu_indices(len(shown), 1)] = np.nan
    labels = [f"{index + 1} {context.tokenizer.label(id_)}" for index, id_ in enumerate(ids)][-SHOWN:]
    blocks: list[Block] = [
        Matrix(
            f"attention pattern, layer {context.layer + 1}, head {context.head + 1}: row = query, column = key",
            labels,
            labels,
            Array.of(shown),
            scale="sequential",
            limit=1.0,
        ),
        _changes(labels, change[-SHOWN:].tolist()),
    ]
    patterns_found = int(found.shape[0] * found.shape[1])
    among = "the only pattern" if patterns_found == 1 else f"all {whole(patterns_found)} patterns"
    sentence = (
        f"In {among} the largest weight on a later token is "
        f"{_weight(float(measures['later_attention']))}. Another last token changes the logits of earlier ones by at most "
        f"{significant(float(measures['earlier_change']), 2)}, its own by {significant(float(measures['last_change']), 2)}."
    )
    return ExperimentResult(View("causal_mask", "the causal mask", sentence, blocks), measures)


def _weight(value: float) -> str:
    return "exactly 0" if value == 0 else probability(value)


def _changes(labels: list[str], changes: list[float]) -> Table:
    most = max(changes) or 1.0
    rows = [[Cell(label), number(value, 3, bar=value / most)] for label, value in zip(labels, changes, strict=True)]
    return Table(
        [Column("token", "left"), Column("change of its logits")], rows, title="another last token: largest change of a logit"
    )
