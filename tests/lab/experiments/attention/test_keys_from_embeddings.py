import pytest

from lab.lessons.claim import check_claim, load_claims
from tests.lab.experiments.conftest import MakeTextRun, Measure


@pytest.mark.parametrize(("layers", "says_all"), [(1, False), (2, False), (3, True)])
def test_all_layers_are_told_apart_from_layer_2_only_where_they_differ(
    layers: int, says_all: bool, text_run: MakeTextRun, measure: Measure
) -> None:
    """Layer 1 reads the embeddings in any case, so that with two layers it is the same experiment."""
    found = measure("keys_from_embeddings", text_run(layers=layers)).measures
    assert ("loss_all_replaced" in found) is says_all
    if says_all:
        assert found["loss_all_replaced"] != found["loss_replaced"]


@pytest.mark.parametrize(("name", "experiment"), [("keys-and-values", "keys_from_embeddings"), ("word-order", "word_order")])
def test_what_holds_of_one_layer_alone_is_no_true_note(
    name: str, experiment: str, text_run: MakeTextRun, measure: Measure
) -> None:
    claim = next(claim for claim in load_claims() if claim.name == name)
    checked = check_claim(claim, measure(experiment, text_run(layers=1)))
    assert checked.verdict == "limit"
    assert "one layer" in checked.explanation()
