import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiktoken

from lab.core.errors import UserError
from lab.data.text_source import open_corpus
from lab.runs.find_runs import open_run
from lab.tokenization.bpe_by_steps import BpeLearner, Merge
from lab.tokenization.bpe_session import BpeSession, agreement_sentence, merges_view
from lab.tokenization.learnable_text import LearnableText, read_run_text, read_training_part, whole_text
from lab.views.blocks import Table
from models.tokenizers.tokenizer import PATTERN, Tokenizer

TEXT = "The big dog ran. The old dog runs and the dog is running, running and running.\n" * 20
PHRASE = "running runs ran dogs"


def test_a_phrase_is_encoded_as_tiktoken_does_with_the_same_merges() -> None:
    session = BpeSession(whole_text("text", TEXT))
    for steps in (0, 1, 5, 30):
        session.move(steps)
        state = session.state
        ranks = {token: id_ for id_, token in enumerate(state.vocabulary)}
        oracle = tiktoken.Encoding("test", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
        words = ("running", " runs", " ran", " dogs", " ünïcode")
        pieces = merges_view(state, "".join(words)).blocks[0]
        assert isinstance(pieces, Table)
        assert [row[1].text for row in pieces.rows] == ["│".join(map(state.label, oracle.encode(word))) for word in words]


def test_the_view_begins_with_bytes_lists_the_newest_merge_first_and_counts_the_phrase() -> None:
    session = BpeSession(whole_text("text", TEXT))
    (pieces,) = (block for block in merges_view(session.state, "ran").blocks if isinstance(block, Table))
    assert pieces.rows[0][1].text == "r│a│n"
    session.move(20)
    view = merges_view(session.state, PHRASE)
    pieces, merges = view.blocks[0], view.blocks[1]
    assert isinstance(pieces, Table)
    assert isinstance(merges, Table)
    assert [row[0].text for row in merges.rows] == [str(number) for number in range(20, 8, -1)]
    size = sum(len(row[1].text.split("│")) for row in pieces.rows)
    assert pieces.title == f"the phrase in {size} tokens"
    assert view.title == "20 merges"


@pytest.fixture
def session() -> BpeSession:
    return BpeSession(LearnableText("the text", {"the": 3, " cat": 2, "xy": 1}, "the cat\nthe xy"))


def test_the_excerpt_goes_through_the_same_merges_as_the_text_and_a_state_keeps_its_own(session: BpeSession) -> None:
    before = session.state
    assert bytes(before.excerpt_ids) == b"the cat\nthe xy"
    session.move(2)
    assert (len(before.merges), len(before.vocabulary), len(before.excerpt_ids)) == (0, 256, 14)
    assert session.state.label(257) == "the"
    assert [session.state.label(id) for id in session.state.excerpt_ids] == ["the", *"␣cat␊", "the", *"␣xy"]
    assert session.state.newest == 256
    session.move(-1)
    assert [session.state.label(id) for id in session.state.excerpt_ids][:3] == ["t", "he", "␣"]
    assert session.state.newest == 257


def test_sentences_name_the_next_pair_a_tie_with_its_rule_and_the_parts_of_a_token(session: BpeSession) -> None:
    assert session.state.counts_sentence == "0 merges · vocabulary 256 · 19 tokens · 1.00 bytes per token"
    assert session.state.next_sentence == (
        'Tie: 2 pairs occur 3 times. The lowest ids go first, the left one before the right: next "h" + "e" (104, 101).'
    )
    session.move(1)
    assert session.state.next_sentence == 'Next: "t" + "he", the most common pair: 3 times.'
    assert session.move(100) == 0
    assert session.state.next_sentence == "Every word is a single token: no pair is left to merge."
    assert (session.state.pairs, session.state.tied, session.state.tokens) == ((), 0, 6)
    parts = {session.state.label(merge.id): session.state.parts(merge.id) for merge in session.state.merges}
    assert parts["the"] == '"the" = t (h e)'
    assert parts["␣cat"] in ('"␣cat" = ␣ (c (a t))', '"␣cat" = (␣ c) (a t)')
    assert session.state.parts(104) == '"h" is the byte 104'


def test_a_slice_ends_after_its_time_and_says_what_is_left(session: BpeSession) -> None:
    assert session.move(5, seconds=0) == 4
    assert session.move(4) == 0
    assert session.state.newest == 256  # the slices are one request
    assert session.move(-3, seconds=0) == -2
    assert session.move(-100) == 0
    assert session.state.merges == ()


def test_the_agreement_with_a_tokenizer_is_measured(session: BpeSession) -> None:
    tokens = [bytes([byte]) for byte in range(256)] + [b"he", b"the", b"other"]
    assert agreement_sentence(session.state, tokens, "tale") == "tale's tokenizer has 3 merges."
    session.move(2)
    assert agreement_sentence(session.state, tokens, "tale") == "The same as the first 2 of the 3 merges of tale's tokenizer."
    assert agreement_sentence(session.state, tokens[:257], "tale") == "tale's tokenizer has the first 1 of these merges."
    session.move(1)
    assert agreement_sentence(session.state, tokens, "tale") == "Merge 3 is not that of tale's tokenizer."


def test_a_text_in_the_box_is_learned_whole_and_a_file_from_its_training_part(tmp_path: Path) -> None:
    assert whole_text("box", "a b\udce9 b").words == {"a": 1, " b": 2, "\ufffd": 1}
    path = tmp_path / "some.txt"
    path.write_text("one two three four five six seven eight nine ten\n" * 20)
    shares: list[float] = []
    text = read_training_part(str(path), report=shares.append)
    assert text.name == "the training part of some"
    assert sum(len(word) * count for word, count in text.words.items()) == pytest.approx(900, abs=20)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert text.excerpt.startswith("one two")


def test_the_text_of_a_run_is_refused_where_it_is_not_what_it_was(
    empty_run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "some.txt"
    path.write_text("the cat sat on the mat\n" * 50)
    run = empty_run("tale")
    tokenizer = Tokenizer.train([path.read_text()[:1035]], 260)
    tokenizer.save(run.tokenizer_path)

    def write_source(source: str, sha256: str) -> None:
        config = run.config
        data = msgspec.structs.replace(config.data, source=source, sha256=sha256)
        kind = msgspec.structs.replace(config.tokenizer, kind="bpe", vocab_size=tokenizer.vocab_size)
        model = replace(config.model, vocab_size=tokenizer.vocab_size)
        changed = msgspec.structs.replace(config, data=data, tokenizer=kind, model=model)
        (run.path / "config.json").write_bytes(msgspec.json.encode(changed))

    write_source(str(path), open_corpus(str(path)).sha256)
    text, tokens = read_run_text(open_run("tale").name)
    assert text.name == "the training part of some"
    assert tokens == tuple(tokenizer.token_bytes(id) for id in range(260))
    path.write_text("another text\n")
    with pytest.raises(UserError, match=r"some\.txt has changed since tale was made"):
        read_run_text("tale")
    write_source("-", "")
    with pytest.raises(UserError, match="standard input, which cannot be read again"):
        read_run_text("tale")


def test_two_threads_take_turns_in_one_session(session: BpeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = 0, 0
    merge = BpeLearner.merge

    def watched(learner: BpeLearner) -> Merge | None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        inside -= 1
        return merge(learner)

    monkeypatch.setattr(BpeLearner, "merge", watched)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(session.move, (2, 2))) == [0, 0]
    assert (most, len(session.state.merges)) == (1, 4)
