"""Experiments on a model that is changed: keys and values from the embeddings, tokens without their order, straight lines for
curved functions, other positions."""

import numpy as np
import torch
from torch import Tensor

from lab.core.errors import UserError
from lab.core.number_format import fixed, probability, significant, whole
from lab.experiments.batch_passes import attention_output, embedded, hidden, loss_of, queries_keys_values, straightened
from lab.experiments.context_window import standard_error
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.views.blocks import Array, Block, Cell, Column, Matrix, Table, View
from lab.views.number_tables import LEFT, bars, by_columns, number, share
from models.check import check

KEYS_FROM_EMBEDDINGS_TOKENS = 2048
"""Tokens of the run's text whose loss is measured, some tenths of a second for the demo."""
MOST_LAYERS = 12
SHOWN = 12
"""Tokens and dimensions drawn of the keys."""


@experiment
def keys_from_embeddings(context: ExperimentContext) -> ExperimentResult:
    """Measures `key_distance` of layer 2 (or 1, where there is no other), relative to the key, `loss`, `loss_replaced` with that
    layer's keys and values from the embeddings, and, of more than two layers, `loss_all_replaced` with every layer's.

    Raises: UserError: if the run's text cannot be read.
    """
    model, layers = context.model, context.config.layers
    ids, targets, part = context.ids_and_targets(KEYS_FROM_EMBEDDINGS_TOKENS, passes=4)
    first = embedded(model, ids)
    from_embeddings = [queries_keys_values(block, first)[1:] for block in model.blocks]
    check()
    computed: list[Tensor] = []

    def watch(layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        computed.append(k)
        return k, v

    normed = hidden(model, first, watch)
    loss = loss_of(model, normed, targets)
    distances = [_relative_change(own, other) for own, (other, _) in zip(computed, from_embeddings, strict=True)]
    at = min(1, layers - 1)

    def replaced(only: int | None) -> float:
        def change(layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            return from_embeddings[layer] if only in (None, layer) else (k, v)

        return loss_of(model, hidden(model, first, change), targets)

    loss_replaced = replaced(at)
    loss_all = replaced(None)
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


def _relative_change(before: Tensor, after: Tensor) -> float:
    """Norm of the difference divided by the norm of the first."""
    length = float(before.norm())
    return float((before - after).norm()) / length if length else 0.0


def _losses(at: int, loss: float, replaced: float, all_replaced: float, title: str) -> Table:
    named = {
        "as the model is": loss,
        f"layer {at + 1}'s from the embeddings": replaced,
        "all layers' from the embeddings": all_replaced,
    }
    return by_columns(
        title,
        (Column("keys and values", "left"), named),
        ("loss", bars(named.values(), 3)),
        (Column("change", optional=1), (significant(value - loss, 3, sign=True) for value in named.values())),
    )


def _distances(distances: list[float]) -> Table:
    shown = distances[:MOST_LAYERS]
    most = max([*shown, 1e-9])
    texts = (probability(value) if value < 1 else f"{value * 100:.0f}%" for value in shown)
    return by_columns(
        "keys k of the model, k′ from the embeddings",
        (LEFT, (f"layer {layer + 1}" for layer in range(len(shown)))),
        ("|k − k′| / |k|", (Cell(text, value, bar=value / most) for text, value in zip(texts, shown, strict=True))),
    )


def _keys(context: ExperimentContext, ids: list[int], keys: Tensor, at: int, words: str) -> Matrix:
    shown = keys[:SHOWN]
    return Matrix(
        f"keys of layer {at + 1}, head {context.head + 1}, {words}",
        [f"{index + 1} {context.tokenizer.label(id_)}" for index, id_ in enumerate(ids[: len(shown)])],
        [str(dimension + 1) for dimension in range(shown.shape[1])],
        Array.of(shown.numpy()),
        scale="diverging",
    )


WORD_ORDER_TOKENS = 4096
LONGEST = 64
FEWEST = 3
"""Tokens that are needed to reverse all but the last."""


@experiment
def word_order(context: ExperimentContext) -> ExperimentResult:
    """Measures on windows of the run's text with all tokens but the last reversed: `with_change` and `without_change`,
    the mean total variation between the next token's probabilities before and after, with position embeddings and without (each
    replaced by their mean); `first_layer_change` and `without_state_change`, without them, of the last token's attention output
    in layer 1 and of its vector after the final norm, relative to their length; `loss` and `loss_without` of the text as it is.

    Where reversing changes nothing in the text, the windows are of the vocabulary in the order of its ids.

    Raises: UserError: if the context is too short, or the run's text cannot be read.
    """
    total = context.affordable(WORD_ORDER_TOKENS, passes=4)
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
        normed = hidden(model, stream)
        losses[name] = loss_of(model, normed, targets)
        other = hidden(model, reversed_stream)
        with torch.no_grad():
            before, after = (model.unembed(each[:, -1]).double().softmax(-1) for each in (normed, other))
        changes[name] = float((before - after).abs().sum(-1).mean() / 2)
        state_changes[name] = _relative_change(normed[:, -1], other[:, -1])
    with torch.no_grad():
        block = model.blocks[0]
        first, second = (attention_output(block, *queries_keys_values(block, x))[:, -1] for x in streams["without"])
    measures: dict[str, Measure] = {
        "layers": context.config.layers,
        "windows": len(rows),
        "tokens": tokens,
        "part": part,
        "with_change": changes["with"],
        "without_change": changes["without"],
        "first_layer_change": _relative_change(first, second),
        "without_state_change": state_changes["without"],
        "loss": losses["with"],
        "loss_without": losses["without"],
    }
    view = View("word_order", "word order and positions", _sentence(measures), [_table(changes, losses, measures, part)])
    return ExperimentResult(view, measures)


def _sentence(measures: dict[str, Measure]) -> str:
    with_change, without_change = float(measures["with_change"]), float(measures["without_change"])
    return (
        f"Reversing the earlier tokens moves {probability(with_change)} of the next token's probability with position embeddings "
        f"and {probability(without_change)} without. Attention in layer 1 without them changes by "
        f"{significant(float(measures['first_layer_change']), 2)} of its length."
    )


def _table(changes: dict[str, float], losses: dict[str, float], measures: dict[str, Measure], part: str) -> Table:
    alone = float(measures["first_layer_change"])
    return by_columns(
        f"{measures['windows']} windows of {measures['tokens']} tokens of the {part}",
        (LEFT, (*(f"{name} position embeddings" for name in changes), "attention of layer 1 alone, without")),
        ("change when reversed", (*map(share, changes.values()), number(alone, 3, bar=min(1.0, alone)))),
        ("loss as it is", (*bars(losses.values(), 3), "")),
    )


LINEAR_PARTS_TOKENS = 1024
REPLACED = {
    "nothing": "nothing",
    "gelu": "GELU → the straight line that fits best",
    "exp": "exp of a score → the score, from the lowest",
    "both": "both",
}


@experiment
def linear_parts(context: ExperimentContext) -> ExperimentResult:
    """Measures `loss` on windows of the run's text, and the same with a curved function replaced in every layer: `loss_gelu`, by
    the straight line that fits its values best; `loss_exp`, a weight of attention in proportion to the score minus the lowest of
    its row; `loss_both`. `largest_change` and `least_change` are those of the loss by one of the two.

    Raises: UserError: if the run's text cannot be read.
    """
    ids, targets, part = context.ids_and_targets(LINEAR_PARTS_TOKENS, passes=2 * len(REPLACED))
    losses: dict[str, float] = {}
    for name in REPLACED:
        normed = straightened(context.model, ids, {"gelu", "exp"} if name == "both" else {name})
        losses[name] = loss_of(context.model, normed, targets)
    loss = losses["nothing"]
    changes = [losses["gelu"] - loss, losses["exp"] - loss]
    measures: dict[str, Measure] = {
        "loss": loss,
        **{f"loss_{name}": losses[name] for name in ("gelu", "exp", "both")},
        "largest_change": max(changes),
        "least_change": min(changes),
        "tokens": int(targets.numel()),
        "part": part,
    }
    table = by_columns(
        f"loss on {whole(targets.numel())} tokens of the {part}, nats",
        (Column("replaced in every layer", "left"), REPLACED.values()),
        ("loss", (number(each, 3) for each in losses.values())),
        ("change", (significant(each - loss, 3, sign=True) for each in losses.values())),
    )
    sentence = (
        f"The loss is {fixed(loss, 3)}. With a straight line for GELU it is {fixed(losses['gelu'], 3)}, with the scores "
        f"themselves for exp {fixed(losses['exp'], 3)}, with both {fixed(losses['both'], 3)}."
    )
    return ExperimentResult(View("linear_parts", "without curved functions", sentence, [table]), measures)


SHIFTED = 16
"""Windows whose positions are changed."""


@experiment
def same_weights(context: ExperimentContext) -> ExperimentResult:
    """Measures `largest_difference` between what a layer computes of a vector at its position and at the mirrored one, relative
    to the largest number there; `shift_change`, the mean total variation of the next token's probabilities when the same tokens
    get the position embeddings of `shift` positions later, over so many `windows` of the `part`, with its `shift_error`;
    `parameters`, `position_parameters` and `position_share`.

    Raises: UserError: if there are not two tokens, or the run's text cannot be read.
    """
    model, shift = context.model, context.config.context // 2
    affordable = context.affordable(SHIFTED * LONGEST, passes=4)
    length = min(context.config.context - shift, LONGEST, affordable)
    rows, part = context.windows(max(1, affordable // length), length)
    ids = torch.from_numpy(rows[:, :-1])
    tokens = ids.shape[1]
    if tokens < 2:
        raise UserError(f"The context or the text of {context.run_name} is too short to change positions; choose another run.")
    differences: list[float] = []
    x = embedded(model, ids)
    for block in model.blocks:
        with torch.no_grad():
            here, there = (
                torch.cat([block.attn.c_attn(block.ln_1(each)), block.mlp(block.ln_2(each))], -1) for each in (x, x.flip(1))
            )
            differences.append(float((here - there.flip(1)).abs().max() / here.abs().max()))
            x = block(x, None, 0)
        check()
    after = []
    for start in (0, shift):
        with torch.no_grad():
            stream = model.wte(ids) + model.wpe.weight[start : start + tokens]
        normed = hidden(model, stream)
        after.append(model.unembed(normed).detach().double().softmax(-1))
    at_position, all_of_them = model.wpe.weight.numel(), sum(weight.numel() for weight in model.parameters())
    changes = (after[0] - after[1]).abs().sum(-1).mean(-1).numpy() / 2  # of each window
    largest, change = max(differences), float(changes.mean())
    measures: dict[str, Measure] = {
        "tokens": tokens,
        "shift": shift,
        "largest_difference": largest,
        "shift_change": change,
        "shift_error": standard_error(changes),
        "windows": len(rows),
        "part": part,
        "parameters": all_of_them,
        "position_parameters": at_position,
        "position_share": at_position / all_of_them,
    }
    table = by_columns(
        "",
        (Column("q, k, v and MLP of one vector", "left"), (f"layer {layer}" for layer in range(1, len(differences) + 1))),
        ("largest difference at another position", (significant(value, 2) for value in differences)),
    )
    exact = "exactly the same" if not largest else f"the same, up to {significant(largest, 2)} of the largest number"
    sentence = (
        f"Of one vector a layer computes {exact}, at whichever position. With the position embeddings of {whole(shift)} "
        f"positions later, {probability(change)} of the next token's probability moves."
    )
    return ExperimentResult(View("same_weights", "two positions, one set of weights", sentence, [table]), measures)
