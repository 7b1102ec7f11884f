"""Gradient descent from random weights on the run's text: one step measured part by part, then more of them."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lab.core.number_format import fixed, probability, significant, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Array, Block, Cell, Column, Strip, Table, View
from models.unembed import Slices

if TYPE_CHECKING:
    from torch import Tensor

    from models.gpt import GPT

STEPS = 20
TOKENS = 512
FLOPS = 2e10
"""Multiplications and additions that all steps may take together: about a second on two idle cores."""
RATE = 0.1
"""Learning rate of plain gradient descent: weights minus the rate times the gradient."""
LARGEST_RATE = 1e6
SAMPLE = 100_000
"""Numbers of each matrix whose distribution is measured."""


def gradient_descent(context: ExperimentContext) -> Slices[ExperimentResult]:
    """Measures of the start: `start_mean`, `start_std` of all matrices, `seed_correlation` with those of another seed; of one
    step: `loss_before`, `loss_after`, `moved` (share of the weights), `relative_move`; and `last_loss` after `steps`.

    The learning rate is the input `rate`. Raises: UserError: if the run's text cannot be read.
    """
    import torch

    from lab.experiments.sizes.gpt2_sizes import count_parameters
    from models.gpt import GPT

    rate = context.number("rate", RATE, 0.0, LARGEST_RATE)
    config, seed = context.config, context.opened.run.config.train.seed
    model = GPT(config, seed=seed)
    yield
    other = GPT(replace(config, layers=1), seed=seed + 1)
    parameters = count_parameters(model)
    steps = max(2, min(STEPS, int(FLOPS / (6 * parameters * min(TOKENS, config.context)))))
    tokens = max(32, min(TOKENS, int(FLOPS / (6 * parameters * steps))))
    rows, part = context.windows(max(1, tokens // config.context), min(config.context, tokens), training=True)
    ids, targets = torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])
    measures: dict[str, Measure] = {"steps": steps, "rate": rate, "tokens": int(targets.numel()), "part": part}
    measures["parameters"] = parameters
    measures |= _start(model, other)
    del other
    yield
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    yield
    losses = [_step(model, ids, targets, rate)]
    yield
    moves = {name: weight.detach() - before[name] for name, weight in model.named_parameters()}
    moved = sum(int((move != 0).sum()) for move in moves.values())
    measures |= {
        "moved": moved / parameters,
        "relative_move": _length(moves) / _length(before) if _length(before) else 0.0,
    }
    table = _parts(before, moves)
    del before, moves
    yield
    for _ in range(steps - 1):
        losses.append(_step(model, ids, targets, rate))
        yield
    with torch.no_grad():
        losses.append(float(model.loss(ids, targets)))
    finite = [loss if np.isfinite(loss) else float(np.finfo(np.float32).max) for loss in losses]
    measures |= {"loss_before": finite[0], "loss_after": finite[1], "last_loss": finite[-1]}
    blocks: list[Block] = [_losses(losses), table]
    until = next((step for step, loss in enumerate(losses) if not np.isfinite(loss)), len(losses))
    blocks.append(Strip(f"the loss over {until - 1} steps", Array.of(np.array(losses[:until])), never_negative=True, first=0))
    share, length = probability(moved / parameters), probability(float(measures["relative_move"]), digits=2)
    sentence = (
        f"One step, rate {rate:g}: the loss on {whole(targets.numel())} tokens of the {part} goes from "
        f"{significant(finite[0], 4)} to {significant(losses[1], 4)}: {share} of {whole(parameters)} weights move, by {length} "
        f"of their length together. {steps} steps "
        + (f"take it to {significant(losses[-1], 4)}." if np.isfinite(losses[-1]) else "make it NaN or infinite: it diverges.")
    )
    return ExperimentResult(View("gradient_descent", "gradient descent from random weights", sentence, blocks), measures)


def _step(model: "GPT", ids: "Tensor", targets: "Tensor", rate: float) -> float:
    """One step of plain gradient descent; the loss before it."""
    import torch

    with torch.enable_grad():
        loss = model.loss(ids, targets)
        weights = list(model.parameters())
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                weight.sub_(gradient, alpha=rate)
    return float(loss.detach())


def _start(model: "GPT", other: "GPT") -> dict[str, Measure]:
    """Mean and standard deviation of the first numbers of each matrix of `model`, and the correlation with those of another seed
    in the matrices that `other` has, too; 1 for weights that are all equal: `start_std` is 0 then."""
    import torch

    own = {name: weight.detach().flatten()[:SAMPLE] for name, weight in model.named_parameters() if weight.dim() == 2}
    numbers = torch.cat(list(own.values()))
    shared = [(own[name], weight.detach().flatten()[:SAMPLE]) for name, weight in other.named_parameters() if name in own]
    pair = torch.stack([torch.cat([each[side] for each in shared]) for side in (0, 1)])
    varies = bool((pair.std(1) > 0).all())
    return {
        "start_mean": float(numbers.mean()),
        "start_std": float(numbers.std()),
        "seed_correlation": float(torch.corrcoef(pair)[0, 1]) if varies else 1.0,
    }


def _length(tensors: "dict[str, Tensor]") -> float:
    return float(sum(float(each.double().square().sum()) for each in tensors.values()) ** 0.5)


def _losses(losses: list[float]) -> Table:
    until = next((step for step, loss in enumerate(losses) if not np.isfinite(loss)), len(losses) - 1)
    chosen = sorted({0, min(1, until), until // 2, until})
    most = max((losses[step] for step in chosen if np.isfinite(losses[step])), default=0.0) or 1.0
    rows = [[Cell(whole(step)), _loss_cell(losses[step], most)] for step in chosen]
    return Table([Column("after step"), Column("loss")], rows, title="the loss, again and again")


def _loss_cell(loss: float, most: float) -> Cell:
    if not np.isfinite(loss):
        return Cell("NaN or infinite")
    return Cell(significant(loss, 4), value=loss, bar=loss / most)


def _parts(before: "dict[str, Tensor]", moves: "dict[str, Tensor]") -> Table:
    """The length of the step beside that of the weights, by part."""
    from lab.experiments.sizes.gpt2_sizes import OTHERS, PARTS, part_of

    rows = []
    for part in (*PARTS.values(), OTHERS):
        names = [name for name in moves if part_of(name) == part]
        weights, move = _length({name: before[name] for name in names}), _length({name: moves[name] for name in names})
        share = sum(int((moves[name] != 0).sum()) for name in names) / sum(moves[name].numel() for name in names)
        rows.append(
            [
                Cell(part),
                Cell(fixed(weights, 2), value=weights),
                Cell(significant(move, 2), value=move),
                Cell(probability(share), value=share, bar=share),
            ]
        )
    columns = [Column("", "left"), Column("length of the weights"), Column("of the step"), Column("weights moved", optional=1)]
    return Table(columns, rows, title="one step, part by part")
