"""Every printed row recomputed from what is printed in it; those of softmax tables by the tests of that table."""

import math
from typing import Any

import pytest

from tests.lab.engine.conftest import InProcessEngine
from tests.lab.inspect.read_views import close, column, printed, tables


@pytest.mark.parametrize("stage", ["qkv", "mlp"])
def test_a_printed_dot_product_reproduces_itself(stage: str, tiny: Any, engine: InProcessEngine) -> None:
    found = 0
    for position in range(12):
        for table in tables(engine.view(stage=stage, position=position)):
            if table.columns[-1].title != "product":
                continue
            found += 1
            assert table.total is not None
            assert close(*printed(table.total[3]), sum(printed(row[3])[0] for row in table.rows))
            for row in table.rows:
                if row[1].text:
                    assert close(*printed(row[3]), printed(row[1])[0] * printed(row[2])[0]), row
    assert found >= 12


@pytest.mark.parametrize("stage", ["ln1", "ln2", "ln_final"])
def test_a_printed_layer_norm_reproduces_itself(stage: str, tiny: Any, engine: InProcessEngine) -> None:
    for position in range(12):
        steps, table = tables(engine.view(stage=stage, layer=1, position=position))
        mean, variance, _, scale = (printed(row[1]) for row in steps.rows)
        assert close(*scale, math.sqrt(variance[0] + 1e-5))
        for row in table.rows:
            x, centred, standard, gain, bias, result = (printed(cell) for cell in row[1:])
            assert close(*centred, x[0] - mean[0])
            assert close(*standard, centred[0] / scale[0])
            assert close(*result, standard[0] * gain[0] + bias[0])


@pytest.mark.parametrize(("stage", "titles"), [("embed", ("token", "+ position", "= residual stream")),
                                               ("resid_mid", ("before", "+ attention", "= after")),
                                               ("resid_post", ("before", "+ the MLP", "= after"))])  # fmt: skip
def test_a_printed_addition_reproduces_itself(stage: str, titles: tuple[str, ...], tiny: Any, engine: InProcessEngine) -> None:
    for position in range(12):
        table = tables(engine.view(stage=stage, position=position))[1]
        for a, b, total in zip(*(column(table, title) for title in titles), strict=True):
            assert close(*printed(total), printed(a)[0] + printed(b)[0])


def test_printed_values_add_up_to_z_and_gelu_reproduces_itself(tiny: Any, engine: InProcessEngine) -> None:
    for position in range(12):
        summed, written = tables(engine.view(stage="values", position=position))
        assert summed.total is not None
        for index in range(3, 7):
            assert close(*printed(summed.total[index]), sum(printed(row[index])[0] for row in summed.rows))
        for row in written.rows:
            assert close(*printed(row[3]), printed(row[1])[0] * printed(row[2])[0])
        for row in tables(engine.view(stage="mlp", position=position))[0].rows:
            x = printed(row[1])[0]
            assert close(*printed(row[2]), 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
