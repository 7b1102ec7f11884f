"""Formulas of numbers that an intervention changes, over the value before it."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, bracketed, number
from lab.views.number_explanation import Operand
from models.trace import BEFORE
from models.trace_edits import Edit

CHANGED = "Changed by an intervention."
SET = "An intervention set this number."
HIDDEN = "An intervention hides this token from all later ones."


def edited(quantities: Quantities, location: NumberLocation, edits: Sequence[Edit]) -> Answer:
    """The formula of a number that `edits` change, of which there is at least one."""
    edit = edits[-1]
    if edit.action == "patch":
        return Answer("", "", [], None, SET)
    before = quantities.operand("before the intervention", _before(location, location.index))
    if edit.action == "attend":
        recomputed = 1.0 if location.index[2] == edit.key else 0.0
        return Answer(
            "1 for the token that the head is forced to attend to, 0 for all others", number(recomputed), [before], recomputed
        )
    if edit.action == "hide":
        return Answer("−∞ for a token that is hidden", "−∞", [before], -math.inf, HIDDEN)
    if len(edits) > 1:
        return Answer("", "", [], None, f"Changed by {len(edits)} interventions, one after the other.")
    if edit.action == "scale":
        written = f"{number(before.value)} × {bracketed(edit.scale)}"
        operands = [before, Operand("factor of the intervention", edit.scale)]
        return Answer("value before × factor", written, operands, before.value * edit.scale, CHANGED)
    return _mean(quantities, location)


def _mean(quantities: Quantities, location: NumberLocation) -> Answer:
    """The mean over the prompt's positions, which are the first index."""
    tokens = len(quantities.trace.ids)
    names = [_before(location, (t, *location.index[1:])) for t in range(tokens)]
    values = torch.tensor([quantities.value(name) for name in names], dtype=torch.float64)
    answer = quantities.sum("", values, lambda t: (f"at {quantities.token_at(t)}", names[t]))
    assert answer.recomputed is not None
    formula = f"Σ over the positions of the value before / {tokens}"
    return replace(
        answer, formula=formula, numbers=f"({answer.numbers}) / {tokens}", recomputed=answer.recomputed / tokens, note=CHANGED
    )


def _before(location: NumberLocation, index: tuple[int, ...]) -> str:
    return f"{location.whole}{BEFORE}[{','.join(map(str, index))}]"
