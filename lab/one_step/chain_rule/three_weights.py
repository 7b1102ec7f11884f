"""A network of three weights in a row, its loss, every factor of the chain rule, and steps of gradient descent.

h₁ = tanh(w₁·x)    h₂ = tanh(w₂·h₁)    y = w₃·h₂    loss = (y − target)²
"""

import math
from dataclasses import dataclass, replace

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
        """The output."""
        return self.w3 * self.h2

    @property
    def loss(self) -> float:
        return (self.y - self.target) ** 2

    @property
    def factors(self) -> "Factors":
        slope1, slope2 = 1 - self.h1**2, 1 - self.h2**2  # tanh′(a) = 1 − tanh²(a)
        return Factors(
            loss_y=2 * (self.y - self.target),
            y_w3=self.h2,
            y_h2=self.w3,
            h2_w2=slope2 * self.h1,
            h2_h1=slope2 * self.w2,
            h1_w1=slope1 * self.x,
        )

    @property
    def gradient(self) -> tuple[float, float, float]:
        """∂loss/∂w₁, ∂loss/∂w₂ and ∂loss/∂w₃: each the product of the factors on the way from the loss back to the weight."""
        f = self.factors
        return (f.loss_y * f.y_h2 * f.h2_h1 * f.h1_w1, f.loss_y * f.y_h2 * f.h2_w2, f.loss_y * f.y_w3)

    def after_step(self, lr: float) -> "ThreeWeights":
        """The network after a step of gradient descent: each weight less lr times its derivative."""
        d1, d2, d3 = self.gradient
        return replace(self, w1=self.w1 - lr * d1, w2=self.w2 - lr * d2, w3=self.w3 - lr * d3)

    @property
    def is_too_large(self) -> bool:
        """True once a weight is so large that no further step is taken."""
        return not max(abs(self.w1), abs(self.w2), abs(self.w3)) <= LARGEST_WEIGHT


@dataclass(frozen=True)
class Factors:
    """The derivative of each number by the one before it."""

    loss_y: float
    y_w3: float
    y_h2: float
    h2_w2: float
    h2_h1: float
    h1_w1: float
