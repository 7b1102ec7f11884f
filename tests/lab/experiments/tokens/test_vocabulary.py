"""The vocabulary, counted."""

from typing import Any

from tests.lab.experiments.conftest import Measure


def test_the_parts_add_up_to_the_tokenizer_s_size(tiny: Any, measure: Measure) -> None:
    found = measure("vocabulary", tiny).measures
    assert found["own_vocabulary"] == tiny.tokenizer.vocab_size
    assert (found["own_single_bytes"], found["own_merges"]) == (256, tiny.tokenizer.vocab_size - 256)
    assert (found["vocabulary"], found["single_bytes"], found["merges"], found["special"]) == (50_257, 256, 50_000, 1)
