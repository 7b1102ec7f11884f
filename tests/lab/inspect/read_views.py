"""Cells, columns and tables of views, and the numbers printed in them."""

from collections.abc import Iterator
from typing import TypeVar

import torch

from lab.engine.method_registry import ViewParams
from lab.inspect.stages.stage_registry import IN_LAYERS, STAGES
from lab.views.blocks import Cell, Table, View
from models.gpt import GPT
from tests.lab.engine.conftest import InProcessEngine

B = TypeVar("B")


def views(engine: InProcessEngine, layers: int, heads: int, **params: object) -> Iterator[tuple[ViewParams, View]]:
    """Every stage, in every layer, for every head where the head matters."""
    for stage in STAGES:
        for layer in range(layers if stage in IN_LAYERS else 1):
            for head in range(heads if "head" in STAGES[stage].keys else 1):
                asked = ViewParams(run="tiny", stage=stage, layer=layer, head=head, **params)  # type: ignore[arg-type]
                yield asked, engine.view(asked)


def cells(view: View) -> Iterator[Cell]:
    for block in view.blocks:
        if isinstance(block, Table):
            for row in [*block.rows, *([block.total] if block.total else [])]:
                assert len(row) == len(block.columns)
                yield from row


def printed(cell: Cell) -> tuple[float, float]:
    """The number that a cell shows, and one unit of its last digit. A bound such as <0.001 is 0 give or take its unit."""
    text = cell.text.replace("−", "-")
    percent = text.endswith("%")
    text = text.rstrip("%").replace(",", "")
    if text[0] in "<>":
        edge = float(text[1:])
        low = 100.0 if percent and edge > 50 else 0.0
        number, unit = low, abs(edge - low)
    else:
        mantissa, _, exponent = text.partition("e")
        number = float(text)
        unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return (number / 100, unit / 100) if percent else (number, unit)


def column(table: Table, title: str, rows: int | None = None) -> list[Cell]:
    index = [each.title for each in table.columns].index(title)
    return [row[index] for row in table.rows[:rows]]


def blocks(view: View, kind: type[B]) -> list[B]:
    return [block for block in view.blocks if isinstance(block, kind)]


def tables(view: View) -> list[Table]:
    return blocks(view, Table)


def close(shown: float, unit: float, computed: float, units: float = 1.0) -> bool:
    return abs(shown - computed) <= units * unit * 1.0001 + 1e-12


def make_sink(model: GPT, layer: int, strength: float) -> None:
    """Let the second head of a layer rest on the first token, and the first one attend to all alike."""
    weight, direction = model.get_parameter, torch.tensor([1.0, -1.0] * 4)
    weight("wpe.weight")[0] = 40 * direction  # only the first token's key will carry it
    for name, value in (("weight", 1.0), ("bias", 0.0)):
        weight(f"h.{layer}.attn.c_attn.{name}")[:16] = 0.0
        weight(f"h.{layer}.ln_1.{name}")[:] = value
    weight(f"h.{layer}.attn.c_attn.weight")[12] = direction  # k of head 2, first dimension
    weight(f"h.{layer}.attn.c_attn.bias")[4] = strength  # q of head 2, first dimension
