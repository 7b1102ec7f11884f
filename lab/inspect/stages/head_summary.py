"""What a head does at one position, in a line: how spread its attention is, and what falls on the places that heads like."""

import math
from typing import NamedTuple

import numpy as np

from lab.core.number_format import probability, significant
from lab.inspect.stages.cells import number
from lab.inspect.stages.stage_context import Numbers, StageContext
from lab.views.blocks import Cell, Column
from lab.views.number_refs import ref

SINK = 0.5
"""A head that gives the first token at least this much of its attention is said to rest on it."""
SPREAD = 0.8
"""From this part of the largest entropy possible on, a head is called spread out."""

COLUMNS = [
    Column("head", align="left"),
    Column("bits"),
    Column("itself"),
    Column("previous"),
    Column("first"),
    Column("most attended", align="left"),
    Column("", align="right"),
    Column("kind", align="left", optional=True),
]


class Summary(NamedTuple):
    """Of one head's attention from one token over itself and those before it."""

    bits: float
    """Entropy, −Σ p log2 p: 0 for one key alone, log2(n) for n keys alike."""
    itself: float
    previous: float
    """0 for the first token, which has none before it."""
    first: float
    key: int
    """The token that gets most."""
    most: float
    """What it gets."""

    def kind(self, choices: int) -> str:
        """What a head is called that looks mostly at one of the places that many heads look at; "" for any other."""
        if choices < 3:
            return ""
        if self.first >= SINK:
            return "rests on the first token (sink)"
        if self.previous >= SINK:
            return "looks one back"
        if self.itself >= SINK:
            return "looks at itself"
        return "spread out" if self.bits > SPREAD * math.log2(choices) else ""

    def brief(self, choices: int) -> str:
        """The kind in two words at most."""
        return {
            "rests on the first token (sink)": f"sink {probability(self.first, 0)}",
            "looks one back": f"back {probability(self.previous, 0)}",
            "looks at itself": f"self {probability(self.itself, 0)}",
            "spread out": "spread",
        }.get(self.kind(choices), "")


def entropy_bits(pattern: Numbers) -> float:
    seen = pattern[pattern > 0]
    return float(-(seen * np.log2(seen)).sum()) + 0.0


def summary_of(pattern: Numbers) -> Summary:
    """`pattern` (i + 1,) is what token i pays to each token up to itself."""
    key = int(pattern.argmax())
    previous = float(pattern[-2]) if len(pattern) > 1 else 0.0
    return Summary(entropy_bits(pattern), float(pattern[-1]), previous, float(pattern[0]), key, float(pattern[key]))


def most_bits(choices: int) -> str:
    return "so 0 bits" if choices == 1 else f"at most {significant(math.log2(choices))} bits"


def row_of(look: StageContext, layer: int, head: int, name: str, found: Summary) -> list[Cell]:
    """The summary as a row under COLUMNS."""
    at, block = look.position, f"blocks.{layer}.attn."

    def mass(place: int, p: float, bar: bool = False) -> Cell:
        return Cell(probability(p), p, ref(f"{block}pattern", head, at, place), p if bar else None)

    return [
        Cell(name),
        number(found.bits, 2, ref(f"{block}entropy", head, at)),
        mass(at, found.itself),
        mass(at - 1, found.previous) if at else Cell("none", style="dim"),
        mass(0, found.first),
        Cell(look.name(found.key)),
        mass(found.key, found.most, bar=True),
        Cell(found.kind(at + 1), style="dim"),
    ]


def head_in_words(look: StageContext, name: str, found: Summary) -> str:
    """`Head 2.3 rests on the first token (sink) at “ ran”: 0.91 bits over 4 choices (at most 2 bits), 80% on the first …`."""
    at = look.position
    kind = found.kind(at + 1)
    parts = [f"{probability(found.itself)} on itself"]
    if at:
        parts.append(f"{probability(found.previous)} on the previous token")
    if at > 1:
        parts.append(f"{probability(found.first)} on the first")
    if found.key not in (0, at - 1, at):
        parts.append(f"and most, {probability(found.most)}, on {look.quoted(found.key)}")
    does = f" {kind}" if kind and kind != "spread out" else " is spread out" if kind else ""
    entropy = f"{significant(found.bits)} bits over {at + 1} choice{'s' if at else ''} ({most_bits(at + 1)})"
    return f"Head {name}{does} at {look.here}: {entropy}, {', '.join(parts)}."
