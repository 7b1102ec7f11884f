"""The lenses of a model: fitted on one text, judged on another by how far each is from the model's final prediction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

import torch
from torch import Tensor

from lab.core.number_format import fixed, whole
from lab.views.blocks import Cell, Column, Table
from models.check import check
from models.gpt import GPT
from models.lenses import PLACES_AT_ONCE, Lens, divergence, final_logits, jacobian_lenses, streams, tuned_lens
from models.parameter_count import parameter_count

FOLDS = 5
FLOPS = 4e11
"""Floating-point operations of the fits: some seconds on two cores."""
STEPS = 150
"""Most steps of the tuned lens."""
WINDOWS, LEAST_TOKENS = 8, 8
"""Windows of the Jacobian lens, and the fewest tokens of each: more windows change it by less than the lenses differ."""
WIDE = 66
"""Columns in which the table has room for means beside the folds."""
LOGITS = 16_000_000
"""Logits held at one time."""


@dataclass
class FittedLenses:
    """By the name of the lens, for each stream but the last: its map, and its distance on each fold of the text judged."""

    maps: dict[str, list[Lens]]
    distances: dict[str, list[list[float]]] = field(default_factory=dict)
    """Mean KL divergence from the final prediction to the lens's, in nats."""
    first: dict[str, list[float]] = field(default_factory=dict)
    """Of each fold the mean number of layers from which on the final token is the most probable one."""
    constant: list[float] = field(default_factory=list)
    """The control: the distance of each fold from the mean prediction, which sees no stream."""
    places: int = 0
    """Number of places judged."""

    def table(self, part: str, width: int | None = None) -> Table:
        """The distances by stream, those of the constant, and where the final token is first: means, where the width in columns
        has room for them (None: it has), and the lowest and highest fold. `part`: the text judged."""

        def cell(folds: Sequence[float], what: str) -> Cell:
            mean, low, high = (fixed(each, 2) for each in (fmean(folds), min(folds), max(folds)))
            text = f"{low}–{high}" if (width or WIDE) < WIDE else f"{mean} {low}–{high}"
            sums = " + ".join(fixed(each, 4) for each in folds)
            return Cell(text, fmean(folds), note=f"({sums}) / {len(folds)} = {fixed(fmean(folds), 4)}, folds of the {what}.")

        mean, rows = f"mean over {whole(self.places)} places of Σ p ln(p / q)", list[list[Cell]]()
        for at in range(len(self.maps["logit"])):
            after = f"layer {at}" if at else "embed"
            rows.append([Cell(after), *(cell(each[at], f"{mean}, q: {name}, {after}") for name, each in self.distances.items())])
        control = cell(self.constant, f"{mean}, q: the mean prediction on training text, the same everywhere, as a control")
        rows.append([Cell("constant", style="dim"), Cell(""), Cell(""), control])
        first = "mean layer from which on the final token is the most probable one"
        rows.append([Cell("first, layer"), *(cell(each, f"{first}, {name}") for name, each in self.first.items())])
        columns = [Column("after", "left"), *(Column(name) for name in self.maps)]
        return Table(columns, rows, title=f"nats from the final prediction p on {part}, five folds")


@torch.no_grad()
def fit_lenses(model: GPT, fitted: Tensor, judged: Sequence[Tensor]) -> FittedLenses:
    """All lenses from the windows `fitted` (B, T), judged on those of each fold (B, T)."""
    size, count = model.config, model.config.layers
    tokens = FLOPS / (4 * parameter_count(size) * size.width)
    rows = fitted[:: max(1, len(fitted) // WINDOWS), : max(LEAST_TOKENS, int(tokens / WINDOWS))]
    signs = torch.randint(2, rows.shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    steps = min(STEPS, int(FLOPS / (8 * PLACES_AT_ONCE * size.vocab_size * size.width * count)))
    *found, last = (stream.flatten(0, 1) for stream in streams(model, fitted))
    plain = Lens(torch.eye(size.width), torch.zeros(size.width))
    tuned = [tuned_lens(model, x, last, steps) for x in found]
    result = FittedLenses({"logit": [plain] * count, "Jacobian": jacobian_lenses(model, rows, signs), "tuned": tuned})
    some = last[:: max(1, len(last) * size.vocab_size // LOGITS)]
    constant = final_logits(model, some).softmax(-1).mean(0).log()
    for ids in judged:
        _judge(model, result, constant, ids)
    return result


def _judge(model: GPT, result: FittedLenses, constant: Tensor, ids: Tensor) -> None:
    """Add a fold's distances to the result."""
    *found, last = (stream.flatten(0, 1) for stream in streams(model, ids))
    final = final_logits(model, last)
    for name, lenses in result.maps.items():
        agrees = []
        for lens, stream, kept in zip(lenses, found, result.distances.setdefault(name, [[] for _ in found]), strict=True):
            read = lens.logits(model, stream)
            kept.append(float(divergence(final, read).mean()))
            agrees.append(read.argmax(-1) == final.argmax(-1))
            check()
        stays = torch.stack(agrees).flip(0).cumprod(0).sum(0)  # streams before the last one that agree up to it
        result.first.setdefault(name, []).append(len(found) - float(stays.double().mean()))
    result.constant.append(float(divergence(final, constant.expand_as(final)).mean()))
    result.places += len(last)
