"""Experiments on the context window: the loss by position in it, its far end, the cost of its length, the time of a token."""

import math
import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from lab.core.errors import UserError
from lab.core.number_format import count, fixed, probability, whole
from lab.experiments.batch_passes import affordable_windows, last_probabilities, losses_of
from lab.experiments.experiment_context import TRAINING, VALIDATION, ExperimentContext, Ids, doubling
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.experiments.sizes import OWN, SHAPES, config_of, size_name
from lab.views.blocks import Array, Block, Cell, Column, Strip, Table, View
from lab.views.number_tables import LEFT, Numbers, by_columns, number, share
from models.check import check
from models.gpt import KVCache
from models.parameter_count import multiplications
from models.sampling import distribution, draw, uniform

MOST_WINDOWS = 128
FLOPS = 1e11
"""Work of all windows together, or of all pieces: a few seconds on a laptop."""

SMALLEST_ERROR = 1e-6
"""Nats, about the rounding of float32: the windows of a text that repeats itself differ by no more."""


@experiment
def loss_by_position(context: ExperimentContext) -> ExperimentResult:
    """Measures `first`, the mean loss at position 1, `last`, that of the second half of the window, their difference `fall` and
    the standard error of that difference, `fall_error`; `fall_in_errors` is their ratio.

    Raises: UserError: if the run's text cannot be read.
    """
    windows, part = context.windows(affordable_windows(context.config, FLOPS, MOST_WINDOWS))
    losses: Numbers = losses_of(context.model, windows).double().numpy()  # (B, T)
    length = losses.shape[1]
    late = losses[:, length // 2 :].mean(1)  # (B,)
    fall = losses[:, 0] - late
    error = standard_error(fall)
    measures: dict[str, Measure] = {
        "windows": len(losses),
        "positions": length,
        "part": part,
        "mean": float(losses.mean()),
        "first": float(losses[:, 0].mean()),
        "last": float(late.mean()),
        "fall": float(fall.mean()),
        "fall_error": error,
        "fall_in_errors": float(fall.mean()) / max(error, SMALLEST_ERROR),
    }
    blocks: list[Block] = [_by_range(losses, part)]
    if length > 1:
        blocks.append(Strip("mean loss at each position", Array.of(losses.mean(0)), never_negative=True))
    view = View("loss_by_position", "loss by position in the window", _sentence(measures), blocks)
    return ExperimentResult(view, measures)


def _sentence(measures: dict[str, Measure]) -> str:
    first, last, fall = (float(measures[name]) for name in ("first", "last", "fall"))
    error, length = float(measures["fall_error"]), int(measures["positions"])
    if length == 1:
        return f"The window holds one token, so each prediction sees that token alone: {fixed(first, 3)} nats."
    begin = f"With one token to go on the loss is {fixed(first, 3)}, in the second half of the window {fixed(last, 3)}: "
    if abs(fall) <= 2 * max(error, SMALLEST_ERROR):
        return begin + "no clear difference, so these windows do not show that more tokens help this model."
    if fall < 0:
        return begin + "it is higher there, so more tokens do not help this model."
    return begin + f"more tokens before save {fixed(fall, 3)} nats a token."


def _by_range(losses: Numbers, part: str) -> Table:
    """Mean losses of positions 1, 2, 3 to 4, 5 to 8 and so on."""
    rows = by_range([losses])
    errors = [standard_error(losses[:, low:high].mean(1)) for low, high in ranges(losses.shape[1])]
    for row, error in zip(rows, errors, strict=True):
        row.append(Cell(f"± {fixed(error, 3)}", value=error))
    columns = [Column("tokens seen"), Column("loss, nats"), Column("standard error", optional=1)]
    return Table(columns, rows, title=f"{whole(len(losses))} windows of the {part}")


def ranges(length: int) -> list[tuple[int, int]]:
    """Ranges [low, high) of places: the first, the second, the two after, the four after them and so on."""
    return list(pairwise([0, *doubling(length)]))


def by_range(losses: Sequence[Numbers], first: int = 1) -> list[list[Cell]]:
    """A row for each range of places, counted from `first`, with the mean of each of these losses (B, T)."""
    means = [[float(each[:, low:high].mean()) for each in losses] for low, high in ranges(losses[0].shape[1])]
    most = max(map(max, means)) or 1.0
    return [
        [
            Cell(whole(low + first) if high == low + 1 else f"{whole(low + first)} to {whole(high + first - 1)}"),
            *(number(mean, 3, bar=mean / most) for mean in row),
        ]
        for (low, high), row in zip(ranges(losses[0].shape[1]), means, strict=True)
    ]


def standard_error(values: Numbers) -> float:
    """Standard error of the mean of independent values."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


MOST_PIECES = 16


@experiment
def reach_of_window(context: ExperimentContext) -> ExperimentResult:
    """Measures `inside`, the mean change of the next token's probabilities by a token replaced in the window, over the distances
    tried, `beyond`, that by a token before the window, and `nearest` and `farthest` in the window.

    The change is the total variation distance, ½ Σ |p − q|: 0 for equal probabilities, 1 for disjoint ones. The replacement is
    another token from elsewhere in the text. Raises: UserError: if the run's text cannot be read, is shorter than the window, or
    is one token over and over.
    """
    window = context.config.context
    distances = doubling(window)
    beyond = sorted({window + 1, 2 * window})
    passes = len(distances) + len(beyond)
    count = affordable_windows(context.config, FLOPS, MOST_PIECES * passes) // passes
    pieces, others, part = _pieces(context, max(2, count), beyond[-1])
    plain = last_probabilities(context.model, pieces[:, -window:]).numpy()
    changes = []
    for distance in (*distances, *beyond):
        changed = pieces.copy()
        changed[:, -distance] = _others(pieces, distance, others)
        found = last_probabilities(context.model, changed[:, -window:]).numpy()
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
    most, tried = max(changes) or 1.0, dict(zip((*distances, *beyond), changes, strict=True))
    places = (Cell("in the window" if each <= window else "before it", style="" if tried[each] else "dim") for each in tried)
    table = by_columns(
        f"one token replaced, in {whole(len(pieces))} places of the {part}",
        ("tokens back", map(whole, tried)),
        (LEFT, places),
        ("change of the prediction", (Cell(probability(each, digits=2), each, bar=each / most) for each in changes)),
    )
    return ExperimentResult(View("reach_of_window", "the window's reach", sentence, [table]), measures)


def _pieces(context: ExperimentContext, count: int, length: int) -> tuple[Ids, Ids, str]:
    """Pieces of the text, (n, length), a token from elsewhere for each, and the part that they are from."""
    train, val = context.tokens()
    ids, name = (val, VALIDATION) if len(val) > length else (train, TRAINING)
    if len(ids) <= length:
        raise UserError(
            f"The text of {context.run_name} has {whole(len(ids))} tokens; this experiment needs more than {whole(length)}."
        )
    pieces = context.spaced(ids, count, length)
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


LENGTHS = 8


@experiment
def forward_cost(context: ExperimentContext) -> ExperimentResult:
    """Measures, for the model's whole context of `tokens`, `total` multiplications, and of those `weights` and `attention`;
    `doubled` is the factor of attention's part from half as many tokens.

    The input `model` is `your model`, its default, or a size of GPT-2. The pass predicts one next token and uses no cache.
    """

    size = context.inputs.get("model", OWN)
    config = config_of(size) if size in SHAPES else context.config
    name = size_name(size) if size in SHAPES else context.run_name
    head = config.vocab_size * config.width
    per_token = 12 * config.layers * config.width**2

    def cost(tokens: int) -> tuple[int, int, int]:
        """Multiplications by weights, by attention, and both."""
        by_weights, total = tokens * per_token + head, multiplications(config, tokens, tokens)
        return by_weights, total - by_weights, total

    rows = []
    for tokens in sorted({max(1, config.context >> halved) for halved in range(LENGTHS)}):
        weights, attention, total = cost(tokens)
        by_weights, by_attention, both, pairs = (Cell(count(n), value=float(n)) for n in (weights, attention, total, tokens**2))
        rows.append([Cell(whole(tokens)), by_weights, by_attention, share(attention / total), both, pairs])
    weights, attention, total = cost(config.context)
    measures: dict[str, Measure] = {
        "tokens": config.context,
        "total": total,
        "attention": attention,
        "weights": weights,
        "doubled": attention / cost(max(1, config.context // 2))[1],
    }
    columns = [*map(Column, ("tokens T", "by weights", "by attention", "attention's share"))]
    columns += [Column("multiplications", optional=2), Column("T × T", optional=1)]
    sentence = (
        f"{name} predicts one token from its whole context of {whole(config.context)} by {count(total)} multiplications, "
        f"{probability(attention / total)} of them between pairs of tokens. Twice the tokens make that part four times as large."
    )
    view = View("forward_cost", f"one forward pass of {name}", sentence, [Table(columns, rows)])
    return ExperimentResult(view, measures)


TIMES = 30
"""Times that a token is computed; the least counts, since other programs only add to it."""


@experiment
def token_time(context: ExperimentContext) -> ExperimentResult:
    """Measures `milliseconds`, in which a token after the `tokens` of the prompt is computed with the KV cache and drawn, the
    least of so many `times`, the `middle` one, and the shares of its parts: `embedding`, `attention`, `mlp`, `output` and `draw`.

    Raises: UserError: if there is no prompt.
    """
    model, cache, ids, now = context.model, KVCache(context.config), torch.tensor([context.ids]), time.perf_counter
    last = ids.shape[1] - 1
    with torch.inference_mode():
        model.hidden(ids, cache)
    times: list[Numbers] = []
    for index in range(TIMES):
        check()
        cache.length = last
        ends = [now()]
        with torch.inference_mode():
            x = model.wte(ids[:, -1:]) + model.wpe.weight[last]
            ends.append(now())
            for layer, block in enumerate(model.blocks):
                x = x + block.attn(block.ln_1(x), cache, layer)
                ends.append(now())
                x = x + block.mlp(block.ln_2(x))
                ends.append(now())
            logits = model.unembed(model.ln_f(x))[0, -1]
            ends.append(now())
            draw(distribution(logits, context.sampling).after, uniform(context.sampling.seed, index))
            ends.append(now())
        times.append(np.diff(ends) * 1000)
    times.sort(key=np.sum)
    least = times[0]
    parts = [least[0], least[1:-2:2].sum(), least[2:-2:2].sum(), least[-2], least[-1]]
    total, shares = float(least.sum()), [float(part / least.sum()) for part in parts]
    measures: dict[str, Measure] = {"tokens": last + 1, "milliseconds": total, "per_second": 1000 / total}
    measures |= {"times": TIMES, "middle": float(times[TIMES // 2].sum())}
    measures |= dict(zip(("embedding", "attention", "mlp", "output", "draw"), shares, strict=True))
    labels = ("embeddings", "attention, all layers", "MLPs, all layers", "final norm and logits", "softmax and draw")
    table = by_columns(
        f"one token with the KV cache, least of {TIMES} times",
        (LEFT, labels),
        ("milliseconds", (number(part, 3) for part in parts)),
        ("share", map(share, shares)),
        total=[Cell("all"), number(total, 3), Cell("100%")],
    )
    sentence = (
        f"At place {whole(last + 1)} of the context one token takes {fixed(total, 2)} ms on this machine, "
        f"{probability(max(shares))} of it for {labels[shares.index(max(shares))]}."
    )
    return ExperimentResult(View("token_time", "the time of one token", sentence, [table]), measures)
