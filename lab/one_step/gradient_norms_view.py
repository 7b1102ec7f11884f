"""View of the gradient norm of each part of the model."""

import math
from collections import Counter
from collections.abc import Mapping

from lab.core.number_format import probability, significant, whole
from lab.one_step.view_context import StepContext
from lab.views.blocks import Cell, Column, Parity, Table, View
from lab.views.number_tables import decimals_for, figures, number


def part_of(name: str) -> str:
    """The part of the model that a weight belongs to: `token embedding`, `2 attention`, `2 MLP`, `2 norms`, `final norm` …"""
    if name.startswith("h."):
        _, layer, inside, *_ = name.split(".")
        kind = "attention" if inside == "attn" else "MLP" if inside == "mlp" else "norms"
        return f"{int(layer) + 1} {kind}"
    return {"wte": "token embedding", "wpe": "position embedding", "ln_f": "final norm"}[name.split(".")[0]]


def squares_by_part(norms: Mapping[str, float]) -> dict[str, float]:
    """Square of the norm of each part, from the norms of its weights."""
    squares: dict[str, float] = {}
    for name, norm in norms.items():
        squares[part_of(name)] = squares.get(part_of(name), 0.0) + norm**2
    return squares


def gradient_norms_view(context: StepContext) -> View:
    found = context.step.gradients
    squares = squares_by_part(found.norms)
    sizes: Counter[str] = Counter()
    for name in found.norms:
        sizes[part_of(name)] += context.step.parameters[name].numel()
    whole_square = sum(squares.values()) or 1.0
    most = max(squares, key=lambda part: squares[part])
    rms = {part: math.sqrt(squares[part] / sizes[part]) for part in squares}
    if found.factor < 1.0:
        clipping = (
            f"above the limit of {significant(found.clip)}, so clipping multiplies every gradient by {significant(found.clip)} ÷ "
            f"{significant(found.total, 4)} = {significant(found.factor, 4)}"
        )
    else:
        clipping = f"below the limit of {significant(found.clip)}, so clipping changes nothing"
    sentence = (
        f"The gradient norm of all {whole(sum(sizes.values()))} weights{context.steps_so_far} is {significant(found.total, 4)}, "
        f"{clipping}. The {_part_name(most)} has most of it: {probability(squares[most] / whole_square, 0)} of its square."
    )
    norms = [math.sqrt(square) for square in squares.values()]
    largest = max(norms) or 1.0
    decimals = decimals_for(norms, found.total, digits=4)
    rows = [
        [
            Cell(part),
            number(norm, decimals, bar=norm / largest),
            Cell(probability(norm**2 / whole_square), norm**2 / whole_square),
            figures(rms[part], 2),
        ]
        for part, norm in zip(squares, norms, strict=True)
    ]
    columns = [Column("part", align="left"), Column("gradient norm"), Column("share (norm²)"), Column("RMS", optional=1)]
    total = [Cell("√ of Σ of squares"), number(math.sqrt(sum(squares.values())), decimals), Cell("100%"), Cell("")]
    parity = Parity("√ of Σ of squares · clip_grad_norm_", abs(math.sqrt(sum(squares.values())) - found.total), 1, found.total)
    table = Table(columns, rows, title="part by part", total=total)
    return View("gradients", "gradient norm of each part", sentence, [table], parity)


def _part_name(part: str) -> str:
    number_, _, kind = part.partition(" ")
    return f"{kind} of layer {number_}" if number_.isdecimal() else part
