"""Attention of the model as it is and as it is changed, against torch and against the claims."""

import pytest
import torch

from tests.lab.engine.conftest import PROMPT
from tests.lab.experiments.conftest import MakeTextRun, Measure


def test_adding_1_changes_no_weight_and_doubling_is_the_softmax_of_doubled_scores(
    text_run: MakeTextRun, measure: Measure
) -> None:
    tiny = text_run()
    found = measure("softmax_changes", tiny, layer=1, head=1).measures
    ids = torch.tensor([tiny.tokenizer.encode(PROMPT)])
    with torch.no_grad():
        model = tiny.model.double()
        x = model.wte(ids) + model.wpe.weight[: ids.shape[1]]
        x = model.blocks[0](x, None, 0)
        block = model.blocks[1]
        q, k, _ = block.attn.c_attn(block.ln_1(x)).chunk(3, -1)
        size = q.shape[-1] // block.attn.heads
        scores = q[0, -1, size:] @ k[0, :, size:].T / size**0.5
    assert abs(float(found["top"]) - float(scores.softmax(-1).max())) < 1e-5
    assert abs(float(found["top_doubled"]) - float((2 * scores).softmax(-1).max())) < 1e-5
    assert float(found["largest_change"]) < 1e-12
    assert (found["risen"], found["keys"]) == (0, ids.shape[1])


@pytest.mark.parametrize(("layers", "says_all"), [(1, False), (2, False), (3, True)])
def test_all_layers_are_told_apart_from_layer_2_only_where_they_differ(
    layers: int, says_all: bool, text_run: MakeTextRun, measure: Measure
) -> None:
    """Layer 1 reads the embeddings in any case, so that with two layers it is the same experiment."""
    found = measure("keys_from_embeddings", text_run(layers=layers)).measures
    assert ("loss_all_replaced" in found) is says_all
    if says_all:
        assert found["loss_all_replaced"] != found["loss_replaced"]
