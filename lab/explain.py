"""Explain this number: any number of a trace as its formula over numbers that can be explained in turn, down to a single weight.

`lab.quantities` says how a number is called, `lab.formulas` what each family of numbers is computed from.
"""

from lab.explanation import Explanation
from lab.formulas import RULES, WEIGHT
from lab.quantities import Place, Quantities, Rule, UnknownNumberError, number


class Explainer(Quantities):
    """Explains the numbers of one trace."""

    def explain(self, ref: str) -> Explanation:
        """The explanation of the number called `ref`.

        Raises:
            UnknownNumberError: if the model has no such number.
        """
        if " × " in ref:
            return self._product(ref)
        place = self.place(ref)
        rule = self._rule(place)
        value = self.value(ref)
        answer = rule.explain(self, place)
        note = answer.note
        if any(edit.name == f"{place.block}{place.name}" for edit in self.trace.edits):
            note = "An intervention changes this value; the formula is what the model does without it."
        return Explanation(
            ref=ref,
            title=self._title(place, rule),
            formula=answer.formula,
            numbers=answer.numbers,
            operands=answer.operands,
            value=value,
            recomputed=answer.recomputed,
            initial=answer.initial,
            note=note,
        )

    def _product(self, ref: str) -> Explanation:
        left, _, right = ref.partition(" × ")
        operands = [self.operand(left, left), self.operand(right, right)]
        a, b = (each.value for each in operands)
        return Explanation(
            ref=ref,
            title="one term of a sum of products",
            formula="a × b",
            numbers=f"{number(a)} × {number(b)}",
            operands=operands,
            value=a * b,
            recomputed=a * b,
        )

    def _rule(self, place: Place) -> Rule:
        name = place.ref.partition("[")[0]
        if name in self.weights:
            return WEIGHT
        rule = RULES.get(("blocks.N." if place.layer is not None else "") + place.name)
        if rule is None:
            raise UnknownNumberError(f"{name} is not a value of this model.")
        return rule

    def _title(self, place: Place, rule: Rule) -> str:
        if not rule.axes:
            return f"{rule.title} {place.ref}"
        words = [rule.title] + ([] if place.layer is None else [f"layer {place.layer + 1}"])
        for axis, n in zip(rule.axes, place.index, strict=False):
            if axis in ("position", "from", "to"):
                words.append(f"{axis} {n + 1} “{self.label(self.trace.ids[n])}”")
            elif axis == "token":
                words.append(f"token {n} “{self.label(n)}”")
            else:
                words.append(f"{axis} {n + 1}")
        return ", ".join(words)
