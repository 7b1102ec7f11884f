"""Words that are one token, and the sentence that fits their number."""

import pytest

from tests.lab.experiments.conftest import MakeTextRun, Measure, with_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" b c d", "every word counted in this text, but not for every word tried"),
        (" b c zqzq", "most words of this text, not for every one"),
    ],
)
def test_the_sentence_fits_the_share(text_run: MakeTextRun, measure: Measure, text: str, expected: str) -> None:
    tiny = with_text(text_run(), text * 50)
    assert [len(tiny.tokenizer.encode(f" {letter}")) for letter in "bcd"] == [1, 1, 1]
    assert measure("words_and_tokens", tiny, inputs={"words": "zqzq"}).measures["holds_for"] == expected
