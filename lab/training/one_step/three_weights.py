"""The smallest network that shows the chain rule, three weights in a row in plain Python, and the views of it. Without torch.

h₁ = tanh(w₁·x)    h₂ = tanh(w₂·h₁)    y = w₃·h₂    loss = (y − target)²
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lab.core.number_format import fixed, significant
from lab.views.blocks import Block, Cell, Column, Table, View

FARTHEST = 10.0
"""Largest magnitude of a number that is typed."""
LARGEST_WEIGHT = 1e6
"""Magnitude of a weight beyond which no step is taken: a learning rate far too high."""


@dataclass(frozen=True)
class ThreeWeights:
    w1: float = 0.6
    w2: float = 0.9
    w3: float = -0.4
    x: float = 1.0
    """The input."""
    target: float = 1.0
    """The number that `y` should be."""

    @property
    def h1(self) -> float:
        return math.tanh(self.w1 * self.x)

    @property
    def h2(self) -> float:
        return math.tanh(self.w2 * self.h1)

    @property
    def y(self) -> float:
        return self.w3 * self.h2

    @property
    def loss(self) -> float:
        return (self.y - self.target) ** 2

    @property
    def factors(self) -> tuple[float, float, float, float, float, float]:
        """The derivative of each number by the one before it: ∂loss/∂y, ∂y/∂w₃, ∂y/∂h₂, ∂h₂/∂w₂, ∂h₂/∂h₁, ∂h₁/∂w₁."""
        slope1, slope2 = 1 - self.h1**2, 1 - self.h2**2  # tanh′(a) = 1 − tanh²(a)
        return 2 * (self.y - self.target), self.h2, self.w3, slope2 * self.h1, slope2 * self.w2, slope1 * self.x

    @property
    def gradient(self) -> tuple[float, float, float]:
        """∂loss/∂w₁, ∂loss/∂w₂ and ∂loss/∂w₃: each the product of the factors on the way from the loss back to the weight."""
        a, b, c, d, e, f = self.factors
        return a * c * e * f, a * c * d, a * b

    def after_step(self, lr: float) -> "ThreeWeights":
        """The network after a step of gradient descent: each weight less lr times its derivative."""
        d1, d2, d3 = self.gradient
        return replace(self, w1=self.w1 - lr * d1, w2=self.w2 - lr * d2, w3=self.w3 - lr * d3)

    @property
    def is_too_large(self) -> bool:
        """True once a weight is so large that no further step is taken."""
        return not max(abs(self.w1), abs(self.w2), abs(self.w3)) <= LARGEST_WEIGHT


OPERAND_DIGITS = 5
"""Significant figures of operands: with these, what is printed gives the printed result to one in its last digit."""
DECIMALS = 4
LISTED_STEPS = 5


def forward_view(net: ThreeWeights) -> View:
    """Each number of the forward pass with its formula."""
    rows = [
        _row("h₁", "tanh(w₁·x)", f"tanh({_n(net.w1)} × {_n(net.x)})", net.h1),
        _row("h₂", "tanh(w₂·h₁)", f"tanh({_n(net.w2)} × {_n(net.h1)})", net.h2),
        _row("y", "w₃·h₂", f"{_n(net.w3)} × {_n(net.h2)}", net.y),
        _row("loss", "(y − target)²", f"({_n(net.y)} − {_n(net.target)})²", net.loss, style="strong"),
    ]
    columns = [Column("", "left"), Column("formula", "left"), Column("in numbers", "left"), Column("=")]
    return View("forward", "forward", "", [Table(columns, rows)])


def backward_view(net: ThreeWeights) -> View:
    """The derivative of the loss by each weight as the product of its factors, and the factors."""
    a, b, c, d, e, f = net.factors
    d1, d2, d3 = net.gradient
    products = [
        _row("∂loss/∂w₃", "a·b", _times(a, b), d3, style="strong"),
        _row("∂loss/∂w₂", "a·c·d", _times(a, c, d), d2, style="strong"),
        _row("∂loss/∂w₁", "a·c·e·f", _times(a, c, e, f), d1, style="strong"),
    ]
    factors = [
        _row("a  ∂loss/∂y", "2·(y − target)", f"2 × ({_n(net.y)} − {_n(net.target)})", a),
        _row("b  ∂y/∂w₃", "h₂", "", b),
        _row("c  ∂y/∂h₂", "w₃", "", c),
        _row("d  ∂h₂/∂w₂", "(1 − h₂²)·h₁", f"(1 − {_n(net.h2)}²) × {_n(net.h1)}", d),
        _row("e  ∂h₂/∂h₁", "(1 − h₂²)·w₂", f"(1 − {_n(net.h2)}²) × {_n(net.w2)}", e),
        _row("f  ∂h₁/∂w₁", "(1 − h₁²)·x", f"(1 − {_n(net.h1)}²) × {_n(net.x)}", f),
    ]
    product_columns = [Column("", "left"), Column("factors", "left"), Column("in numbers", "left"), Column("=")]
    factor_columns = [Column("factor", "left"), Column("formula", "left"), Column("in numbers", "left", optional=1), Column("=")]
    blocks: list[Block] = [Table(product_columns, products), Table(factor_columns, factors)]
    return View("backward", "backward: from the loss to each weight", "", blocks)


def steps_view(history: Sequence[ThreeWeights], lr: float) -> View:
    """The next step of gradient descent in numbers, and the losses of the steps so far.

    Args:
        history: the network before the first step and after each that was taken.
        lr: learning rate of the next step.
    """
    now = history[-1]
    after = now.after_step(lr)
    rows = [
        [
            Cell(name),
            Cell(fixed(weight, DECIMALS), value=weight),
            Cell(f"− {_n(lr)} × {_n(slope)}" if slope >= 0 else f"− {_n(lr)} × ({_n(slope)})"),
            Cell(fixed(moved, DECIMALS), value=moved),
        ]
        for name, weight, slope, moved in zip(
            ("w₁", "w₂", "w₃"), (now.w1, now.w2, now.w3), now.gradient, (after.w1, after.w2, after.w3), strict=True
        )
    ]
    total = [
        Cell("loss"),
        Cell(significant(now.loss, 4), value=now.loss),
        Cell(""),
        Cell(significant(after.loss, 4), value=after.loss),
    ]
    columns = [Column("", "left"), Column("now"), Column("− rate × derivative", "left"), Column("after the next step")]
    next_step = Table(columns, rows, total=total)
    taken = len(history) - 1
    title = "no step taken yet" if not taken else "1 step taken" if taken == 1 else f"{taken:,} steps taken"
    return View("steps", title, "", [next_step, _losses(history)])


def _losses(history: Sequence[ThreeWeights]) -> Table:
    """The losses at the start and after the last steps."""
    last = len(history) - 1
    listed = sorted({0, *range(max(0, last - LISTED_STEPS + 1), last + 1)})
    most = max(history[at].loss for at in listed) or 1.0
    rows = [
        [Cell(f"{at:,}"), Cell(significant(history[at].loss, 4), value=history[at].loss, bar=history[at].loss / most)]
        for at in listed
    ]
    return Table([Column("after step"), Column("loss")], rows)


def _row(name: str, formula: str, numbers: str, value: float, style: str = "") -> list[Cell]:
    return [Cell(name, style=style), Cell(formula), Cell(numbers), Cell(fixed(value, DECIMALS), value=value, style=style)]


def _n(value: float) -> str:
    text = significant(value, OPERAND_DIGITS)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def _times(*factors: float) -> str:
    return " × ".join(f"({_n(each)})" if each < 0 and index else _n(each) for index, each in enumerate(factors))
