"""Formulas of two rows of an embedding table: their cosine, dot product and norms."""

from torch import Tensor

from lab.inspect.formulas.quantities import Answer, NumberLocation, Quantities, Rule, cosine, cosine_value, norm
from lab.views.number_refs import product


def _table(at: NumberLocation) -> str:
    """`wte.weight` for `wte.cosine`."""
    return at.name.partition(".")[0] + ".weight"


def _rows(numbers: Quantities, at: NumberLocation) -> list[Tensor]:
    """The rows of a number, (C,) each, float64."""
    return [numbers.weights[_table(at)][row].double() for row in at.index]


def _cosine(numbers: Quantities, at: NumberLocation) -> Answer:
    table = at.name.partition(".")[0]
    one, other = at.index
    operands = [
        numbers.operand("a · b", f"{table}.dot[{one},{other}]"),
        numbers.operand("norm of a", f"{table}.norm[{one}]"),
        numbers.operand("norm of b", f"{table}.norm[{other}]"),
    ]
    return cosine("(a · b) / (norm of a × norm of b)", operands)


def _dot(numbers: Quantities, at: NumberLocation) -> Answer:
    a, b = (numbers.vector(_table(at), row) for row in at.index)
    return numbers.dot("Σᵢ a[i] × b[i]", a, b)


def _dot_value(numbers: Quantities, at: NumberLocation) -> float:
    one, other = _rows(numbers, at)
    return float(one @ other)


def _norm(numbers: Quantities, at: NumberLocation) -> Answer:
    (row,), (values,) = at.index, _rows(numbers, at)

    def operand(i: int) -> tuple[str, str]:
        name = f"{_table(at)}[{row},{i}]"
        return f"a[{i + 1}]²", product(name, name)

    return norm(numbers.sum("√(Σᵢ a[i]²)", values.square(), operand))


EMBEDDINGS = {
    f"{table}.{part}": rule
    for table, words, axis in (("wte", "token embedding", "token"), ("wpe", "position embedding", "row"))
    for part, rule in {
        "cosine": Rule(
            f"cosine of two rows of the {words}", (axis, axis), _cosine, lambda numbers, at: cosine_value(*_rows(numbers, at))
        ),
        "dot": Rule(f"a · b, two rows of the {words}", (axis, axis), _dot, _dot_value),
        "norm": Rule(f"norm of a row of the {words}", (axis,), _norm, lambda numbers, at: float(_rows(numbers, at)[0].norm())),
    }.items()
}
