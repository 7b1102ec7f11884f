"""Experiments on attention heads: how far they look in the run's text, whether the token with the most weight matters most, and
a head that is built by hand, with the heads of the model whose patterns are nearest."""

import re
from typing import TYPE_CHECKING

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import fixed, probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.views.blocks import Array, Cell, Column, Destination, Gallery, Matrix, Table, Thumbnail, View
from lab.views.number_tables import Numbers, number, share
from models.check import check

if TYPE_CHECKING:
    from torch import Tensor

TOKENS = 2048
LONGEST = 64
"""Tokens of a window: patterns take memory by the square."""


def _windows(context: ExperimentContext) -> "tuple[Tensor, str]":
    """Windows (B, T) of the run's text, and the part that they are from. Raises: UserError: if they hold one token."""
    import torch

    length = min(context.config.context, LONGEST)
    rows, part = context.windows(max(1, context.affordable(TOKENS, passes=2) // length), length)
    if rows.shape[1] < 3:
        raise UserError(f"{context.run_name} sees one token at a time, so there is nothing to attend to; choose another run.")
    return torch.from_numpy(rows[:, :-1]), part


@experiment
def attention_distance(context: ExperimentContext) -> ExperimentResult:
    """Measures of the heads of layer 1, over the tokens of windows but their first: `first_previous`, the mean attention to the
    token before, `first_distance`, the mean distance, `uniform_previous` and `uniform_distance`, those of even attention,
    `nearer`, by how much the distance is shorter, and `best_previous` of `best_head`; `nearest_layer` has the least distance.

    Raises: UserError: if the context is one token, or the run's text cannot be read.
    """
    import torch

    from lab.experiments.batch_passes import embedded, patterns

    ids, part = _windows(context)
    tokens = ids.shape[1]
    at = torch.arange(tokens)
    distance = (at[:, None] - at).clamp(min=0).double()
    weights = torch.stack([distance == 1, distance]).tril()[:, 1:]  # (2, T − 1, T)

    def measured(pattern: "Tensor") -> Numbers:
        """Of each head the mean attention to the token before, and the mean distance: (H, 2)."""
        found: Numbers = torch.einsum("bhqk,nqk->bhnq", pattern[:, :, 1:].double(), weights).mean((0, 3)).numpy()
        return found

    of_layers = list(map(measured, patterns(context.model, embedded(context.model, ids))))
    uniform = measured((torch.ones(tokens, tokens) / (at + 1)[:, None])[None, None])[0]
    means, best = [found.mean(0) for found in of_layers], int(of_layers[0][:, 0].argmax())
    (previous, mean_distance), (even_previous, even_distance) = means[0].tolist(), uniform.tolist()
    measures: dict[str, Measure] = {
        "window": tokens,
        "part": part,
        "first_previous": previous,
        "first_distance": mean_distance,
        "uniform_previous": even_previous,
        "uniform_distance": even_distance,
        "nearer": 1 - mean_distance / even_distance,
        "best_head": best + 1,
        "best_previous": float(of_layers[0][best, 0]),
        "nearest_layer": int(np.argmin([each[1] for each in means])) + 1,
    }
    named = [*((f"layer {layer + 1}", found.tolist()) for layer, found in enumerate(means)), ("even attention", uniform.tolist())]
    table = Table(
        [Column("", "left"), Column("on the token before"), Column("mean distance")],
        [[Cell(name), share(before), number(tokens_back, 1, bar=tokens_back / tokens)] for name, (before, tokens_back) in named],
        title=f"mean attention in windows of {whole(tokens)} tokens of the {part}",
    )
    sentence = (
        f"The heads of layer 1 pay {probability(previous)} of their attention to the token before, even attention "
        f"{probability(even_previous)}; at a mean distance of {fixed(mean_distance, 1)} and {fixed(even_distance, 1)} tokens."
    )
    return ExperimentResult(View("attention_distance", "how far attention looks", sentence, [table]), measures)


@experiment
def attention_and_influence(context: ExperimentContext) -> ExperimentResult:
    """Measures of all heads at the last token of windows, `rows`: the mean rank correlation (Spearman) of the keys' weights with
    the length of the vectors that the head adds for them, `length_agreement`, and with the size of their direct effect on the
    answer's logit, `effect_agreement`; the shares of rows whose most attended token has the largest effect, `same_effect`, and
    whose most attended token lowers the answer's logit, `lowers`.

    The vector is weight × value, projected by the head's part of the output matrix. Its effect is its component in the direction
    of the answer's logit above the mean of all, with the scale of the final norm as it is.

    Raises: UserError: if the context is one token, or the run's text cannot be read.
    """
    import torch

    from lab.experiments.batch_passes import embedded, pattern, queries_keys_values

    model, (ids, part) = context.model, _windows(context)
    x, weights, vectors = embedded(model, ids), [], []
    for block in model.blocks:
        with torch.no_grad():
            q, k, v = queries_keys_values(block, x)
            weights.append(pattern(q, k, block)[:, :, -1])  # (B, H, T)
            output = block.attn.c_proj.weight.T.view(v.shape[1], v.shape[3], -1)  # (H, D, C)
            vectors.append(weights[-1][..., None] * (v @ output))  # (B, H, T, C)
            x = block(x, None, 0)
        check()
    with torch.no_grad():
        end, embeddings = x[:, -1], model.wte.weight
        scale = (end.var(-1, correction=0, keepdim=True) + model.ln_f.eps).sqrt()
        answers = model.unembed(model.ln_f(end)).argmax(-1)
        direction = (embeddings[answers] - embeddings.mean(0)) * model.ln_f.weight / scale  # (B, C)
        direction -= direction.mean(-1, keepdim=True)  # the norm takes the mean of what it gets away
    measured, n = list[list[float]](), ids.shape[1]
    for weight, vector in zip(weights, vectors, strict=True):
        effect = torch.einsum("bhtc,bc->bht", vector, direction)
        top = weight.argmax(-1, keepdim=True)
        ranks, *others = (each.argsort(-1).argsort(-1).double() for each in (weight, vector.norm(dim=-1), effect.abs()))
        agreements = [float((1 - 6 * (ranks - other).square().sum(-1) / (n * (n * n - 1))).mean()) for other in others]
        said = (effect.abs().argmax(-1, keepdim=True) == top, effect.gather(-1, top) < 0)
        measured.append([*agreements, *(float(each.double().mean()) for each in said)])
        check()
    means = [float(mean) for mean in np.mean(measured, 0)]
    measures: dict[str, Measure] = {
        **dict(zip(("length_agreement", "effect_agreement", "same_effect", "lowers"), means, strict=True)),
        "rows": len(ids) * context.config.heads * context.config.layers,
        "part": part,
    }
    titles = ("rank: length", "rank: effect", "largest effect too", "lowers the answer")
    rows = [[number(length, 2), number(rank, 2), share(same), share(lowers)] for length, rank, same, lowers in [*measured, means]]
    table = Table(
        [Column("", "left"), *map(Column, titles)],
        [[Cell(f"layer {layer + 1}"), *row] for layer, row in enumerate(rows[:-1])],
        title=f"weight and influence, at the end of {whole(len(ids))} windows of the {part}",
        total=[Cell("all"), *rows[-1]],
    )
    sentence = (
        f"The orders by weight and by direct effect on the answer agree by {fixed(means[1], 2)} (1: the same order). The most "
        f"attended token has the largest effect in {probability(means[2])} of the rows; in {probability(means[3])} it lowers the "
        "answer's logit."
    )
    return ExperimentResult(View("attention_and_influence", "weight and influence", sentence, [table]), measures)


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
    trained = [of_layer[0] for of_layer in patterns(context.model, embedded(context.model, torch.tensor([ids])))]
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
