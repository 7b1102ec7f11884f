"""What "explain this number" answers, as plain data. Nothing here needs torch."""

import msgspec


class Operand(msgspec.Struct, omit_defaults=True):
    """A number that went into another one. With a `ref` it can be explained in turn."""

    label: str
    value: float
    ref: str = ""
    factors: str = ""
    """Of a product the two numbers: `−1.262 × 0.4813`."""


class Explanation(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One number of the model: what it is, the formula it came from with the real operands, and whether that gives it."""

    ref: str
    title: str
    """What the number is, in words: `attention pattern, layer 2, head 1, from 4 “ ran” to 3 “ dog”`."""
    formula: str
    """In symbols; empty for a weight, which is a leaf."""
    numbers: str
    """The formula with the operands in the symbols' places."""
    operands: list[Operand]
    """Of a long sum the largest terms, and last an operand without a `ref` that stands for all the others."""
    value: float
    """What the model has."""
    recomputed: float | None = None
    """What the formula gives for the operands, in float64; None for a weight."""
    initial: float | None = None
    """A weight's value before training, where that is known."""
    is_sum: bool = False
    """Whether the operands are the terms of a sum."""
    note: str = ""
    """What else there is to know: that the place is masked, or that an intervention has set it."""

    @property
    def delta(self) -> float:
        """|value − recomputed|; 0 for a weight, and where both are −inf."""
        if self.recomputed is None or self.recomputed == self.value:
            return 0.0
        return abs(self.value - self.recomputed)
