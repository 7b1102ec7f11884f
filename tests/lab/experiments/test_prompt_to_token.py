"""From a prompt to its next token: against the model's own forward pass, a second GPT-2, and tables made for it."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from rich.cells import cell_len

from lab.experiments.prompt_to_token import WIDTH, nearest_cosine
from tests.lab.engine.conftest import PROMPT, Oracle
from tests.lab.experiments.conftest import MakeTextRun, Measure, TinyRun, rows


def test_the_path_ends_in_the_model_s_own_next_token(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    found = measure("whole_path", tiny).measures
    ids = tiny.tokenizer.encode(PROMPT)
    with torch.no_grad():
        probabilities = tiny.model(torch.tensor([ids]))[0, -1].softmax(-1)
    assert found["next"] == tiny.tokenizer.label(int(probabilities.argmax()))
    assert abs(float(found["probability"]) - float(probabilities.max())) < 1e-6
    assert (found["tokens"], found["layers"], found["vocabulary"]) == (len(ids), 2, len(probabilities))


def test_the_lines_fit_beside_their_labels_whatever_the_prompt(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run(context=64)
    prompt = "一 long prompt of very many words\n" * 3
    lines = {row[0].text: row[1].text for row in rows(measure("whole_path", tiny, prompt))}
    assert max(map(cell_len, lines.values())) <= WIDTH
    assert re.fullmatch(rf"… .*\b{tiny.tokenizer.encode(prompt)[-1]}", lines["→ ids"]), "its end is what predicts"


def test_the_lens_settles_where_the_final_norm_and_head_first_give_the_answer(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    found = measure("lens_by_layer", tiny).measures
    ids = torch.tensor([tiny.tokenizer.encode(PROMPT)])
    with torch.no_grad():
        x = tiny.model.wte(ids) + tiny.model.wpe.weight[: ids.shape[1]]
        streams, layers = [x], [0]
        for number, block in enumerate(tiny.model.blocks, 1):
            x = x + block.attn(block.ln_1(x), None, 0)
            streams.append(x)
            x = x + block.mlp(block.ln_2(x))
            streams.append(x)
            layers += [number, number]
        tops = [int((tiny.model.ln_f(x) @ tiny.model.wte.weight.T)[0, -1].argmax()) for x in streams]
    first = next(i for i in range(len(tops)) if set(tops[i:]) == {tops[-1]})
    assert found["settled"] == layers[first]
    assert found["answer"] == tiny.tokenizer.label(tops[-1])


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
        tiny.model.wte.weight[[first, second]] = torch.eye(2, tiny.model.config.width)
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
