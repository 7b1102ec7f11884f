"""A toy of superposition: five features in a plane, after Elhage et al. 2022, "Toy Models of Superposition"."""

from statistics import median

import torch
from torch import Tensor

from lab.core.number_format import fixed, probability
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import number
from models.check import check
from models.optimizers import EagerAdamW

FEATURES, DIMENSIONS, SEEDS = 5, 2, 5
IMPORTANCE = 0.9 ** torch.arange(FEATURES)
"""Weight of each feature's error in the loss."""
STEPS, BATCH, RATE = 1500, 256, 0.03
"""Of Adam, whose rate falls to zero: two seconds for both cases with all seeds."""
MARGIN = 0.25
"""A feature is told apart if it alone, at 1, gives an output that is larger than each other by so much."""
ROWS = 3
"""Lines of the picture above its centre; a line is as high as two columns are wide."""


@torch.enable_grad()
def train_toys(zeros: list[float], seed: int) -> tuple[Tensor, Tensor]:
    """Weights W (Z, SEEDS, 2, 5) and biases b (Z, SEEDS, 1, 5) of toys x′ = ReLU(Wᵀ W x + b), trained to give back x, of which
    each feature is 0 with the probability in `zeros` (Z,), else uniform in [0, 1]; the loss is Σ importance · (x − x′)²."""
    draws = torch.Generator().manual_seed(seed)
    share = torch.tensor(zeros)[:, None, None, None]
    start = 0.3 * torch.randn(SEEDS, DIMENSIONS, FEATURES, generator=draws)
    weights = start.repeat(len(zeros), 1, 1, 1).requires_grad_()
    biases = torch.zeros(len(zeros), SEEDS, 1, FEATURES, requires_grad=True)
    optimizer = EagerAdamW([weights, biases], lr=RATE, weight_decay=0.0)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        shape = (len(zeros), SEEDS, BATCH, FEATURES)
        x = torch.rand(shape, generator=draws) * (torch.rand(shape, generator=draws) >= share)
        errors = (x - torch.relu(x @ weights.mT @ weights + biases)) ** 2
        loss = (IMPORTANCE * errors / (1 - share)).sum(-1).mean(2).sum()  # as large for sparse features as for dense ones
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        check()
    return weights.detach(), biases.detach()


def told_apart(weights: Tensor, biases: Tensor) -> Tensor:
    """Whether each feature is told apart, (..., 5), by toys with weights (..., 2, 5) and biases (..., 1, 5)."""
    outputs = torch.relu(weights.mT @ weights + biases)  # (..., 5, 5): row i for feature i alone
    others = outputs.masked_fill(torch.eye(FEATURES, dtype=torch.bool), -torch.inf).amax(-1)
    return outputs.diagonal(dim1=-2, dim2=-1) - others > MARGIN


def picture(directions: Tensor, longest: float) -> list[str]:
    """Lines that draw the features' directions (2, 5), turned so that feature 1 points right, each with its number at its end;
    those too short for that are named below."""
    angle = torch.atan2(directions[1, 0], directions[0, 0])
    turn = torch.stack([torch.stack([angle.cos(), angle.sin()]), torch.stack([-angle.sin(), angle.cos()])])
    ends = (turn @ directions * ROWS / longest).T.tolist()
    grid = [[" "] * (4 * ROWS + 1) for _ in range(2 * ROWS + 1)]
    short = [str(feature) for feature, (x, y) in enumerate(ends, 1) if round(y) == round(2 * x) == 0]
    for part in range(4 * ROWS + 1):
        for feature, (x, y) in enumerate(ends, 1):
            place = part / (4 * ROWS)
            if str(feature) in short:
                continue
            mark = str(feature) if place == 1 else "·"
            grid[round(ROWS - y * place)][round(2 * (ROWS + x * place))] = mark
    grid[ROWS][2 * ROWS] = "+"
    return [*("".join(row) for row in grid), f"{' '.join(short)} end at +" if short else ""]


@experiment
def superposition(context: ExperimentContext) -> ExperimentResult:
    """Measures of toys whose five features are never zero, `dense`, and of others where the input `zeros`, 0.95 by default, is
    the share of zeros, `sparse`; each trained with five seeds. How many features are told apart, the median `dense_apart` from
    `dense_low` to `dense_high`, and `sparse_apart` likewise; over all seeds the lengths of the directions: `dense_second`, the
    shortest of the two most important ones, `dense_third`, the longest of the others, `sparse_shortest` and `sparse_longest`.

    Raises: UserError: if `zeros` is no number from 0 to 0.99.
    """
    zeros = context.number("zeros", 0.95, 0.0, 0.99)
    weights, biases = train_toys([0.0, zeros], context.sampling.seed)
    counts = [sorted(each) for each in told_apart(weights, biases).sum(-1).tolist()]
    lengths = weights.norm(dim=2)  # (2, SEEDS, 5)
    measures: dict[str, Measure] = {"zeros": zeros}
    for name, of_seeds in zip(("dense", "sparse"), counts, strict=True):
        measures |= {f"{name}_apart": int(median(of_seeds)), f"{name}_low": of_seeds[0], f"{name}_high": of_seeds[-1]}
    measures |= {
        "dense_second": float(lengths[0, :, :2].min()),
        "dense_third": float(lengths[0, :, 2:].max()),
        "sparse_shortest": float(lengths[1].min()),
        "sparse_longest": float(lengths[1].max()),
    }
    titles = ["never zero", f"{probability(zeros, 0)} zeros"]
    longest = float(lengths[:, 0].max())
    drawn = zip(*(picture(each, longest) for each in weights[:, 0]), strict=True)
    columns = [Column(title, "left") for title in titles]
    plane = Table(columns, [[Cell(line) for line in lines] for lines in drawn])
    rows = []
    for feature, importance in enumerate(IMPORTANCE.tolist()):
        rows.append([Cell(str(feature + 1)), number(importance, 2)])
        for of_seeds in lengths[:, :, feature].tolist():
            spread = f"{fixed(min(of_seeds), 2)} to {fixed(max(of_seeds), 2)}"
            rows[-1] += [number(median(of_seeds), 2), Cell(spread)]
    heads = ["feature", "importance", *(head for title in titles for head in (title, f"{SEEDS} seeds"))]
    table = Table([*map(Column, heads)], rows, title="length of each direction: the median of the seeds, and their range")
    dense, sparse = (f"({each[0]} to {each[-1]} over {SEEDS} seeds)" for each in counts)
    sentence = (
        f"Two dimensions tell {measures['dense_apart']} of five features apart that are never zero {dense}, "
        f"and {measures['sparse_apart']} that are zero in {probability(zeros, 0)} of cases {sparse}."
    )
    view = View("superposition", f"superposition in a toy: directions of the first of {SEEDS} seeds", sentence, [plane, table])
    return ExperimentResult(view, measures)
