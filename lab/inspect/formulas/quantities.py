"""The numbers of one trace by reference, and the operands, sums and dot products that their formulas are made of.

A reference is `name[indices]`, the names being those of `models.trace`, of the model's weights, and those that
`lab.views.number_refs` lists: `blocks.1.attn.pattern[0,3,2]`, `h.1.attn.c_attn.weight[17,4]`, `blocks.0.attn.entropy[1,3]`.
`a × b` is the product of two numbers.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor

from lab.core.number_format import counted, significant, whole
from lab.inspect.logit_attribution import Contributor, contributors
from lab.views.blocks import StackedStrips
from lab.views.number_explanation import Operand, short
from lab.views.number_refs import TIMES, open_ref
from lab.views.number_tables import stacked
from models.gpt import GPT
from models.trace import BEFORE, Trace

if TYPE_CHECKING:
    from lab.inspect.stages.stage_context import StageContext

TERMS = 8
"""Terms of a long sum that are shown; the rest is one `others` row."""
DRAWN = 4096
"""Most terms of a dot product that are drawn."""
DIGITS = 4
"""Significant figures of an operand in the substituted formula."""

_REF = re.compile(r"([A-Za-z_][\w.]*)(?:\[(\d+(?:,\d+)*)\])?")
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")


class UnknownNumberError(ValueError):
    """A reference to no number; the message is one sentence."""


@dataclass(frozen=True)
class NumberLocation:
    """A reference taken apart: `name` without the layer, `layer` if there is one, the indices."""

    ref: str
    name: str
    layer: int | None
    index: tuple[int, ...]

    @property
    def block(self) -> str:
        return "" if self.layer is None else f"blocks.{self.layer}."

    @property
    def whole(self) -> str:
        """The name with the layer, as in the trace or the model."""
        return self.block + self.name


@dataclass(frozen=True)
class Answer:
    """The fields of an `Explanation` that a formula gives."""

    formula: str
    numbers: str
    operands: list[Operand]
    recomputed: float | None
    note: str = ""
    initial: float | None = None
    is_sum: bool = False
    strips: StackedStrips | None = None
    """Of a dot product both vectors and their products."""


Formula = Callable[["Quantities", NumberLocation], Answer]
Label = Callable[["Quantities", int], str]


@dataclass(frozen=True)
class Rule:
    """A family of numbers: its title, the axes of its indices, its formula, its value."""

    title: str
    axes: tuple[str, ...]
    explain: Formula
    value: Callable[["Quantities", NumberLocation], float] | None = None
    """None where the trace or the model has the number, and where the formula is all that it is."""


@dataclass(frozen=True)
class Vector:
    values: Tensor
    ref: Callable[[int], str]
    """Reference of the number at an index."""


class Quantities:
    """The numbers of one trace, by reference.

    `label` gives a token id's printable text; `initial` a weight's value before training by name, or None where it is not known;
    `context_at` gives a position's context, with its logits and the draw of the next token.
    """

    rules: ClassVar[Mapping[str, Rule]] = {}

    def __init__(
        self,
        model: GPT,
        trace: Trace,
        label: Callable[[int], str],
        initial: Callable[[str], Tensor] | None = None,
        context_at: Callable[[int], "StageContext"] | None = None,
    ) -> None:
        self._model = model
        self.trace = trace
        self._traced = frozenset(trace.names())
        self.config = trace.config
        self.weights = {name: weight.detach() for name, weight in model.named_parameters()}
        self.label = label
        self.initial = initial
        self._context_at = context_at
        self._heads: dict[tuple[int, int], Tensor] = {}
        self._contributors: dict[tuple[int, int | None], list[Contributor]] = {}

    def value(self, ref: str) -> float:
        """The model's own number. Raises UnknownNumberError."""
        if TIMES in ref:
            left, _, right = ref.partition(TIMES)
            return self.value(left) * self.value(right)
        at = self.locate(ref)
        rule = self.rule(at)
        try:
            if rule.value is not None:
                return rule.value(self, at)
            if self.has(at.whole):
                return float(self._array(at.whole)[at.index])
            recomputed = rule.explain(self, at).recomputed
            assert recomputed is not None, ref
            return recomputed
        except (KeyError, IndexError):
            raise UnknownNumberError(f"{ref} is not a number of this model and prompt.") from None

    def has(self, name: str) -> bool:
        """True if the model or the trace has an array of that name."""
        return name in self.weights or name.removesuffix(BEFORE) in self._traced

    def _array(self, name: str) -> Tensor:
        return self.weights[name] if name in self.weights else self.trace[name]

    def locate(self, ref: str) -> NumberLocation:
        match = _REF.fullmatch(ref)
        if not match:
            raise UnknownNumberError(f"“{ref}” is not the name of a number, such as blocks.0.attn.pattern[0,1,0].")
        index = tuple(int(n) for n in match[2].split(",")) if match[2] else ()
        if match[1].endswith(".scale") and index[1:] == (0,):
            index = index[:1]  # the trace keeps it as (T, 1)
        block = _BLOCK.fullmatch(match[1])
        if block and int(block[1]) >= self.config.layers:
            layers = counted(self.config.layers, "layer")
            raise UnknownNumberError(f"{ref} is in a layer that this model of {layers} does not have.")
        return NumberLocation(ref, block[2], int(block[1]), index) if block else NumberLocation(ref, match[1], None, index)

    def rule(self, at: NumberLocation) -> Rule:
        """The rule of the location's family, its number of indices checked. Raises UnknownNumberError."""
        rule = self._family(at.whole, at)
        if rule is None:
            raise UnknownNumberError(f"{at.whole} is not a value of this model.")
        if len(at.index) != len(rule.axes):
            raise UnknownNumberError(f"{at.ref} is not one number: {at.whole} has {len(rule.axes)} indices.")
        return rule

    def _family(self, name: str, at: NumberLocation) -> Rule | None:
        if name in self.weights:
            return self.rules["weight." + str(self.weights[name].dim())]
        found = self.rules.get(("blocks.N." if at.layer is not None else "") + name.removeprefix(at.block))
        if found is None and name.endswith(BEFORE) and self.trace.is_edited(name.removesuffix(BEFORE)):
            plain = self._family(name.removesuffix(BEFORE), at)
            return plain and replace(plain, title=f"{plain.title} before the intervention", explain=_without_before(plain))
        if found is None and name.endswith(".norm"):
            vector = self._family(name.removesuffix(".norm"), at)
            if vector is not None and vector.axes and vector.axes[-1] == "dimension":
                norm = self.rules["norm"]
                return Rule(f"norm of “{vector.title}”", vector.axes[:-1], norm.explain)
        return found

    def operand(self, label: str, ref: str) -> Operand:
        return Operand(label, self.value(ref), ref)

    def before(self, name: str) -> str:
        """Name of a value before edits: `name` itself, unless an edit changes it."""
        return name + BEFORE if self.trace.is_edited(name) else name

    def contributors(self, position: int, layers: int | None = None) -> list[Contributor]:
        """Vectors written into the residual stream at a position, as they arrive at the final norm, or after so many layers."""
        if (position, layers) not in self._contributors:
            self._contributors[position, layers] = contributors(self._model, self.trace, position, layers)
        return self._contributors[position, layers]

    def heads(self, layer: int, position: int) -> Tensor:
        """Each head's output at a position, (H, C), float64."""
        if (layer, position) not in self._heads:
            self._heads[layer, position] = self.trace.head_out(layer, [position])[:, 0]
        return self._heads[layer, position]

    def logits(self, position: int) -> Tensor:
        """Logits of the token after a position, (V,), float64."""
        if self._context_at is not None:
            return torch.from_numpy(self.context_at(position).logits)
        return self.trace.lens(f"blocks.{self.config.layers - 1}.resid_post", [position])[0].double()

    def context_at(self, position: int) -> "StageContext":
        """The context of a position. Raises UnknownNumberError where draws are unknown, or there is no such position."""
        if self._context_at is None or position >= len(self.trace.ids):
            raise UnknownNumberError(f"No token is drawn at position {position + 1}.")
        return self._context_at(position)

    def token_at(self, position: int) -> str:
        """A token of the prompt in a label: `4 “ ran”`."""
        return f"{position + 1} “{self.label(self.trace.ids[position])}”"

    def sum(
        self,
        formula: str,
        values: Tensor,
        operand: Callable[[int], tuple[str, str]],
        extra: Sequence[Operand] = (),
        factors: Callable[[int], str] = lambda i: "",
    ) -> Answer:
        """A sum of `values` (n,), each the value of the operand whose label and reference `operand` gives, and of `extra`.

        `factors` writes out the product that a value is.
        """
        values = values.double()
        order = values.abs().argsort(descending=True, stable=True)
        shown = order if len(values) <= TERMS + 1 else order[:TERMS]
        operands = []
        for i in shown.tolist():
            label, ref = operand(i)
            operands.append(Operand(label, float(values[i]), ref, factors(i)))
        operands += extra
        rest = len(values) - len(shown)
        if rest:
            operands.append(Operand(f"{whole(rest)} others", float(values.sum() - values[shown].sum())))
        total = float(values.sum()) + math.fsum(each.value for each in extra)
        written = " + ".join(
            number(each.value) + (f" ({each.label})" if rest and each is operands[-1] else "") for each in operands
        ).replace("+ −", "− ")
        return Answer(formula, written or "0", operands, total, is_sum=True)

    def vector(self, name: str, *index: int) -> Vector:
        """The last axis of a value of the trace or of a weight, at the indices before it."""
        return Vector(self._array(name)[index], lambda i: f"{name}[{_joined(*index, i)}]")

    def dot(self, formula: str, one: Vector, other: Vector, term: str = "dimension", extra: Sequence[Operand] = ()) -> Answer:
        """Σ one[i]·other[i], each term being a product that can be explained."""
        left, right = one.values.double(), other.values.double()
        answer = self.sum(
            formula,
            left * right,
            lambda i: (f"{term} {i + 1}", one.ref(i) + TIMES + other.ref(i)),
            extra,
            lambda i: times(float(left[i]), float(right[i])),
        )
        if not 1 < len(left) <= DRAWN:
            return answer
        names = [open_ref(each.ref(0), each.ref(1)) for each in (one, other)]
        words = [short(each) for each in names]
        vectors = [
            (words[0], left.numpy(), names[0]),
            (f"× {words[1]}", right.numpy(), names[1]),
            ("= product", (left * right).numpy(), names[0] + TIMES + names[1]),
        ]
        return replace(answer, strips=stacked(f"all {len(left)} terms", vectors))


