"""Explain this number: any number of a trace as its formula over operands that can be explained in turn, down to one weight."""

from lab.inspect.formulas.formula_registry import RULES
from lab.inspect.formulas.intervention_formulas import edited
from lab.inspect.formulas.quantities import NumberLocation, Quantities, Rule, number, times
from lab.inspect.logit_attribution import part_name
from lab.inspect.weight_names import short_weight, weight_in_words
from lab.views.number_explanation import Explanation
from lab.views.number_refs import TIMES


class Explainer(Quantities):
    """Explains the numbers of one trace."""

    rules = RULES

    def explain(self, ref: str) -> Explanation:
        """The explanation of the number called `ref`. Raises UnknownNumberError if the model has no such number."""
        if TIMES in ref:
            return self._product(ref)
        location = self.locate(ref)
        rule = self.rule(location)
        value = self.value(ref)
        edits = [edit for edit in self.trace.edits if edit.name == location.whole and edit.changes(location.index)]
        answer = edited(self, location, edits) if edits else rule.explain(self, location)
        return Explanation(
            ref=ref,
            title=self._title(location, rule),
            formula=answer.formula,
            numbers=answer.numbers,
            operands=answer.operands,
            value=value,
            recomputed=answer.recomputed,
            initial=answer.initial,
            is_sum=answer.is_sum,
            note=answer.note,
            strips=answer.strips,
        )

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
        )

    def _short(self, ref: str) -> str:
        """A factor's name with its last index: `query, dimension 5`."""
        location = self.locate(ref)
        rule = self.rule(location)
        if location.name in self.weights:
            return short_weight(location.name, location.index, self.config, self.label)
        return f"{rule.title}, {self._axis(rule.axes[-1], location.index[-1])}"

    def _title(self, location: NumberLocation, rule: Rule) -> str:
        if location.name in self.weights:
            return weight_in_words(location.name, location.index, self.config, self.label)
        words = [rule.title] + ([] if location.layer is None else [f"layer {location.layer + 1}"])
        return ", ".join(words + [self._axis(axis, n) for axis, n in zip(rule.axes, location.index, strict=True)])

    def _axis(self, axis: str, n: int) -> str:
        if axis in ("position", "from", "to"):
            return f"{axis} {self.token_at(n)}"
        if axis == "part":
            return part_name(self.config, self.trace.edits, n)
        return f"token {n} “{self.label(n)}”" if axis == "token" else f"{axis} {n + 1}"
