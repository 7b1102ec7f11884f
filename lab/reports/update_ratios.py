"""Update ratios, ‖change‖ / ‖weights‖ of each part of a model at one step, in words."""

from collections.abc import Sequence

from lab.core.number_format import MINUS, probability, whole
from lab.runs.run_schema import PartUpdate
from models.config import OptimizerName

HEALTHY = 1e-3
"""Ratio that a step should have, about: a rule of thumb of Stanford's CS231n ("Neural Networks Part 3", ratio of
weights to updates)."""
FAR = 10.0
"""A ratio this many times above or below is mentioned."""


def power(ratio: float) -> str:
    """`1.2e−3`: a ratio in scientific notation, since ratios differ by powers of ten."""
    mantissa, _, exponent = f"{ratio:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", MINUS)


def updates_in_words(step: int, parts: Sequence[PartUpdate], optimizer: OptimizerName = "adamw") -> str:
    """The parts that change most and least at this step, beside the rule of thumb, and the part with the largest gradient."""
    rule = (
        "A healthy step changes weights by about a thousandth of their size (1e−3, a rule of thumb of Stanford's CS231n): "
        "much more is unstable, much less hardly learns."
    )
    ratios = [(part.ratio, part.part) for part in parts if part.ratio is not None]
    if not ratios:
        return f"No step was measured here: at step {whole(step)} none had been taken, or it was not applied. {rule}"
    (low, least), (high, most) = min(ratios), max(ratios)
    words = f"The update at step {whole(step)} changes {most} most, by {power(high)} of its size, and {least} least, by "
    words += f"{power(low)}. {rule}"
    if optimizer == "muon":
        words += " Muon moves the matrices inside the layers by about as much in every direction, in proportion to the learning "
        words += "rate and not to the gradient: with it a hundredth is usual, and it falls with the learning rate."
    elif high > FAR * HEALTHY:
        words += " Here it is far more: usual in the first steps, later a sign of too high a learning rate."
    elif high < HEALTHY / FAR:
        words += " Here it is far less: usual at the end, when the learning rate has fallen."
    total = sum(part.grad_norm**2 for part in parts)
    largest = max(parts, key=lambda part: part.grad_norm)
    if total:
        words += f" {probability(largest.grad_norm**2 / total, 0)} of the gradient (squared) is in {largest.part}."
    return words
