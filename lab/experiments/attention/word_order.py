"""Word order without position embeddings: the earlier tokens reversed, and the effect on the last one."""

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import probability, significant
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Block, Cell, Column, Table, View
from lab.views.number_tables import number
from models.unembed import Slices

LISTED = 8


def word_order(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures of reversing all tokens but the last: `without_change` and `with_change`, the total variation between the
    predictions before and after, without position embeddings (each replaced by their mean) and with them; `first_layer_change`,
    the change of the last token's attention output in layer 1 without them, relative to its length.

    Raises:
        UserError: if the prompt has fewer than three tokens in the context, or all but the last are the same.
    """
    import torch

    from lab.experiments.attention.forward_pass import first_attention_output, hidden

    ids = context.ids
    turned = [*ids[-2::-1], ids[-1]]
    if len(ids) < 3 or turned == ids:
        raise UserError("The order of words shows from three tokens on, which differ when reversed: type a longer prompt.")
    model = context.model
    with torch.no_grad():
        rows = model.wte(torch.tensor([ids, turned]))
        positions = model.wpe.weight[: len(ids)]
        streams = {"with": rows + positions, "without": rows + positions.mean(0)}
    probabilities = {}
    for name, stream in streams.items():
        normed = yield from hidden(model, stream)
        with torch.no_grad():
            probabilities[name] = model.unembed(normed[:, -1]).double().softmax(-1).numpy()  # (2, V)
    first = first_attention_output(model, streams["without"])[:, -1]
    changes = {name: float(np.abs(each[0] - each[1]).sum() / 2) for name, each in probabilities.items()}
    measures: dict[str, Measure] = {
        "layers": context.config.layers,
        "tokens": len(ids),
        "with_change": changes["with"],
        "without_change": changes["without"],
        "first_layer_change": float((first[0] - first[1]).norm() / first[0].norm().clamp(min=1e-30)),
    }
    summary = Table(
        [Column("", "left"), Column("change of the prediction")],
        [
            [Cell(f"{name} position embeddings"), Cell(probability(change, digits=2), value=change, bar=change)]
            for name, change in changes.items()
        ],
        title=f"{len(ids) - 1} earlier tokens reversed",
    )
    blocks: list[Block] = [summary, _predictions(context, probabilities)]
    sentence = (
        f"Without position embeddings, reversing the earlier tokens moves {probability(changes['without'], digits=2)} of the "
        f"probability, with them {probability(changes['with'], digits=2)}. Attention in layer 1 alone changes by "
        f"{significant(float(measures['first_layer_change']), 2)} of its length."
    )
    return ExperimentResult(View("word_order", "word order and positions", sentence, blocks), measures)


def _predictions(context: ExperimentContext, probabilities: dict[str, np.ndarray]) -> Table:
    order = np.argsort(-probabilities["with"][0], kind="stable")[:LISTED].tolist()
    columns = [Column("next token", "left")]
    columns += [Column(f"{name}, {words}") for name in probabilities for words in ("as is", "reversed")]
    rows = [
        [
            Cell(context.tokenizer.label(id_)),
            *(number(float(each[row, id_]), 3, bar=float(each[row, id_])) for each in probabilities.values() for row in (0, 1)),
        ]
        for id_ in order
    ]
    return Table(columns, rows, title="probability of the next token, with and without positions")