def _without_before(rule: Rule) -> Callable[[Quantities, NumberLocation], Answer]:
    """The formula of the value before its edit."""
    return lambda numbers, at: rule.explain(numbers, replace(at, name=at.name.removesuffix(BEFORE)))


class _Written(float):
    """A number in a formula: `{}` as it is, `{:()}` in brackets if it is negative."""

    def __format__(self, spec: str) -> str:
        return bracketed(float(self)) if spec else number(float(self))


def work_out(formula: str, written: str, operands: list[Operand], compute: Callable[..., float], note: str = "") -> Answer:
    """A formula of a few operands: `written` has a place for each, `compute` takes their values."""
    values = [operand.value for operand in operands]
    return Answer(formula, written.format(*map(_Written, values)), operands, compute(*values), note)


def worked_out(formula: str, written: str, compute: Callable[..., float], *operands: tuple[str, str]) -> Formula:
    """As `work_out`, with the label and the reference of each operand.

    In these `{0}` is the number's first index, `{block}` and `{layer}` its layer, `{of}` its name up to the last point.
    """

    def explain(numbers: Quantities, at: NumberLocation) -> Answer:
        places = {"block": at.block, "layer": at.layer, "of": at.whole.rpartition(".")[0]}
        found = [numbers.operand(label, ref.format(*at.index, **places)) for label, ref in operands]
        return work_out(formula, written, found, compute)

    return explain


