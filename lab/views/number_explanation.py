"""The explanation of one number as plain data (`lab.inspect.explain_number` computes it), and its layout as a view."""

from collections.abc import Sequence

import msgspec

from lab.core.number_format import column, significant
from lab.views.blocks import Block, Cell, Column, Paragraph, StackedStrips, Table, View
from lab.views.number_refs import TIMES, is_token_id, split

FIGURES = 6
"""Significant figures of operands: two more than in the formula, to check it."""
CRUMBS = 3
"""Last references of the trail that the title names."""


class Operand(msgspec.Struct, omit_defaults=True):
    """An operand of a formula. With a `ref` it can be explained in turn."""

    label: str
    value: float
    ref: str = ""
    factors: str = ""
    """Of a product the two numbers: `−1.262 × 0.4813`."""


class Explanation(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One number of the model: its name, its formula with the real operands, and the result recomputed from them."""

    ref: str
    title: str
    """Name of the number in words: `attention pattern, layer 2, head 1, from 4 “ ran” to 3 “ dog”`."""
    formula: str
    """In symbols; empty for a weight."""
    numbers: str
    """The formula with the operands in the symbols' places."""
    operands: list[Operand]
    """Of a long sum the largest terms, and last an operand without a `ref` that stands for all the others."""
    value: float
    """The model's own value."""
    recomputed: float | None = None
    """Result of the formula for the operands, in float64; None for a weight."""
    is_held: bool = True
    """True if the forward pass has the number; else it is worked out here alone, and there is nothing to compare it with."""
    initial: float | None = None
    """A weight's value before training, where that is known."""
    is_sum: bool = False
    """True if the operands are the terms of a sum."""
    strips: StackedStrips | None = None
    """Of a dot product both vectors and their products, whole."""
    note: str = ""
    """A remark: that the place is masked, or that an intervention has set it."""
    step: int | None = None
    """Training step of the weights."""

    @property
    def delta(self) -> float:
        """|value − recomputed|; 0 for a weight, and where both are −inf."""
        if self.recomputed is None or self.recomputed == self.value:
            return 0.0
        return abs(self.value - self.recomputed)


def explanation_view(explanation: Explanation, trail: Sequence[str]) -> View:
    """View of an explanation. `trail` holds the references from the number first asked about down to this one."""
    value = value_text(explanation.ref, explanation.value, FIGURES)
    blocks: list[Block] = []
    if explanation.recomputed is None:
        blocks += [Paragraph(explanation.note), *_leaf(explanation)]
    else:
        worked_out = significant(explanation.recomputed, FIGURES)
        check = f"\nThe model has {value}: |Δ| {significant(explanation.delta, 2)}." if explanation.is_held else ""
        blocks.append(Paragraph(f"{explanation.formula}\n= {explanation.numbers}\n= {worked_out}{check}"))
        if explanation.strips is not None:
            blocks.append(explanation.strips)
        if explanation.operands:
            blocks.append(_terms(explanation.operands) if explanation.is_sum else _operands(explanation.operands))
        if explanation.note:
            blocks.append(Paragraph(explanation.note))
    blocks.append(Paragraph(f"zero-indexed: {explanation.ref}"))
    begins = explanation.title if explanation.title.startswith("x ") else explanation.title[:1].upper() + explanation.title[1:]
    sentence = f"{begins} = {value}"
    return View(f"explain {explanation.ref}", _crumbs(trail), sentence, blocks, step=explanation.step)


def value_text(ref: str, value: float, figures: int) -> str:
    """The number to so many significant figures; a token's id is whole."""
    return f"{value:.0f}" if is_token_id(ref) else significant(value, figures)


def _operands(operands: Sequence[Operand]) -> Table:
    rows = [
        [
            Cell(operand.label, style="" if operand.ref else "dim"),
            Cell(significant(operand.value, FIGURES), operand.value, operand.ref, style="" if operand.ref else "dim"),
        ]
        for operand in operands
    ]
    return Table([Column("made of", align="left"), Column("value")], rows)


def _terms(operands: Sequence[Operand]) -> Table:
    """The terms of a sum, aligned by their decimal points, with the products that they are and a bar for each."""
    values = [operand.value for operand in operands]
    most = max(map(abs, values)) or 1.0
    products = any(operand.factors for operand in operands)
    rows = []
    for operand, text in zip(operands, column(values, FIGURES), strict=True):
        style = "" if operand.ref else "dim"
        factors = [Cell(operand.factors, style=style)] if products else []
        number = Cell(text, operand.value, operand.ref, bar=operand.value / most, style=style)
        rows.append([Cell(operand.label, style=style), *factors, number])
    columns = [Column("made of", align="left"), *([Column("product")] if products else []), Column("value")]
    return Table(columns, rows)


def _leaf(explanation: Explanation) -> list[Block]:
    """A weight before training and now; nothing for other leaves."""
    if explanation.initial is None:
        return []
    change = explanation.value - explanation.initial
    rows = [
        [Cell("before training (step 0)"), Cell(significant(explanation.initial, FIGURES), explanation.initial)],
        [Cell("now, at the step shown"), Cell(significant(explanation.value, FIGURES), explanation.value)],
        [Cell("changed by"), Cell(significant(change, FIGURES, sign=True), change)],
    ]
    return [Table([Column("weight", align="left"), Column("value")], rows)]


def _crumbs(trail: Sequence[str]) -> str:
    """`explain · 4 deep: … › product › query › weight`."""
    named = [short(ref) for ref in trail]
    shown = ["…", *named[-CRUMBS:]] if len(named) > CRUMBS else named
    deep = f" · {len(named)} deep" if len(named) > 1 else ""
    return f"explain{deep}: {' › '.join(shown)}"


def short(ref: str) -> str:
    """Kind of number that a reference names, in a word."""
    if TIMES in ref:
        left, _, right = ref.partition(TIMES)
        return "square" if left == right else "product"
    word = split(ref)[0].rpartition(".")[2]
    return {
        "attn_scores": "score",
        "scores_raw": "q·k",
        "logits": "logit",
        "out": "after norm",
        "resid_pre": "stream",
        "resid_mid": "stream",
        "resid_post": "stream",
        "head_out": "head's output",
        "attn_out": "attention",
        "mlp_out": "MLP",
        "pre": "neuron",
        "post": "GELU",
    }.get(word, word)
