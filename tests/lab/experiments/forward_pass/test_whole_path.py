"""The whole path and the logit lens by layer, against the model's own forward pass."""

import torch
from rich.cells import cell_len

from lab.experiments.prompt_to_token import WIDTH
from tests.lab.engine.conftest import PROMPT
from tests.lab.experiments.conftest import MakeTextRun, Measure


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
    table = measure("whole_path", tiny, prompt="一 long prompt of very many words\n" * 3).view.blocks[0]
    assert max(cell_len(row[1].text) for row in table.rows) <= WIDTH  # type: ignore[union-attr]


def test_the_lens_settles_where_the_final_norm_and_head_first_give_the_answer(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    found = measure("lens_by_layer", tiny).measures
    ids = torch.tensor([tiny.tokenizer.encode(PROMPT)])
    with torch.no_grad():
        x = tiny.model.wte(ids) + tiny.model.wpe.weight[: ids.shape[1]]
        tops, layers = [int((tiny.model.ln_f(x) @ tiny.model.wte.weight.T)[0, -1].argmax())], [0]
        for number, block in enumerate(tiny.model.blocks, 1):
            x = x + block.attn(block.ln_1(x), None, 0)
            tops.append(int((tiny.model.ln_f(x) @ tiny.model.wte.weight.T)[0, -1].argmax()))
            x = x + block.mlp(block.ln_2(x))
            tops.append(int((tiny.model.ln_f(x) @ tiny.model.wte.weight.T)[0, -1].argmax()))
            layers += [number, number]
    first = next(i for i in range(len(tops)) if set(tops[i:]) == {tops[-1]})
    assert found["settled"] == layers[first]
    assert found["answer"] == tiny.tokenizer.label(tops[-1])
