"""Mean cosines with the nearest row, against tables made for it."""

import numpy as np
import torch

from lab.experiments.forward_pass.nearest_rows import nearest_cosine
from tests.lab.experiments.conftest import MakeTextRun, Measure


def test_the_nearest_of_a_few_rows() -> None:
    table = np.array([[1, 0], [2, 0], [0, 3], [0, 0], [1, 1]], dtype=np.float32)
    half = float(np.sqrt(0.5))
    assert abs(nearest_cosine(table, np.array([0])) - 1) < 1e-6, "its own multiple"
    assert abs(nearest_cosine(table, np.array([2, 4])) - half) < 1e-6
    assert nearest_cosine(table, np.array([3])) == 0, "a row of zeros"


def test_a_model_whose_rows_are_pairs_is_nearer_than_random_rows(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    with torch.no_grad():
        tiny.model.wte.weight[1::2] = tiny.model.wte.weight[: len(tiny.model.wte.weight) // 2 * 2 : 2]
    found = measure("nearest_rows", tiny).measures
    assert float(found["now"]) > float(found["at_init"])
