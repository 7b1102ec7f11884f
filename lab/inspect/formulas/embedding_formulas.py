"""Formulas of two rows of an embedding table: their cosine, dot product and norms."""

import math
from dataclasses import replace

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, cosine
from lab.views.number_refs import product


def _table(location: NumberLocation) -> str:
    """`wte.weight` for `wte.cosine`."""
    return location.name.partition(".")[0] + ".weight"


def _cosine(quantities: Quantities, location: NumberLocation) -> Answer:
    table = location.name.partition(".")[0]
    one, other = location.index
    operands = [
        quantities.operand("a · b", f"{table}.dot[{one},{other}]"),
        quantities.operand("norm of a", f"{table}.norm[{one}]"),
        quantities.operand("norm of b", f"{table}.norm[{other}]"),
    ]
    return cosine("(a · b) / (norm of a × norm of b)", operands)


def _cosine_value(quantities: Quantities, location: NumberLocation) -> float:
    one, other = (quantities.weights[_table(location)][row].double() for row in location.index)
    norms = float(one.norm() * other.norm())
    return float(one @ other) / norms if norms else 0.0


def _dot(quantities: Quantities, location: NumberLocation) -> Answer:
    name = _table(location)
    one, other = location.index
    return quantities.dot(
        "Σᵢ a[i] × b[i]",
        quantities.weights[name][one],
        lambda i: f"{name}[{one},{i}]",
        quantities.weights[name][other],
        lambda i: f"{name}[{other},{i}]",
        "dimension",
    )


def _dot_value(quantities: Quantities, location: NumberLocation) -> float:
    one, other = (quantities.weights[_table(location)][row].double() for row in location.index)
    return float(one @ other)


def _norm(quantities: Quantities, location: NumberLocation) -> Answer:
    name, (row,) = _table(location), location.index
    values = quantities.weights[name][row].double().square()
    answer = quantities.sum(
        "√(Σᵢ a[i]²)", values, lambda i: (f"a[{i + 1}]²", product(f"{name}[{row},{i}]", f"{name}[{row},{i}]"))
    )
    assert answer.recomputed is not None
    return replace(answer, numbers=f"√({answer.numbers})", recomputed=math.sqrt(answer.recomputed))


def _norm_value(quantities: Quantities, location: NumberLocation) -> float:
    return float(quantities.weights[_table(location)][location.index[0]].double().norm())


EMBEDDINGS = {
    f"{table}.{part}": rule
    for table, words, axis in (("wte", "token embedding", "token"), ("wpe", "position embedding", "row"))
    for part, rule in {
        "cosine": Rule(f"cosine of two rows of the {words}", (axis, axis), _cosine, _cosine_value),
        "dot": Rule(f"a · b, two rows of the {words}", (axis, axis), _dot, _dot_value),
        "norm": Rule(f"norm of a row of the {words}", (axis,), _norm, _norm_value),
    }.items()
}
