"""The pieces of a phrase under the first merges, against tiktoken with the same merges."""

import tiktoken

from lab.tokenization.bpe.bpe_session import BpeSession, encode_with, merges_view
from lab.tokenization.bpe.learnable_text import whole_text
from lab.views.blocks import Table
from models.tokenizers.tokenizer import PATTERN

TEXT = "The big dog ran. The old dog runs and the dog is running, running and running.\n" * 20
PHRASE = "running runs ran dogs"


def test_a_phrase_is_encoded_as_tiktoken_does_with_the_same_merges() -> None:
    session = BpeSession(whole_text("text", TEXT))
    for steps in (0, 1, 5, 30):
        session.move(steps)
        state = session.state
        ranks = {token: id_ for id_, token in enumerate(state.vocabulary)}
        oracle = tiktoken.Encoding("test", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
        for word in ("running", " runs", " ran", " dogs", "ünïcode"):
            assert encode_with(state.merges, word.encode()) == oracle.encode(word)


def test_the_view_lists_the_newest_merge_first_and_counts_the_phrase() -> None:
    session = BpeSession(whole_text("text", TEXT))
    session.move(20)
    view = merges_view(session.state, PHRASE)
    pieces, merges = view.blocks[0], view.blocks[1]
    assert isinstance(pieces, Table)
    assert isinstance(merges, Table)
    assert [row[0].text for row in merges.rows] == [str(number) for number in range(20, 8, -1)]
    size = sum(len(row[1].text.split("│")) for row in pieces.rows)
    assert pieces.title == f"the phrase in {size} tokens"
    assert view.title == "20 merges"


def test_before_the_first_merge_there_are_only_bytes() -> None:
    view = merges_view(BpeSession(whole_text("text", TEXT)).state, "ran")
    pieces = view.blocks[0]
    assert isinstance(pieces, Table)
    assert pieces.rows[0][1].text == "r│a│n"
    assert not any(isinstance(block, Table) and block.title.startswith("merges") for block in view.blocks)
