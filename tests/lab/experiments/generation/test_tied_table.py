"""The logits from the table of the token embedding."""

from collections.abc import Callable

import pytest

from tests.lab.engine.conftest import Oracle
from tests.lab.experiments.conftest import Measure, TinyRun


def test_the_dot_product_with_a_row_of_the_table_is_the_logit(
    tiny: TinyRun, measure: Measure, oracle_of: Callable[..., Oracle]
) -> None:
    found = measure("tied_table", tiny).measures
    oracle = oracle_of(tiny, tiny.tokenizer.encode("The big dog ran fast. The cat")[-16:])
    logits = oracle.values["logits"][-1]
    assert found["top"] == tiny.tokenizer.label(int(logits.argmax()))
    assert found["dot"] == pytest.approx(logits.max(), abs=1e-4)
    assert found["logit"] == pytest.approx(logits.max(), abs=1e-4)
    assert (found["tied"], found["vocabulary"], found["width"]) == (True, 275, 8)
