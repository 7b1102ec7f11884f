"""Explain this number: any number of a trace as its formula over operands that can be explained in turn, down to one weight."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from lab.inspect.formulas.feature_formulas import FEATURES
from lab.inspect.formulas.layer_formulas import ATTENTION, MLP, parts_of_score
from lab.inspect.formulas.logits_formulas import CONTRIBUTIONS, OUTPUT
from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, Vector, bracketed, mean, norm, number, times
from lab.inspect.formulas.residual_stream_formulas import EMBEDDINGS, NORMS, STREAM
from lab.inspect.logit_attribution import part_name
from lab.views.number_explanation import Explanation, Operand
from lab.views.number_refs import TIMES, describe_weight, product, short_weight
from models.trace import BEFORE
from models.trace_edits import Edit

WEIGHT = "A weight, set by training; the prompt does not change it."
TIED = " Embedding and output head are tied: it is a weight of this token's logit, too."


def _weight(numbers: Quantities, at: NumberLocation) -> Answer:
    initial = None if numbers.initial is None else float(numbers.initial(at.name)[at.index])
    return Answer("", "", [], None, WEIGHT + (TIED if at.name == "wte.weight" else ""), initial)


def _norm(numbers: Quantities, at: NumberLocation) -> Answer:
    name, index = at.whole.removesuffix(".norm"), ",".join(map(str, at.index))
    if numbers.has(name):
        vector = numbers.vector(name, *at.index)
    else:
        count = numbers.config.head_width if at.name == "attn.weighted_v.norm" else numbers.config.width
        refs = [f"{name}[{index},{i}]" for i in range(count)]
        vector = Vector(torch.tensor([numbers.value(ref) for ref in refs], dtype=torch.float64), refs.__getitem__)
    squares = vector.values.double().square()
    return norm(numbers.sum("√(Σᵢ x[i]²)", squares, lambda i: (f"x[{i + 1}]²", product(*[vector.ref(i)] * 2))))


RULES: dict[str, Rule] = {
    **EMBEDDINGS,
    **STREAM,
    **NORMS,
    **ATTENTION,
    **MLP,
    **OUTPUT,
    **CONTRIBUTIONS,
    **FEATURES,
    "norm": Rule("norm", (), _norm),
    "weight.1": Rule("weight", ("dimension",), _weight),
    "weight.2": Rule("weight", ("row", "column"), _weight),
}
"""`norm` is the rule of every vector's norm, `weight.1` and `weight.2` that of the model's vectors and matrices."""


CHANGED = "Changed by an intervention."
SET = "An intervention set this number."
HIDDEN = "An intervention hides this token from all later ones."


def edited(numbers: Quantities, at: NumberLocation, edits: Sequence[Edit]) -> Answer:
    """The formula of a number that `edits` change, of which there is at least one."""
    edit = edits[-1]
    if edit.action == "patch":
        return Answer("", "", [], None, SET)
    before = numbers.operand("before the intervention", _before(at, at.index))
    if edit.action == "attend":
        recomputed = 1.0 if at.index[2] == edit.key else 0.0
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
    if edit.value is not None:  # along a direction: added to, or projected out
        weight = edit.value[at.index[1]]
        along = edit.scale
        if edit.action == "project":
            row = numbers.trace[at.whole + BEFORE][at.index[0]].double()
            along = -float(row @ torch.tensor(edit.value, dtype=torch.float64))
        name = "factor α" if edit.action == "add" else "what lies along the direction, negative"
        operands = [before, Operand(name, along), Operand("the direction's number", weight)]
        written = f"{number(before.value)} + {bracketed(along)} × {bracketed(weight)}"
        return Answer(f"value before + {name} × direction", written, operands, before.value + along * weight, CHANGED)
    return _mean(numbers, at)


def _mean(numbers: Quantities, at: NumberLocation) -> Answer:
    """The mean over the prompt's positions, which are the first index."""
    tokens = len(numbers.trace.ids)
    names = [_before(at, (t, *at.index[1:])) for t in range(tokens)]
    values = torch.tensor([numbers.value(name) for name in names], dtype=torch.float64)
    answer = numbers.sum("", values, lambda t: (f"at {numbers.token_at(t)}", names[t]))
    return replace(mean(answer, "Σ over the positions of the value before", tokens), note=CHANGED)


def _before(at: NumberLocation, index: tuple[int, ...]) -> str:
    return f"{at.whole}{BEFORE}[{','.join(map(str, index))}]"


class Explainer(Quantities):
    """Explains the numbers of one trace."""

    rules = RULES

    def explain(self, ref: str) -> Explanation:
        """The explanation of the number called `ref`. Raises UnknownNumberError if the model has no such number."""
        if TIMES in ref:
            return self._product(ref)
        at = self.locate(ref)
        rule = self.rule(at)
        value = self.value(ref)
        edits = [edit for edit in self.trace.edits if edit.name == at.whole and edit.changes(at.index)]
        answer = edited(self, at, edits) if edits else rule.explain(self, at)
        is_held = rule.value is not None or self.has(at.whole)
        return Explanation(ref=ref, title=self._title(at, rule), value=value, is_held=is_held, **vars(answer))

    def _product(self, ref: str) -> Explanation:
        left, _, right = ref.partition(TIMES)
        factors = [self.operand(self._short(left), left), self.operand(self._short(right), right)]
        a, b = (each.value for each in factors)
        square = left == right
        return Explanation(
            ref=ref,
            title=f"{self._short(left)}, squared" if square else f"a product: {self._short(left)} × {self._short(right)}",
            formula="a²" if square else "a × b",
            numbers=f"({number(a)})²" if square else times(a, b),
            operands=factors[:1] if square else factors,
            value=a * b,
            recomputed=a * b,
            is_held=False,
        )

    def _short(self, ref: str) -> str:
        """A factor's name with its last index: `query, dimension 5`."""
        at = self.locate(ref)
        rule = self.rule(at)
        if at.name in self.weights:
            return short_weight(at.name, at.index, self.config, self.label)
        return f"{rule.title}, {self._axis(rule.axes[-1], at.index[-1])}"

    def _title(self, at: NumberLocation, rule: Rule) -> str:
        if at.name in self.weights:
            return describe_weight(at.name, at.index, self.config, self.label)
        words = [rule.title] + ([] if at.layer is None else [f"layer {at.layer + 1}"])
        if "part of the key" in rule.axes:
            names = parts_of_score(self, at).names
            words += [f"{axis}: {names[n]}" for axis, n in zip(rule.axes[3:], at.index[3:], strict=True)]
        axes = zip(rule.axes, at.index, strict=True)
        return ", ".join(words + [self._axis(axis, n) for axis, n in axes if not axis.startswith("part of")])

    def _axis(self, axis: str, n: int) -> str:
        if axis in ("position", "from", "to"):
            return f"{axis} {self.token_at(n)}"
        if axis == "part":
            return part_name(self.config, self.trace.edits, n)
        if axis == "feature":
            return f"feature {n}"  # its number on screen
        return f"token {n} “{self.label(n)}”" if axis == "token" else f"{axis} {n + 1}"
