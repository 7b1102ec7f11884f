"""Mean cosines with the nearest row, against tables made for it."""

import numpy as np
import torch

from lab.experiments.prompt_to_token import nearest_cosine
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


def test_only_tokens_of_the_training_text_are_compared(text_run: MakeTextRun, measure: Measure) -> None:
    """Two tokens occur, with rows at a right angle; all others have one and the same row."""
    tiny = text_run()
    first, second = tiny.tokenizer.encode(" b")[-1], tiny.tokenizer.encode("a")[0]
    data = tiny.run.config.data
    ids = np.full(data.tokens, first, "<u2")
    ids[1 : data.split : 2] = second
    other = next(id_ for id_ in range(len(tiny.model.wte.weight)) if id_ not in (first, second))
    ids[data.split :] = other  # in the validation part alone
    (tiny.run.path / "tokens.bin").write_bytes(ids.tobytes())
    with torch.no_grad():
        tiny.model.wte.weight[:] = 1
        tiny.model.wte.weight[first] = 0
        tiny.model.wte.weight[first, 0] = 1
        tiny.model.wte.weight[second] = 0
        tiny.model.wte.weight[second, 1] = 1
    found = measure("nearest_rows", tiny).measures
    assert abs(float(found["now"])) < 1e-6
    assert abs(float(found["unused_now"]) - 1) < 1e-6
    assert found["tokens"] == 2
    assert found["unused"] == len(tiny.model.wte.weight) - 2
    assert "moved together" in str(found["never"])
    assert "occur in the text" in str(found["sample"])


def test_without_its_text_a_run_is_compared_on_the_whole_vocabulary(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    (tiny.run.path / "tokens.bin").unlink()
    result = measure("nearest_rows", tiny)
    assert str(result.measures["sample"]).endswith("tokens of the vocabulary; the training text is not at hand")
    assert result.measures["unused"] == 0
    assert "tokens.bin" in result.missing
