"""x W + b, which four places of every layer share."""

from lab.inspect.formula_terms import Answer, NumberLocation, Quantities


def linear(
    quantities: Quantities, place: NumberLocation, position: int, layer: str, row: int, source: str, symbol: str
) -> Answer:
    """Output `row` of the linear map `layer` at a position; `source` names its input within the place's layer."""
    return quantities.dot(
        f"Σᵢ {source}[i] × {symbol}[i] + bias",
        quantities.trace[f"{place.block}{source}"][position],
        lambda i: f"{place.block}{source}[{position},{i}]",
        quantities.weights[f"{layer}.weight"][row],
        lambda i: f"{layer}.weight[{row},{i}]",
        "neuron" if source == "mlp.post" else "dimension",
        [quantities.operand("bias", f"{layer}.bias[{row}]")],
    )
