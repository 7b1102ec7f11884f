"""AdamW's update of one weight (Loshchilov & Hutter 2019, algorithm 2), written out. Nothing here needs torch."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class AdamW:
    """The terms of one update, in order of computation."""

    w: float
    g: float
    m: float
    """Running mean of the gradients before this step."""
    v: float
    """Running mean of their squares before this step."""
    step: int
    """Number of this update in the optimizer's own count, from 1."""
    lr: float
    beta1: float
    beta2: float
    eps: float
    decay: float

    @property
    def new_m(self) -> float:
        return self.beta1 * self.m + (1 - self.beta1) * self.g

    @property
    def new_v(self) -> float:
        return self.beta2 * self.v + (1 - self.beta2) * self.g**2

    @property
    def m_hat(self) -> float:
        """The bias-corrected mean: it started at 0."""
        return self.new_m / (1 - self.beta1**self.step)

    @property
    def v_hat(self) -> float:
        return self.new_v / (1 - self.beta2**self.step)

    @property
    def ratio(self) -> float:
        """Factor of the learning rate; between −1 and 1 unless the gradient has just changed much."""
        return self.m_hat / (math.sqrt(self.v_hat) + self.eps)

    @property
    def decay_change(self) -> float:
        """Change by weight decay."""
        return -self.lr * self.decay * self.w

    @property
    def gradient_change(self) -> float:
        """Change by the gradients."""
        return -self.lr * self.ratio

    @property
    def after(self) -> float:
        return self.w + self.decay_change + self.gradient_change
