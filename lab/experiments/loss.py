"""Experiments on the loss: of each token of a text, at the start, under gradient descent from random weights, and the least that
a text allows."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lab.core.errors import UserError
from lab.core.number_format import counted, fixed, probability, significant, whole
from lab.experiments.experiment_context import ExperimentContext, Ids, doubling
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.experiments.sizes import OTHERS, PARTS, count_parameters, part_of
from lab.views.blocks import Array, Block, Cell, Column, Strip, Table, View
from lab.views.number_tables import LEFT, Numbers, bars, by_columns, figures, number, share
from models.check import check
from models.gpt import GPT

WINDOWS = 64
"""Windows to choose from, spread over the text."""
LENGTH = 16
"""Most tokens of a window: enough for a screen."""


@experiment
def window_losses(context: ExperimentContext) -> ExperimentResult:
    """Measures `mean` and `mean_random`, the mean −ln p with the weights at hand and with random ones, `uniform` (ln V),
    `targets`, and `largest`, the highest −ln p. The input `window` chooses the window, from 1.

    Raises: UserError: if the run's text cannot be read.
    """
    rows, part = context.windows(WINDOWS, min(LENGTH, context.config.context))
    chosen = int(context.number("window", 1, 1, WINDOWS)) - 1
    row = rows[chosen % len(rows)]
    fresh = context.fresh_model()
    check()
    at_random = token_losses(fresh, row)
    check()
    found = token_losses(context.model, row)
    uniform, mean, mean_random = math.log(context.config.vocab_size), float(found.mean()), float(at_random.mean())
    measures: dict[str, Measure] = {
        "mean": mean,
        "mean_random": mean_random,
        "uniform": uniform,
        "targets": len(found),
        "largest": float(found.max()),
        "perplexity": math.exp(min(mean, 50.0)),
    }
    labels = [context.tokenizer.label(id_) for id_ in row.tolist()]
    most, digits = max(float(found.max()), float(at_random.max()), uniform), len(str(len(found)))
    table = by_columns(
        f"window {chosen % len(rows) + 1} of {len(rows)}, {part}: each row also reads the rows above",
        (Column("reads", "left"), (f"{place:>{digits}} {label}" for place, label in enumerate(labels[:-1], 1))),
        (Column("target", "left"), (Cell(label, style="strong") for label in labels[1:])),
        ("p", (probability(math.exp(-each), digits=2) for each in found)),
        ("−ln p", bars(found, 2, most)),
        (Column("random weights", optional=1), (number(each, 2) for each in at_random)),
        total=[Cell("mean"), Cell(""), Cell(""), number(mean, 2, bar=mean / most), number(mean_random, 2)],
    )
    return ExperimentResult(View("window_losses", "windows and targets", _sentence(measures, labels, found), [table]), measures)


def token_losses(model: GPT, row: "np.ndarray") -> Numbers:
    """−ln p of each token of a window after its first, (T,), float64."""
    ids: Tensor = torch.from_numpy(row)
    with torch.no_grad():
        logits = model(ids[None, :-1])[0]
        each: Numbers = cross_entropy(logits.double(), ids[1:], reduction="none").numpy()
    return each


def _sentence(measures: dict[str, Measure], labels: list[str], found: Numbers) -> str:
    worst = int(found.argmax())
    surprise = fixed(float(found[worst]), 2)
    if len(found) == 1:
        return f"The target “{labels[1]}” has −ln p = {surprise}."
    return (
        f"The most surprising of {whole(len(found))} targets is “{labels[worst + 1]}”: −ln p = {surprise}. Their mean is the "
        f"loss: {fixed(float(measures['mean']), 2)}."
    )


INITIAL_LOSS_TOKENS = 1024


@experiment
def initial_loss(context: ExperimentContext) -> ExperimentResult:
    """Measures `loss_at_start` of a model initialized from the run's seed, `uniform` (ln V), their difference `gap`, `loss_now`,
    and `repeats`, the share of targets that are the token read last.

    Raises: UserError: if the run's text cannot be read.
    """
    config = context.config
    ids, targets, part = context.ids_and_targets(INITIAL_LOSS_TOKENS, passes=2)
    fresh = context.fresh_model()
    check()
    with torch.no_grad():
        start = float(fresh.loss(ids, targets))
    check()
    with torch.no_grad():
        now = float(context.model.loss(ids, targets))
    uniform = math.log(config.vocab_size)
    measures: dict[str, Measure] = {
        "vocabulary": config.vocab_size,
        "uniform": uniform,
        "loss_at_start": start,
        "gap": start - uniform,
        "repeats": float((ids == targets).double().mean()),
        "loss_now": now,
        "step": context.opened.step,
        "tokens": int(targets.numel()),
        "part": part,
    }
    named = {
        "ln V: all tokens equally likely": uniform,
        "random weights, before step 1": start,
        f"{context.run_name} at step {whole(context.opened.step)}": now,
    }
    table = by_columns(
        f"loss on {whole(targets.numel())} tokens of the {part}",
        (LEFT, named),
        ("loss, nats", bars(named.values(), 3)),
        (Column("perplexity", optional=1), (fixed(math.exp(min(value, 50.0)), 1) for value in named.values())),
    )
    sentence = (
        f"With random weights the loss is {fixed(start, 3)}; ln of {whole(config.vocab_size)} is {fixed(uniform, 3)}. At step "
        f"{whole(context.opened.step)} it is {fixed(now, 3)}."
    )
    return ExperimentResult(View("initial_loss", "the loss at the start", sentence, [table]), measures)


STEPS = 20
GRADIENT_DESCENT_TOKENS = 512
FLOPS = 2e10
"""Multiplications and additions that all steps may take together: about a second on two idle cores."""
RATE = 0.1
"""Learning rate of plain gradient descent: weights minus the rate times the gradient."""
LARGEST_RATE = 1e6
SAMPLE = 100_000
"""Numbers of each matrix whose distribution is measured."""


@experiment
def gradient_descent(context: ExperimentContext) -> ExperimentResult:
    """Measures of the start: `start_std` of all matrices, `seed_correlation` with those of another seed; of one
    step: `loss_before`, `loss_after`, `moved` (share of the weights), `relative_move`; and `last_loss` after `steps`.

    The learning rate is the input `rate`. Raises: UserError: if the run's text cannot be read.
    """
    rate = context.number("rate", RATE, 0.0, LARGEST_RATE)
    config, seed = context.config, context.opened.run.config.train.seed
    model = GPT(config, seed=seed)
    check()
    other = GPT(replace(config, layers=1), seed=seed + 1)
    parameters = count_parameters(model)
    steps = max(2, min(STEPS, int(FLOPS / (6 * parameters * min(GRADIENT_DESCENT_TOKENS, config.context)))))
    tokens = max(32, min(GRADIENT_DESCENT_TOKENS, int(FLOPS / (6 * parameters * steps))))
    rows, part = context.windows(max(1, tokens // config.context), min(config.context, tokens), training=True)
    ids, targets = torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])
    measures: dict[str, Measure] = {"steps": steps, "rate": rate, "tokens": int(targets.numel()), "part": part}
    measures |= {"parameters": parameters, **_start(model, other)}
    del other
    check()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    check()
    losses = [_step(model, ids, targets, rate)]
    check()
    moves = {name: weight.detach() - before[name] for name, weight in model.named_parameters()}
    moved = sum(int((move != 0).sum()) for move in moves.values())
    measures |= {
        "moved": moved / parameters,
        "relative_move": _length(moves) / _length(before) if _length(before) else 0.0,
    }
    table = _parts(before, moves)
    del before, moves
    check()
    for _ in range(steps - 1):
        losses.append(_step(model, ids, targets, rate))
        check()
    with torch.no_grad():
        losses.append(float(model.loss(ids, targets)))
    finite = [loss if np.isfinite(loss) else float(np.finfo(np.float32).max) for loss in losses]
    measures |= {"loss_before": finite[0], "loss_after": finite[1], "last_loss": finite[-1]}
    blocks: list[Block] = [_losses(losses), table]
    until = next((step for step, loss in enumerate(losses) if not np.isfinite(loss)), len(losses))
    blocks.append(Strip(f"the loss over {until - 1} steps", Array.of(np.array(losses[:until])), never_negative=True, first=0))
    moved_share, length = probability(moved / parameters), probability(float(measures["relative_move"]), digits=2)
    sentence = (
        f"One step, rate {rate:g}: the loss on {whole(targets.numel())} tokens of the {part} goes from "
        f"{significant(finite[0], 4)} to {significant(losses[1], 4)}: {moved_share} of {whole(parameters)} weights move, by "
        f"{length} of their length together. {steps} steps "
        + (f"take it to {significant(losses[-1], 4)}." if np.isfinite(losses[-1]) else "make it NaN or infinite: it diverges.")
    )
    return ExperimentResult(View("gradient_descent", "gradient descent from random weights", sentence, blocks), measures)


def _step(model: GPT, ids: Tensor, targets: Tensor, rate: float) -> float:
    """One step of plain gradient descent; the loss before it."""
    with torch.enable_grad():
        loss = model.loss(ids, targets)
        weights = list(model.parameters())
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                weight.sub_(gradient, alpha=rate)
    return float(loss.detach())


def _start(model: GPT, other: GPT) -> dict[str, Measure]:
    """Mean and standard deviation of the first numbers of each matrix of `model`, and the correlation with those of another seed
    in the matrices that `other` has, too; 1 for weights that are all equal: `start_std` is 0 then."""
    own = {name: weight.detach().flatten()[:SAMPLE] for name, weight in model.named_parameters() if weight.dim() == 2}
    numbers = torch.cat(list(own.values()))
    shared = [(own[name], weight.detach().flatten()[:SAMPLE]) for name, weight in other.named_parameters() if name in own]
    pair = torch.stack([torch.cat([each[side] for each in shared]) for side in (0, 1)])
    varies = bool((pair.std(1) > 0).all())
    return {
        "start_std": float(numbers.std()),
        "seed_correlation": float(torch.corrcoef(pair)[0, 1]) if varies else 1.0,
    }


def _length(tensors: dict[str, Tensor]) -> float:
    return float(sum(float(each.double().square().sum()) for each in tensors.values()) ** 0.5)


def _losses(losses: list[float]) -> Table:
    until = next((step for step, loss in enumerate(losses) if not np.isfinite(loss)), len(losses) - 1)
    chosen = sorted({0, min(1, until), until // 2, until})
    most = max((losses[step] for step in chosen if np.isfinite(losses[step])), default=0.0) or 1.0
    cells = [
        Cell(significant(losses[step], 4), value=losses[step], bar=losses[step] / most)
        if np.isfinite(losses[step])
        else Cell("NaN or infinite")
        for step in chosen
    ]
    rows = [[Cell(whole(step)), cell] for step, cell in zip(chosen, cells, strict=True)]
    return Table([Column("after step"), Column("loss")], rows, title="the loss, again and again")


def _parts(before: dict[str, Tensor], moves: dict[str, Tensor]) -> Table:
    """The length of the step beside that of the weights, by part."""
    rows = []
    for part in (*PARTS.values(), OTHERS):
        names = [name for name in moves if part_of(name) == part]
        weights, move = _length({name: before[name] for name in names}), _length({name: moves[name] for name in names})
        moved = sum(int((moves[name] != 0).sum()) for name in names) / sum(moves[name].numel() for name in names)
        rows.append([Cell(part), number(weights, 2), figures(move, 2), share(moved)])
    columns = [LEFT, Column("length of the weights"), Column("of the step"), Column("weights moved", optional=1)]
    return Table(columns, rows, title="one step, part by part")


FLOOR_TOKENS = 1 << 18
ONE_BY_ONE = 8
"""Context lengths up to which each has its entropy; then each is twice the one before."""


@experiment
def loss_floor(context: ExperimentContext) -> ExperimentResult:
    """Measures of the run's training text, in nats: `floor`, below which no model's mean loss can be on all its windows as long
    as this model's context, and `floor_apart`, the same on those side by side; `floor_one` and `floor_last`, with one token to go
    on and with a whole window; `decided` is the length from which on each context goes on in one way only, if there is one.

    After a context that occurs n times the best forecast is how often each token followed it, and its loss is the entropy of
    these counts (Shannon 1948). A window gives 1, 2, … tokens to go on; `floor` is the mean of these entropies.

    Raises: UserError: if the text cannot be read, or is too short.
    """
    ids = np.asarray(context.tokens()[0][:FLOOR_TOKENS], np.int64)
    window = context.config.context
    most = min(window, len(ids) // 2)
    if most < 1:
        raise UserError(f"The training text of {context.run_name} has {counted(len(ids), 'token')}; two are needed.")
    lengths = sorted({*range(1, min(ONE_BY_ONE, most) + 1), *doubling(most)})
    numbers = ids  # of each place, the number of the context that ends there: equal where its tokens are
    floors: dict[int, float] = {}
    for before, length in pairwise([0, *lengths]):
        if before:
            further = length - before
            numbers[further:] = numbers[further:] * (numbers.max() + 1) + numbers[:-further]
        numbers = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
        check()
        floors[length] = _entropy(numbers[most - 1 : -1], ids[most:])  # the same places each time: more context never knows less
        check()
        if floors[length] == 0:
            break
    rows = ids[: (len(ids) - 1) // most * most].reshape(-1, most)
    following, numbers, apart = ids[1 : rows.size + 1].reshape(-1, most), rows[:, 0], list[float]()
    for column in range(most):
        apart.append(_entropy(numbers, following[:, column]))
        numbers = np.unique(numbers * (ids.max() + 1) + following[:, column], return_inverse=True)[1].astype(np.int64)
    # Between two lengths the entropy is at least that of the longer one; beyond the last, at least 0.
    total = sum((length - before) * floors[length] for before, length in pairwise([0, *floors]))
    measures: dict[str, Measure] = {
        "tokens": len(ids),
        "window": window,
        "floor": total / window,
        "floor_apart": sum(apart) / window,
        "floor_one": floors[1],
        "floor_last": floors.get(window, 0.0),
    }
    if floors[length] == 0:
        measures["decided"] = length
    table = by_columns(
        f"entropy of the next token after the same tokens, nats, in {whole(len(ids))} tokens",
        ("tokens to go on", map(whole, floors)),
        ("least loss", bars(floors.values(), 3, floors[1])),
        total=[Cell(f"mean of a window of {whole(window)}"), number(total / window, 3)],
    )
    sentence = (
        f"After the same token this text goes on in different ways: the least loss is {fixed(floors[1], 3)}. Over all windows of "
        f"{whole(window)} tokens no model's loss on it can be below {fixed(total / window, 3)}, over those side by side below "
        f"{fixed(sum(apart) / window, 3)}."
    )
    return ExperimentResult(View("loss_floor", "the least loss that is possible", sentence, [table]), measures)


def _entropy(contexts: Ids, following: Ids) -> float:
    """Mean entropy of what follows, over contexts that are equal where their numbers are, by counts, in nats."""
    pairs = contexts * (following.max() + 1) + following
    times, together = (np.unique(each, return_counts=True)[1] for each in (contexts, pairs))
    return max(0.0, float((times * np.log(times)).sum() - (together * np.log(together)).sum()) / len(contexts))
