"""Keys and values taken from the embeddings instead of the residual stream: their distance, and the loss with them."""

from typing import TYPE_CHECKING

from lab.core.number_format import fixed, probability, significant, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Array, Block, Cell, Column, Matrix, Table, View
from models.unembed import Slices

if TYPE_CHECKING:
    from torch import Tensor

TOKENS = 2048
"""Tokens of the run's text whose loss is measured, some tenths of a second for the demo."""
MOST_LAYERS = 12
SHOWN = 12
"""Tokens and dimensions drawn of the keys."""


def keys_from_embeddings(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures `key_distance` of layer 2 (or 1, where there is no other), relative to the key, `loss`, `loss_replaced` with that
    layer's keys and values from the embeddings, and, of more than two layers, `loss_all_replaced` with every layer's.

    Raises:
        UserError: if the run's text cannot be read.
    """
    import torch

    from lab.experiments.attention.forward_pass import embedded, hidden, loss_of, queries_keys_values

    model, layers = context.model, context.config.layers
    tokens = context.affordable(TOKENS, passes=4)
    rows, part = context.windows(max(1, tokens // context.config.context), tokens)
    ids, targets = torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])
    first = embedded(model, ids)
    from_embeddings = [queries_keys_values(block, first)[1:] for block in model.blocks]
    yield
    computed: list[Tensor] = []

    def watch(layer: int, k: "Tensor", v: "Tensor") -> "tuple[Tensor, Tensor]":
        computed.append(k)
        return k, v

    normed = yield from hidden(model, first, watch)
    loss = loss_of(model, normed, targets)
    distances = [_distance(own, other) for own, (other, _) in zip(computed, from_embeddings, strict=True)]
    at = min(1, layers - 1)

    def replaced(only: int | None) -> Slices[float]:
        def change(layer: int, k: "Tensor", v: "Tensor") -> "tuple[Tensor, Tensor]":
            return from_embeddings[layer] if only in (None, layer) else (k, v)

        return loss_of(model, (yield from hidden(model, first, change)), targets)

    loss_replaced = yield from replaced(at)
    loss_all = yield from replaced(None)
    measures: dict[str, Measure] = {
        "layers": layers,
        "layer": at + 1,
        "key_distance": distances[at],
        "loss": loss,
        "loss_replaced": loss_replaced,
        "loss_change": loss_replaced - loss,
        "tokens": int(targets.numel()),
        "part": part,
    }
    if layers > 2:  # with two, layer 2 is the only one that does not get the embeddings itself
        measures["loss_all_replaced"] = loss_all
    blocks: list[Block] = [
        _losses(at, loss, loss_replaced, loss_all, f"loss on {whole(targets.numel())} tokens of the {part}"),
        _distances(distances),
        _keys(context, ids[0].tolist(), computed[at][0, context.head], at, "as the model computes them"),
        _keys(context, ids[0].tolist(), from_embeddings[at][0][0, context.head], at, "from the embeddings"),
    ]
    sentence = (
        f"The keys of layer {at + 1} are {probability(distances[at])} of their own length away from what the embeddings would "
        f"give; with those, and their values, the loss goes from {fixed(loss, 3)} to {fixed(loss_replaced, 3)}."
    )
    return ExperimentResult(View("keys_from_embeddings", "keys and values of each layer", sentence, blocks), measures)


def _distance(own: "Tensor", other: "Tensor") -> float:
    """Length of the difference divided by the length of the model's own, over all keys."""
    length = float(own.norm())
    return float((own - other).norm()) / length if length else 0.0


def _losses(at: int, loss: float, replaced: float, all_replaced: float, title: str) -> Table:
    named = [("as the model is", loss), (f"layer {at + 1}'s from the embeddings", replaced)]
    named.append(("all layers' from the embeddings", all_replaced))
    most = max(value for _, value in named) or 1.0
    rows = [
        [Cell(name), Cell(fixed(value, 3), value=value, bar=value / most), Cell(significant(value - loss, 3, sign=True))]
        for name, value in named
    ]
    return Table([Column("keys and values", "left"), Column("loss"), Column("change", optional=1)], rows, title=title)


def _distances(distances: list[float]) -> Table:
    shown = distances[:MOST_LAYERS]
    most = max([*shown, 1e-9])
    rows = [
        [
            Cell(f"layer {layer + 1}"),
            Cell(probability(value) if value < 1 else f"{value * 100:.0f}%", value=value, bar=value / most),
        ]
        for layer, value in enumerate(shown)
    ]
    return Table([Column("", "left"), Column("|k − k′| / |k|")], rows, title="keys k of the model, k′ from the embeddings")


def _keys(context: ExperimentContext, ids: list[int], keys: "Tensor", at: int, words: str) -> Matrix:
    shown = keys[:SHOWN]
    return Matrix(
        f"keys of layer {at + 1}, head {context.head + 1}, {words}",
        [f"{index + 1} {context.tokenizer.label(id_)}" for index, id_ in enumerate(ids[: len(shown)])],
        [str(dimension + 1) for dimension in range(shown.shape[1])],
        Array.of(shown.numpy()),
        scale="diverging",
    )
