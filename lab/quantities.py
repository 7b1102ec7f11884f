"""Any number of a trace by its reference, and what its formula is made of: operands, and sums whose largest terms are shown.

A number is called `name[indices]`, the names being those of `models.trace` and of the model's weights:
`blocks.1.attn.pattern[0,3,2]`, `h.1.attn.c_attn.weight[17,4]`. Beside these there are the steps that a trace does not keep:

    probability[t,v], probability.exp[t,v], probability.sum[t]       the softmax of the logits
    blocks.N.attn.exp[h,q,k], blocks.N.attn.sum[h,q]                 the softmax of the scores
    blocks.N.attn.head_out[h,t,i]                                    what one head adds to the residual stream
    blocks.N.ln1.mean[t], blocks.N.ln1.variance[t] (ln2, ln_final)   the norm's statistics

and `a × b` is the product of two references.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from lab.explanation import Operand
from lab.numbers import significant, whole
from models.gpt import GPT
from models.trace import Trace

TERMS = 8
"""Terms of a long sum that are shown one by one; the rest is one `others` row."""
DIGITS = 4
"""Significant figures of an operand in the substituted formula."""

_REF = re.compile(r"([A-Za-z_][\w.]*)\[(\d+(?:,\d+)*)\]")
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")


class UnknownNumberError(ValueError):
    """No number has this reference; the message is one sentence."""


@dataclass(frozen=True)
class Place:
    """A reference taken apart: `name` without the layer, `layer` if there is one, the indices."""

    ref: str
    name: str
    layer: int | None
    index: tuple[int, ...]

    @property
    def block(self) -> str:
        return "" if self.layer is None else f"blocks.{self.layer}."


@dataclass(frozen=True)
class Rule:
    title: str
    axes: tuple[str, ...]
    explain: Callable[["Quantities", Place], "Answer"]


@dataclass(frozen=True)
class Answer:
    formula: str
    numbers: str
    operands: list[Operand]
    recomputed: float | None
    note: str = ""
    initial: float | None = None


class Quantities:
    """The numbers of one trace, by reference.

    `label` gives a token id's printable text; `initial` a weight's value before training by name, or None where it is not known.
    """

    def __init__(
        self, model: GPT, trace: Trace, label: Callable[[int], str], initial: Callable[[str], Tensor] | None = None
    ) -> None:
        self.trace = trace
        self.weights = {name: weight.detach() for name, weight in model.named_parameters()}
        self.label = label
        self.initial = initial
        self._head_out: tuple[int, Tensor] | None = None

    def value(self, ref: str) -> float:
        """The number itself, as the model has it. Raises UnknownNumberError."""
        if " × " in ref:
            left, _, right = ref.partition(" × ")
            return self.value(left) * self.value(right)
        place = self.place(ref)
        try:
            return self._value(place)
        except (KeyError, IndexError):
            raise UnknownNumberError(f"{ref} is not a number of this model and prompt.") from None

    def _value(self, place: Place) -> float:
        index = place.index
        if place.ref.partition("[")[0] in self.weights:
            return float(self.weights[place.ref.partition("[")[0]][index])
        part = place.name.rpartition(".")[2]
        if place.name.startswith("probability"):
            logits = self.trace["logits"][index[0]].double()
            shifted = logits - logits.max()
            if part == "sum":
                return float(shifted.exp().sum())
            return float((shifted.exp() if part == "exp" else shifted.softmax(-1))[index[1]])
        if place.name in ("attn.exp", "attn.sum"):
            exps = self.exps(place)
            return float(exps.sum() if part == "sum" else exps[index[2]])
        if place.name == "attn.head_out":
            return float(self._heads(place)[index])
        if part in ("mean", "variance"):
            x = self.norm_input(place)
            return float(x.mean() if part == "mean" else (x - x.mean()).square().mean())
        if part == "scale":
            return float(self.trace[f"{place.block}{place.name}"][index[0], 0])
        return float(self.trace[f"{place.block}{place.name}"][index])

    def place(self, ref: str) -> Place:
        match = _REF.fullmatch(ref)
        if not match:
            raise UnknownNumberError(f"“{ref}” is not the name of a number, such as blocks.0.attn.pattern[0,1,0].")
        index = tuple(int(n) for n in match[2].split(","))
        block = _BLOCK.fullmatch(match[1])
        if block and int(block[1]) >= self.trace.config.layers:
            raise UnknownNumberError(f"{ref} is in a layer that this model of {self.trace.config.layers} layers does not have.")
        return Place(ref, block[2], int(block[1]), index) if block else Place(ref, match[1], None, index)

    def exps(self, place: Place) -> Tensor:
        scores = self.trace[f"{place.block}attn.attn_scores"][place.index[0], place.index[1]].double()
        return (scores - scores.max()).exp()

    def _heads(self, place: Place) -> Tensor:
        assert place.layer is not None
        if self._head_out is None or self._head_out[0] != place.layer:
            self._head_out = (place.layer, self.trace.head_out(place.layer))
        return self._head_out[1]

    def norm_source(self, place: Place) -> str:
        """The residual stream that a norm is applied to."""
        if place.layer is None:
            return f"blocks.{self.trace.config.layers - 1}.resid_post"
        return place.block + ("resid_pre" if place.name.startswith("ln1") else "resid_mid")

    def norm_input(self, place: Place) -> Tensor:
        return self.trace[self.norm_source(place)][place.index[0]].double()

    def operand(self, label: str, ref: str) -> Operand:
        return Operand(label, self.value(ref), ref)

    def sum(
        self,
        formula: str,
        values: Tensor,
        operand: Callable[[int], tuple[str, str]],
        extra: Sequence[Operand] = (),
        over: float = 1.0,
    ) -> Answer:
        """A sum of `values` (n,), each the value of the operand whose label and reference `operand` gives, and of `extra`.

        `over` divides the whole, for a mean.
        """
        values = values.double() / over
        order = values.abs().argsort(descending=True, stable=True)
        shown = order if len(values) <= TERMS + 1 else order[:TERMS]
        operands = [Operand(label, float(values[i]), ref) for i in shown.tolist() for label, ref in [operand(i)]]
        operands += extra
        rest = len(values) - len(shown)
        if rest:
            operands.append(Operand(f"{whole(rest)} others", float(values.sum() - values[shown].sum())))
        total = float(values.sum()) + math.fsum(each.value for each in extra)
        return Answer(formula, " + ".join(number(each.value) for each in operands).replace("+ −", "− "), operands, total)

    def dot(
        self,
        formula: str,
        left: Tensor,
        left_ref: Callable[[int], str],
        right: Tensor,
        right_ref: Callable[[int], str],
        term: str,
        extra: Sequence[Operand] = (),
    ) -> Answer:
        """Σ left[i]·right[i], each term being a product that can be entered."""
        products = left.double() * right.double()
        return self.sum(formula, products, lambda i: (f"{term} {i + 1}", f"{left_ref(i)} × {right_ref(i)}"), extra)


def number(x: float) -> str:
    return significant(x, DIGITS)


def bracketed(x: float) -> str:
    return number(x) if x >= 0 else f"({number(x)})"
