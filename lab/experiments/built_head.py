"""Experiment with an attention head that is built by hand: its pattern, and the heads of the model whose patterns are nearest."""

import re
from typing import TYPE_CHECKING

from lab.core.errors import UserError
from lab.core.number_format import probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.views.blocks import Array, Destination, Gallery, Matrix, Thumbnail, View
from models.check import check

if TYPE_CHECKING:
    from torch import Tensor

READS = ("position", "position before", "token", "token before", "first", "constant")
BUILT = "position before → position × 8"
STRONGEST = 100.0
SHOWN, NEAREST = 24, 4
"""Tokens of the prompt drawn, the last ones; heads of the model drawn."""

_BUILT = re.compile(r"\s*([a-z ]+?)\s*(?:→|->|>)\s*([a-z ]+?)\s*(?:[×*x]\s*(\d+(?:\.\d+)?))?\s*")


def refusal(head: str) -> str:
    """The reason why these words are no head; "" if they are one."""
    found = _BUILT.fullmatch(head)
    if found is not None and {found[1], found[2]} <= set(READS) and float(found[3] or 1) <= STRONGEST:
        return ""
    words = f"Write a head as in {BUILT}: what the query reads, what the key reads, and the score where the two are the same"
    return f"{words}, up to {STRONGEST:.0f}. To choose from: {', '.join(READS)}."


@experiment
def built_head(context: ExperimentContext) -> ExperimentResult:
    """Measures the head of the model whose pattern on the prompt is nearest to that of a head built by hand, `nearest_layer` and
    `nearest_head`, from 1; its `distance`, the mean total variation of the rows but the first; and that of even attention,
    `even_distance`.

    The input `head`, as in `position before → position × 8`, says what a query reads, what a key reads, and the score where the
    two are the same; elsewhere it is 0. Raises: UserError: if it does not, or the prompt has fewer than two tokens.
    """
    import torch

    from lab.experiments.batch_passes import embedded, pattern, patterns

    head, ids = context.inputs.get("head", BUILT), context.ids
    found = _BUILT.fullmatch(head)
    if found is None or refusal(head):
        raise UserError(refusal(head))
    if len(ids) < 2:
        raise UserError("A pattern shows from two tokens on: type a longer prompt.")
    q, k = (one_hot(name, ids)[None, None] for name in (found[1], found[2]))  # (1, 1, T, D)
    q *= float(found[3] or 1) * q.shape[-1] ** 0.5  # the model's own path divides the scores by √D
    built = pattern(q, k, context.model.blocks[0])[0, 0]  # (T, T)
    trained: list[Tensor] = []
    for of_layer in patterns(context.model, embedded(context.model, torch.tensor([ids]))):
        trained.append(of_layer[0])
        check()
    even = torch.ones_like(built).tril() / torch.arange(1, len(ids) + 1)[:, None]
    heads = torch.cat([*trained, even[None]])  # (L * H + 1, T, T)
    *distances, even_distance = ((heads - built).abs().sum(-1) / 2)[:, 1:].mean(-1).tolist()
    order = sorted(range(len(distances)), key=distances.__getitem__)[:NEAREST]
    places, distance = [divmod(at, context.config.heads) for at in order], distances[order[0]]
    names = [f"{layer + 1}.{head + 1}" for layer, head in places]
    measures: dict[str, Measure] = {"nearest_layer": places[0][0] + 1, "nearest_head": places[0][1] + 1}
    measures |= {"distance": distance, "even_distance": even_distance}
    above = torch.ones_like(built, dtype=torch.bool).triu(1)
    drawn = [Array.of(each.masked_fill(above, torch.nan)[-SHOWN:, -SHOWN:].numpy()) for each in (built, *heads[order])]
    labels = [f"{index + 1} {context.tokenizer.label(id_)}" for index, id_ in enumerate(ids)][-SHOWN:]
    matrix = Matrix(
        "pattern, query ↓ key →", labels, [label.split()[0] for label in labels], drawn[0], scale="sequential", limit=1.0
    )
    nearest = [
        Thumbnail(
            name, picture, probability(1 - distances[at], 0), f"{name}: enter opens it.", destination=Destination("matrix", *to)
        )
        for name, picture, at, to in zip(names, drawn[1:], order, [(layer, None, head) for layer, head in places], strict=True)
    ]
    gallery = Gallery("the most similar heads of the model", "percent of attention in the same place", nearest, NEAREST)
    sentence = (
        f"Of the model's {whole(len(distances))} heads, head {names[0]} is the most similar: on average "
        f"{probability(1 - distance)} of a token's attention goes where it goes in the built head. Spread evenly, "
        f"{probability(1 - even_distance)} would" + ("." if distance < even_distance else ": no head is more like it than that.")
    )
    title = f"a head built by hand: q reads {found[1]}, k reads {found[2]}"
    return ExperimentResult(View("built_head", title, sentence, [matrix, gallery]), measures)


def one_hot(name: str, ids: list[int]) -> "Tensor":
    """A query or key of each token, (T, D): a 1 at the dimension of the position, the token or the constant that it reads."""
    import torch

    kinds = torch.tensor([ids.index(id_) for id_ in ids])
    blocks = [torch.eye(len(ids)), torch.nn.functional.one_hot(kinds).float(), torch.ones(len(ids), 1)]
    read = 0 if name.startswith("position") else 1 if name.startswith("token") else 2
    made = torch.cat([block * (number == read) for number, block in enumerate(blocks)], -1)
    if name.endswith("before"):
        made = made.roll(1, 0)
        made[0] = 0.0
    elif name == "first":
        made[1:] = 0.0
    return made