def number(x: float) -> str:
    return significant(x, DIGITS)


def times(a: float, b: float) -> str:
    return f"{number(a)} × {bracketed(b)}"


def bracketed(x: float) -> str:
    return number(x) if x >= 0 else f"({number(x)})"


MASKED = "Masked: a position cannot attend to a later one, so this is exactly 0."


def linear(numbers: Quantities, at: NumberLocation, layer: str, row: int, source: str, symbol: str) -> Answer:
    """Output `row` of the linear map `layer` at a position; `source` names its input within the location's layer."""
    return numbers.dot(
        f"Σᵢ {source}[i] × {symbol}[i] + bias",
        numbers.vector(f"{at.block}{source}", at.index[0]),
        numbers.vector(f"{layer}.weight", row),
        "neuron" if source == "mlp.post" else "dimension",
        [numbers.operand("bias", f"{layer}.bias[{row}]")],
    )


class Scores(NamedTuple):
    """A row of scores that a softmax is taken of."""

    prefix: str
    """Name of the softmax's family, which those of exp and of the sum begin with."""
    name: str
    """Name of the family of the scores."""
    row: Tensor
    unmasked: int | None = None
    """Scores that count, the others being −∞; None for all."""


def softmax_rules(
    word: str, over: str, axes: tuple[str, ...], scores: Callable[[Quantities, NumberLocation], Scores], label: Label
) -> tuple[Rule, Rule, Rule, Formula]:
    """The rules of score − max, of its exp and of the sum of these, and the formula of the softmax.

    `word` is the word for a score, `over` for what is summed over; the last of `axes` is the score's place in its row.
    """

    def operands(numbers: Quantities, at: NumberLocation) -> list[Operand]:
        found = scores(numbers, at)
        score, largest = (
            f"{found.name}[{_joined(*at.index[: len(axes) - 1], i)}]" for i in (at.index[-1], int(found.row.argmax()))
        )
        return [numbers.operand("score", score), numbers.operand("largest score", largest)]

    def shifted(numbers: Quantities, at: NumberLocation) -> Answer:
        return work_out("score − max", "{} − {:()}", operands(numbers, at), lambda score, top: score - top)

    def exp(numbers: Quantities, at: NumberLocation) -> Answer:
        both = operands(numbers, at)
        return work_out("exp(score − max)", "exp({} − {:()})", both, lambda score, top: math.exp(score - top))

    def total(numbers: Quantities, at: NumberLocation) -> Answer:
        found, index = scores(numbers, at), _joined(*at.index)
        terms = exps(found.row)[: found.unmasked]
        return numbers.sum(
            f"Σ over the {over} of exp({word} − max)", terms, lambda i: (label(numbers, i), f"{found.prefix}.exp[{index},{i}]")
        )

    def softmax(numbers: Quantities, at: NumberLocation) -> Answer:
        score, top = operands(numbers, at)
        total = numbers.operand("Σ of exp(score − max)", f"{scores(numbers, at).prefix}.sum[{_joined(*at.index[:-1])}]")
        note = MASKED if score.value == -math.inf else ""
        return work_out("exp(score − max) / Σ", "exp({} − {:()}) / {}", [score, top, total], _share_of_sum, note)

    return (
        Rule(f"{word} − max", axes, shifted),
        Rule(f"exp({word} − max)", axes, exp),
        Rule(f"sum over the {over}", axes[:-1], total),
        softmax,
    )


def _share_of_sum(score: float, largest: float, total: float) -> float:
    return math.exp(score - largest) / total


def _joined(*index: int) -> str:
    return ",".join(map(str, index))


def exps(row: Tensor) -> Tensor:
    """exp(score − max) of a row of scores."""
    row = row.double()
    return (row - row.max()).exp()


def cosine(formula: str, *operands: tuple[str, str]) -> Formula:
    """The cosine of two vectors from their dot product and their norms, in this order; 0 where a norm is 0."""
    return worked_out(formula, "{} / ({} × {})", lambda dot, one, other: dot / (one * other) if one * other else 0.0, *operands)


def norm(answer: Answer) -> Answer:
    """The norm, from the sum of the squares."""
    assert answer.recomputed is not None
    return replace(answer, numbers=f"√({answer.numbers})", recomputed=math.sqrt(answer.recomputed))


def mean(answer: Answer, formula: str, count: int) -> Answer:
    """The mean, from the sum of so many terms."""
    assert answer.recomputed is not None
    written = f"({answer.numbers}) / {count}"
    return replace(answer, formula=f"{formula} / {count}", numbers=written, recomputed=answer.recomputed / count)
