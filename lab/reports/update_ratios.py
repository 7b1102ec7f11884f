"""Update ratios, ‖change‖ / ‖weights‖ of each part of a model at one step, in words."""

from collections.abc import Sequence

from lab.core.number_format import MINUS, probability, whole
from lab.runs.run_schema import PartUpdate
from models.config import OptimizerName

USUAL: dict[OptimizerName, float] = {"adamw": 1e-3, "muon": 1e-2}
"""Usual ratio of each optimizer, about. AdamW's is a rule of thumb of Stanford's CS231n ("Neural Networks Part 3", ratio of
weights to updates). Muon's is measured: half-way through runs with the default learning rate, matrices are at 0.7e-2 to 1e-2."""
FAR = 10.0
"""Factor above or below from which on a ratio is mentioned."""


def power(ratio: float) -> str:
    """`1.2e−3`: a ratio in scientific notation, since ratios differ by powers of ten."""
    mantissa, _, exponent = f"{ratio:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", MINUS)


def part_in_words(part: str) -> str:
    """A part in a sentence: `layer 1's attention` for `1 attention`."""
    number, _, kind = part.partition(" ")
    return f"layer {number}'s {kind}" if number.isdecimal() else part


def updates_in_words(step: int, parts: Sequence[PartUpdate], optimizer: OptimizerName = "adamw") -> str:
    """The parts that change most and least at this step, the part with the largest gradient, and the rule of thumb."""
    ratios = [(part.ratio, part.part) for part in parts if part.ratio is not None]
    if not ratios:
        return f"No step was measured here: at step {whole(step)} none had been taken, or it was not applied."
    (low, least), (high, most) = min(ratios), max(ratios)
    words = f"The update at step {whole(step)} changes {part_in_words(most)} most, by {power(high)} of its size, "
    words += f"{part_in_words(least)} least, by {power(low)}"
    total = sum(part.grad_norm**2 for part in parts)
    if total:
        largest = max(parts, key=lambda part: part.grad_norm)
        words += f"; {probability(largest.grad_norm**2 / total, 0)} of the squared gradient is in {part_in_words(largest.part)}"
    about = power(USUAL[optimizer]).replace(".0", "")
    usual = f"With Muon about {about} is usual" if optimizer == "muon" else f"A healthy ratio is about {about}"
    if high > FAR * USUAL[optimizer]:
        usual += ", this is far more: usual in the first steps, later a sign of too high a learning rate"
    elif high < USUAL[optimizer] / FAR:
        usual += ", this is far less: usual at the end, when the learning rate has fallen"
    elif optimizer == "muon":
        usual += ", in proportion to the learning rate"
    return f"{words}. {usual}."
