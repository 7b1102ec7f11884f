"""Explain this number: any number of a trace as its formula over numbers that can be explained in turn, down to a single weight.

A number is called by its reference, `name[indices]`, the names being those of `models.trace` and of the model's weights:
`blocks.1.attn.pattern[0,3,2]`, `h.1.attn.c_attn.weight[17,4]`. Beside these there are the steps that a trace does not keep:

    probability[t,v], probability.exp[t,v], probability.sum[t]       the softmax of the logits
    blocks.N.attn.exp[h,q,k], blocks.N.attn.sum[h,q]                 the softmax of the scores
    blocks.N.attn.head_out[h,t,i]                                    what one head adds to the residual stream
    blocks.N.ln1.mean[t], blocks.N.ln1.variance[t] (ln2, ln_final)   the norm's statistics

and `a × b` is the product of two references. Every family of names has one rule: its formula, and where its operands are.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lab.explanation import Explanation, Operand
from lab.numbers import significant, whole
from models.gpt import EPSILON, GPT
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
class _Place:
    """A reference taken apart: `name` without the layer, `layer` if there is one, the indices."""

    ref: str
    name: str
    layer: int | None
    index: tuple[int, ...]

    @property
    def block(self) -> str:
        return "" if self.layer is None else f"blocks.{self.layer}."


@dataclass(frozen=True)
class _Rule:
    title: str
    axes: tuple[str, ...]
    explain: Callable[["Explainer", _Place], "_Answer"]


@dataclass(frozen=True)
class _Answer:
    formula: str
    numbers: str
    operands: list[Operand]
    recomputed: float | None
    note: str = ""
    initial: float | None = None


class Explainer:
    """Explains the numbers of one trace.

    `label` gives a token id's printable text; `initial` a weight's value before training by name, or None where it is not known.
    """

    def __init__(
        self, model: GPT, trace: Trace, label: Callable[[int], str], initial: Callable[[str], Tensor] | None = None
    ) -> None:
        self.trace = trace
        self.weights = {name: weight.detach() for name, weight in model.named_parameters()}
        self._label = label
        self._initial = initial
        self._head_out: tuple[int, Tensor] | None = None

    def explain(self, ref: str) -> Explanation:
        """The explanation of the number called `ref`.

        Raises:
            UnknownNumberError: if the model has no such number.
        """
        if " × " in ref:
            return self._product(ref)
        place = self._place(ref)
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

    def value(self, ref: str) -> float:
        """The number itself, as the model has it. Raises UnknownNumberError."""
        if " × " in ref:
            left, _, right = ref.partition(" × ")
            return self.value(left) * self.value(right)
        place = self._place(ref)
        try:
            return self._value(place)
        except (KeyError, IndexError):
            raise UnknownNumberError(f"{ref} is not a number of this model and prompt.") from None

    def _value(self, place: _Place) -> float:
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
            exps = self._exps(place)
            return float(exps.sum() if part == "sum" else exps[index[2]])
        if place.name == "attn.head_out":
            return float(self._heads(place)[index])
        if part in ("mean", "variance"):
            x = self._norm_input(place)
            return float(x.mean() if part == "mean" else (x - x.mean()).square().mean())
        if part == "scale":
            return float(self.trace[f"{place.block}{place.name}"][index[0], 0])
        return float(self.trace[f"{place.block}{place.name}"][index])

    # how a reference is read and named

    def _place(self, ref: str) -> _Place:
        match = _REF.fullmatch(ref)
        if not match:
            raise UnknownNumberError(f"“{ref}” is not the name of a number, such as blocks.0.attn.pattern[0,1,0].")
        index = tuple(int(n) for n in match[2].split(","))
        block = _BLOCK.fullmatch(match[1])
        if block and int(block[1]) >= self.trace.config.layers:
            raise UnknownNumberError(f"{ref} is in a layer that this model of {self.trace.config.layers} layers does not have.")
        return _Place(ref, block[2], int(block[1]), index) if block else _Place(ref, match[1], None, index)

    def _rule(self, place: _Place) -> _Rule:
        name = place.ref.partition("[")[0]
        if name in self.weights:
            return _Rule("weight", (), Explainer._weight)
        rule = RULES.get(("blocks.N." if place.layer is not None else "") + place.name)
        if rule is None:
            raise UnknownNumberError(f"{name} is not a value of this model.")
        return rule

    def _title(self, place: _Place, rule: _Rule) -> str:
        if not rule.axes:
            return f"{rule.title} {place.ref}"
        words = [rule.title] + ([] if place.layer is None else [f"layer {place.layer + 1}"])
        for axis, n in zip(rule.axes, place.index, strict=False):
            if axis in ("position", "from", "to"):
                words.append(f"{axis} {n + 1} “{self._label(self.trace.ids[n])}”")
            elif axis == "token":
                words.append(f"token {n} “{self._label(n)}”")
            else:
                words.append(f"{axis} {n + 1}")
        return ", ".join(words)

    # what the rules are made of

    def _exps(self, place: _Place) -> Tensor:
        scores = self.trace[f"{place.block}attn.attn_scores"][place.index[0], place.index[1]].double()
        return (scores - scores.max()).exp()

    def _heads(self, place: _Place) -> Tensor:
        assert place.layer is not None
        if self._head_out is None or self._head_out[0] != place.layer:
            self._head_out = (place.layer, self.trace.head_out(place.layer))
        return self._head_out[1]

    def _norm_source(self, place: _Place) -> str:
        """The residual stream that a norm is applied to."""
        if place.layer is None:
            return f"blocks.{self.trace.config.layers - 1}.resid_post"
        return place.block + ("resid_pre" if place.name.startswith("ln1") else "resid_mid")

    def _norm_input(self, place: _Place) -> Tensor:
        return self.trace[self._norm_source(place)][place.index[0]].double()

    def _operand(self, label: str, ref: str) -> Operand:
        return Operand(label, self.value(ref), ref)

    def _sum(
        self,
        formula: str,
        values: Tensor,
        operand: Callable[[int], tuple[str, str]],
        extra: Sequence[Operand] = (),
        over: float = 1.0,
    ) -> _Answer:
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
        return _Answer(formula, " + ".join(_number(each.value) for each in operands).replace("+ −", "− "), operands, total)

    def _dot(
        self,
        formula: str,
        left: Tensor,
        left_ref: Callable[[int], str],
        right: Tensor,
        right_ref: Callable[[int], str],
        term: str,
        extra: Sequence[Operand] = (),
    ) -> _Answer:
        """Σ left[i]·right[i], each term being a product that can be entered."""
        products = left.double() * right.double()
        return self._sum(formula, products, lambda i: (f"{term} {i + 1}", f"{left_ref(i)} × {right_ref(i)}"), extra)

    # the rules

    def _product(self, ref: str) -> Explanation:
        left, _, right = ref.partition(" × ")
        operands = [self._operand(left, left), self._operand(right, right)]
        a, b = (each.value for each in operands)
        return Explanation(
            ref=ref,
            title="one term of a sum of products",
            formula="a × b",
            numbers=f"{_number(a)} × {_number(b)}",
            operands=operands,
            value=a * b,
            recomputed=a * b,
        )

    def _weight(self, place: _Place) -> _Answer:
        name = place.ref.partition("[")[0]
        initial = None if self._initial is None else float(self._initial(name)[place.index])
        note = "A weight: training set it, and nothing in this prompt changes it."
        return _Answer("", "", [], None, note, initial)

    def _softmax(self, place: _Place, prefix: str, scores: str, largest: int) -> _Answer:
        """exp(score − max) / Σ; `prefix` names the steps in between, `largest` is where the maximum is."""
        *row, column = place.index
        rows = ",".join(map(str, row))
        score = self._operand("score", f"{scores}[{rows},{column}]")
        top = self._operand("largest score", f"{scores}[{rows},{largest}]")
        total = self._operand("Σ of exp(score − max)", f"{prefix}.sum[{rows}]")
        recomputed = math.exp(score.value - top.value) / total.value
        numbers = f"exp({_number(score.value)} − {_bracketed(top.value)}) / {_number(total.value)}"
        note = MASKED if score.value == -math.inf else ""
        return _Answer("exp(score − max) / Σ", numbers, [score, top, total], recomputed, note)

    def _probability(self, place: _Place) -> _Answer:
        return self._softmax(place, "probability", "logits", int(self.trace["logits"][place.index[0]].argmax()))

    def _pattern(self, place: _Place) -> _Answer:
        scores = f"{place.block}attn.attn_scores"
        return self._softmax(place, f"{place.block}attn", scores, int(self.trace[scores][place.index[:2]].argmax()))

    def _exp(self, place: _Place, scores: str) -> _Answer:
        *row, column = place.index
        largest = int(self.trace[scores][tuple(row)].argmax())
        rows = ",".join(map(str, row))
        score = self._operand("score", f"{scores}[{rows},{column}]")
        top = self._operand("largest score", f"{scores}[{rows},{largest}]")
        numbers = f"exp({_number(score.value)} − {_bracketed(top.value)})"
        return _Answer("exp(score − max)", numbers, [score, top], math.exp(score.value - top.value))

    def _probability_exp(self, place: _Place) -> _Answer:
        return self._exp(place, "logits")

    def _pattern_exp(self, place: _Place) -> _Answer:
        return self._exp(place, f"{place.block}attn.attn_scores")

    def _probability_sum(self, place: _Place) -> _Answer:
        position = place.index[0]
        logits = self.trace["logits"][position].double()
        exps = (logits - logits.max()).exp()
        return self._sum(
            "Σ over the vocabulary of exp(logit − max)",
            exps,
            lambda v: (f"“{self._label(v)}”", f"probability.exp[{position},{v}]"),
        )

    def _pattern_sum(self, place: _Place) -> _Answer:
        head, query = place.index
        return self._sum(
            "Σ over the keys of exp(score − max)",
            self._exps(place)[: query + 1],
            lambda k: (self._position(k), f"{place.block}attn.exp[{head},{query},{k}]"),
        )

    def _position(self, position: int) -> str:
        return f"{position + 1} “{self._label(self.trace.ids[position])}”"

    def _logit(self, place: _Place) -> _Answer:
        position, token = place.index
        return self._dot(
            "Σᵢ final norm[i] × token's embedding[i]",
            self.trace["ln_final.normalized"][position],
            lambda i: f"ln_final.normalized[{position},{i}]",
            self.weights["wte.weight"][token],
            lambda i: f"wte.weight[{token},{i}]",
            "dimension",
        )

    def _normalized(self, place: _Place) -> _Answer:
        position, i = place.index
        norm = f"{place.block}{place.name.partition('.')[0]}"
        weights = "ln_f" if place.layer is None else f"h.{place.layer}.ln_{norm[-1]}"
        x, mean, scale, gain, bias = operands = [
            self._operand("x, the residual stream", f"{self._norm_source(place)}[{position},{i}]"),
            self._operand("mean of x", f"{norm}.mean[{position}]"),
            self._operand("scale, √(variance + ε)", f"{norm}.scale[{position}]"),
            self._operand("gain", f"{weights}.weight[{i}]"),
            self._operand("bias", f"{weights}.bias[{i}]"),
        ]
        numbers = (
            f"({_number(x.value)} − {_bracketed(mean.value)}) / {_number(scale.value)} × {_bracketed(gain.value)}"
            f" + {_bracketed(bias.value)}"
        )
        recomputed = (x.value - mean.value) / scale.value * gain.value + bias.value
        return _Answer("(x − mean) / scale × gain + bias", numbers, operands, recomputed)

    def _scale(self, place: _Place) -> _Answer:
        norm = f"{place.block}{place.name.partition('.')[0]}"
        variance = self._operand("variance of x", f"{norm}.variance[{place.index[0]}]")
        numbers = f"√({_number(variance.value)} + {EPSILON:g})"
        return _Answer("√(variance + ε)", numbers, [variance], math.sqrt(variance.value + EPSILON))

    def _mean(self, place: _Place) -> _Answer:
        x, source = self._norm_input(place), self._norm_source(place)
        return self._sum(
            f"Σᵢ x[i] / {len(x)}", x, lambda i: (f"x[{i + 1}] / {len(x)}", f"{source}[{place.index[0]},{i}]"), over=len(x)
        )

    def _variance(self, place: _Place) -> _Answer:
        x, source = self._norm_input(place), self._norm_source(place)
        return self._sum(
            f"Σᵢ (x[i] − mean)² / {len(x)}",
            (x - x.mean()).square(),
            lambda i: (f"(x[{i + 1}] − mean)² / {len(x)}", f"{source}[{place.index[0]},{i}]"),
            over=len(x),
        )

    def _stream(self, place: _Place) -> _Answer:
        """The residual stream as the sum of all that was written into it before."""
        assert place.layer is not None
        position, i = place.index
        at = f"[{position},{i}]"
        operands = [self._operand("token embedding", f"embed{at}"), self._operand("position embedding", f"pos_embed{at}")]
        for layer in range(place.layer + 1):
            if layer < place.layer or place.name != "resid_pre":
                operands += self._attention_parts(layer, position, i, f"layer {layer + 1} ")
            if layer < place.layer or place.name == "resid_post":
                operands.append(self._operand(f"layer {layer + 1} mlp", f"blocks.{layer}.mlp_out{at}"))
        values = torch.tensor([each.value for each in operands], dtype=torch.float64)
        answer = self._sum(
            "embeddings + every head + every bias + every MLP so far", values, lambda n: (operands[n].label, operands[n].ref)
        )
        if any(edit.name.rpartition(".")[2] in ("resid_pre", "resid_mid", "resid_post", "attn_out") for edit in self.trace.edits):
            return _Answer(answer.formula, answer.numbers, answer.operands, answer.recomputed, EDITED_BEFORE)
        return answer

    def _attention_parts(self, layer: int, position: int, i: int, prefix: str = "") -> list[Operand]:
        return [
            *(
                self._operand(f"{prefix}head {head + 1}", f"blocks.{layer}.attn.head_out[{head},{position},{i}]")
                for head in range(self.trace.config.heads)
            ),
            self._operand(f"{prefix}attention bias", f"h.{layer}.attn.c_proj.bias[{i}]"),
        ]

    def _attn_out(self, place: _Place) -> _Answer:
        assert place.layer is not None
        parts = self._attention_parts(place.layer, *place.index)
        values = torch.tensor([each.value for each in parts], dtype=torch.float64)
        return self._sum("every head + bias", values, lambda n: (parts[n].label, parts[n].ref))

    def _head_share(self, place: _Place) -> _Answer:
        head, position, i = place.index
        first = head * self.trace.config.head_width
        name = f"h.{place.layer}.attn.c_proj.weight"
        return self._dot(
            "Σ_d z[d] × W_O[d]",
            self.trace[f"{place.block}attn.z"][head, position],
            lambda d: f"{place.block}attn.z[{head},{position},{d}]",
            self.weights[name][i, first : first + self.trace.config.head_width],
            lambda d: f"{name}[{i},{first + d}]",
            "dimension",
        )

    def _z(self, place: _Place) -> _Answer:
        head, query, d = place.index
        pattern = self.trace[f"{place.block}attn.pattern"][head, query, : query + 1].double()
        v = self.trace[f"{place.block}attn.v"][head, : query + 1, d].double()

        def operand(k: int) -> tuple[str, str]:
            return (
                f"from {self._position(k)}",
                f"{place.block}attn.pattern[{head},{query},{k}] × {place.block}attn.v[{head},{k},{d}]",
            )

        return self._sum("Σₖ pattern[k] × v[k]", pattern * v, operand)

    def _score(self, place: _Place) -> _Answer:
        head, query, key = place.index
        raw = self._operand("q·k", f"{place.block}attn.scores_raw[{head},{query},{key}]")
        width = self.trace.config.head_width
        if key > query:
            return _Answer("−∞ where the key comes after the query", "−∞", [raw], -math.inf, MASKED)
        numbers = f"{_number(raw.value)} / √{width} = {_number(raw.value)} / {_number(math.sqrt(width))}"
        return _Answer(f"q·k / √d, d = {width}", numbers, [raw], raw.value / math.sqrt(width))

    def _score_raw(self, place: _Place) -> _Answer:
        head, query, key = place.index
        return self._dot(
            "Σ_d q[d] × k[d]",
            self.trace[f"{place.block}attn.q"][head, query],
            lambda d: f"{place.block}attn.q[{head},{query},{d}]",
            self.trace[f"{place.block}attn.k"][head, key],
            lambda d: f"{place.block}attn.k[{head},{key},{d}]",
            "dimension",
        )

    def _projection(self, place: _Place) -> _Answer:
        head, position, d = place.index
        width, head_width = self.trace.config.width, self.trace.config.head_width
        letter = place.name[-1]
        row = "qkv".index(letter) * width + head * head_width + d
        return self._linear(place, position, f"h.{place.layer}.attn.c_attn", row, "ln1.normalized", f"W_{letter.upper()}")

    def _linear(self, place: _Place, position: int, layer: str, row: int, source: str, symbol: str) -> _Answer:
        return self._dot(
            f"Σᵢ {source}[i] × {symbol}[i] + bias",
            self.trace[f"{place.block}{source}"][position],
            lambda i: f"{place.block}{source}[{position},{i}]",
            self.weights[f"{layer}.weight"][row],
            lambda i: f"{layer}.weight[{row},{i}]",
            "neuron" if source == "mlp.post" else "dimension",
            [self._operand("bias", f"{layer}.bias[{row}]")],
        )

    def _mlp_pre(self, place: _Place) -> _Answer:
        position, neuron = place.index
        return self._linear(place, position, f"h.{place.layer}.mlp.c_fc", neuron, "ln2.normalized", "W_in")

    def _mlp_out(self, place: _Place) -> _Answer:
        position, i = place.index
        return self._linear(place, position, f"h.{place.layer}.mlp.c_proj", i, "mlp.post", "W_out")

    def _mlp_post(self, place: _Place) -> _Answer:
        position, neuron = place.index
        x = self._operand("x, before GELU", f"{place.block}mlp.pre[{position},{neuron}]")
        inner = math.sqrt(2 / math.pi) * (x.value + 0.044715 * x.value**3)
        text = _bracketed(x.value)
        return _Answer(
            "x/2 × (1 + tanh(√(2/π) × (x + 0.044715 x³)))",
            f"{text}/2 × (1 + tanh(0.7979 × ({text} + 0.044715 × {text}³)))",
            [x],
            0.5 * x.value * (1 + math.tanh(inner)),
        )

    def _embed(self, place: _Place) -> _Answer:
        position, i = place.index
        token = self.trace.ids[position]
        return self._looked_up(f"row {token} of the token embedding", f"wte.weight[{token},{i}]")

    def _pos_embed(self, place: _Place) -> _Answer:
        position, i = place.index
        return self._looked_up(f"row {position} of the position embedding", f"wpe.weight[{position},{i}]")

    def _looked_up(self, formula: str, ref: str) -> _Answer:
        weight = self._operand("weight", ref)
        return _Answer(formula, _number(weight.value), [weight], weight.value)


MASKED = "Masked: a position may not look at one that comes after it, so its share is exactly 0."
EDITED_BEFORE = "An intervention changed the stream on the way, so the parts need not add up to it."

_NORM = {
    "normalized": ("after the norm", ("position", "dimension"), Explainer._normalized),
    "scale": ("scale of the norm", ("position",), Explainer._scale),
    "variance": ("variance of the residual stream", ("position",), Explainer._variance),
    "mean": ("mean of the residual stream", ("position",), Explainer._mean),
}

RULES: dict[str, _Rule] = {
    "probability": _Rule("probability of the next token", ("position", "token"), Explainer._probability),
    "probability.exp": _Rule("exp(logit − max)", ("position", "token"), Explainer._probability_exp),
    "probability.sum": _Rule("sum over the vocabulary", ("position",), Explainer._probability_sum),
    "logits": _Rule("logit", ("position", "token"), Explainer._logit),
    "embed": _Rule("token embedding", ("position", "dimension"), Explainer._embed),
    "pos_embed": _Rule("position embedding", ("position", "dimension"), Explainer._pos_embed),
    **{f"ln_final.{name}": _Rule(title, axes, rule) for name, (title, axes, rule) in _NORM.items()},
    **{f"blocks.N.ln{n}.{name}": _Rule(title, axes, rule) for n in (1, 2) for name, (title, axes, rule) in _NORM.items()},
    "blocks.N.resid_pre": _Rule("residual stream before the layer", ("position", "dimension"), Explainer._stream),
    "blocks.N.resid_mid": _Rule("residual stream after attention", ("position", "dimension"), Explainer._stream),
    "blocks.N.resid_post": _Rule("residual stream after the layer", ("position", "dimension"), Explainer._stream),
    "blocks.N.attn_out": _Rule("attention's output", ("position", "dimension"), Explainer._attn_out),
    "blocks.N.attn.head_out": _Rule("a head's share in the output", ("head", "position", "dimension"), Explainer._head_share),
    "blocks.N.attn.z": _Rule("weighted values", ("head", "position", "dimension"), Explainer._z),
    "blocks.N.attn.pattern": _Rule("attention pattern", ("head", "from", "to"), Explainer._pattern),
    "blocks.N.attn.exp": _Rule("exp(score − max)", ("head", "from", "to"), Explainer._pattern_exp),
    "blocks.N.attn.sum": _Rule("sum over the keys", ("head", "from"), Explainer._pattern_sum),
    "blocks.N.attn.attn_scores": _Rule("attention score", ("head", "from", "to"), Explainer._score),
    "blocks.N.attn.scores_raw": _Rule("query · key", ("head", "from", "to"), Explainer._score_raw),
    "blocks.N.attn.q": _Rule("query", ("head", "position", "dimension"), Explainer._projection),
    "blocks.N.attn.k": _Rule("key", ("head", "position", "dimension"), Explainer._projection),
    "blocks.N.attn.v": _Rule("value", ("head", "position", "dimension"), Explainer._projection),
    "blocks.N.mlp.pre": _Rule("neuron before GELU", ("position", "neuron"), Explainer._mlp_pre),
    "blocks.N.mlp.post": _Rule("neuron after GELU", ("position", "neuron"), Explainer._mlp_post),
    "blocks.N.mlp_out": _Rule("MLP's output", ("position", "dimension"), Explainer._mlp_out),
}
"""Every family of names with its rule. An index is one of the rule's axes, 0-based in the reference and 1-based in the title."""


def _number(x: float) -> str:
    return significant(x, DIGITS)


def _bracketed(x: float) -> str:
    return _number(x) if x >= 0 else f"({_number(x)})"
