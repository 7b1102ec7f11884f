"""The pieces of a phrase, against the tokenizers' own encoding of the whole phrase."""

from models.tokenizers.tokenizer import Tokenizer
from tests.lab.experiments.conftest import MakeTextRun, Measure


def test_the_pieces_are_the_tokens_of_the_whole_phrase(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    phrase = "running runs ran, 3 times"
    found = measure("pieces", tiny, inputs={"phrase": phrase})
    assert found.measures["own"] == len(tiny.tokenizer.encode(phrase))
    gpt2 = Tokenizer.gpt2()
    assert found.measures["gpt2"] == len(gpt2.encode(phrase))
    shown = [cell.text for row in found.view.blocks[0].rows for cell in row[2:]]  # type: ignore[union-attr]
    assert "│".join(shown) == "│".join(gpt2.label(id_).replace(" ", "␣") for id_ in gpt2.encode(phrase))
    assert shown[1].startswith("␣"), "a space that belongs to a word is to be seen"


def test_words_that_share_a_token_are_told_from_those_that_do_not(text_run: MakeTextRun, measure: Measure) -> None:
    tiny = text_run()
    shared = measure("pieces", tiny, inputs={"phrase": "unfriendly unfriendliness"}).measures["gpt2_shared"]
    assert "unfriendly" not in str(shared)
    assert measure("pieces", tiny, inputs={"phrase": "running runs ran"}).measures["gpt2_shared"] == ""
    assert measure("pieces", tiny, inputs={"phrase": "zzqx zzqx"}).measures["gpt2_shared"] != "zzqx"
