from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.data.text_source import open_corpus
from lab.data.train_val_split import split_text, training_text
from lab.tokenization.bpe_by_steps import BpeLearner, Merge
from lab.tokenization.learnable_text import count_words, words_of
from models.tokenizers.tokenizer import Tokenizer
from tests.lab.tokenization.test_pattern_words import TEXTS


def learned(text: str, merges: int) -> BpeLearner:
    learner = BpeLearner(count_words([text]))
    while len(learner.merges) < merges and learner.merge():
        pass
    return learner


def vocabulary(tokenizer: Tokenizer) -> list[bytes]:
    return [tokenizer.token_bytes(id) for id in range(tokenizer.vocab_size)]


def replace(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    replaced: list[int] = []
    for id in ids:
        if replaced and (replaced[-1], id) == pair:
            replaced[-1] = new
        else:
            replaced.append(id)
    return replaced


def plain_bpe(text: str, merges: int) -> list[tuple[int, int]]:
    """BPE as its definition says, everything counted anew for each merge; ties go to the lowest pair of ids."""
    words = [list(word.encode()) for word in words_of(text)]
    learned = []
    for number in range(merges):
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        words = [replace(word, best, 256 + number) for word in words]
        learned.append(best)
    return learned


@given(TEXTS, st.integers(0, 30))
def test_merges_are_those_of_rustbpe_and_of_the_definition_and_pairs_are_counted_exactly(text: str, merges: int) -> None:
    learner = learned(text, merges)
    tokenizer = Tokenizer.train([text], 256 + merges)
    assert learner.vocabulary == vocabulary(tokenizer)
    assert [(merge.left, merge.right) for merge in learner.merges] == plain_bpe(text, merges)
    assert learner.tokens == len(tokenizer.encode(text))
    counts = Counter(pair for word in words_of(text) for pair in pairwise(tokenizer.encode(word)))
    expected = [(*pair, counts[pair]) for pair in sorted(counts, key=lambda pair: (-counts[pair], pair))]
    for limit in (5, len(counts) + 1):
        assert [(pair.left, pair.right, pair.count) for pair in learner.pairs.ranked(limit)] == expected[:limit]
    assert len(learner.pairs) == len(counts)


@given(TEXTS, st.integers(0, 60), st.integers(0, 60))
def test_as_many_steps_back_as_forward_restore_everything(text: str, before: int, more: int) -> None:
    learner = learned(text, before)
    state = (learner.pairs.ranked(10**6), learner.words.ids(), learner.tokens, learner.vocabulary[:], learner.merges[:])
    start = len(learner.merges)
    forward = [merge for _ in range(more) if (merge := learner.merge())]
    back = [learner.step_back() for _ in range(len(learner.merges) - start)]
    assert back == forward[::-1]
    assert (learner.pairs.ranked(10**6), learner.words.ids(), learner.tokens, learner.vocabulary, learner.merges) == state
    assert [learner.merge() for _ in forward] == forward


def test_a_tie_is_counted_and_goes_to_the_lowest_ids() -> None:
    learner = BpeLearner({"xy": 2, "ab": 2, "az": 2, "q": 9})
    assert learner.merge() == Merge(number=1, left=ord("a"), right=ord("b"), count=2, tied=3, tokens_left=19)
    assert learner.merges[0].id == 256
    assert learner.vocabulary[256] == b"ab"


def test_without_neighbours_there_is_nothing_to_merge_and_nothing_to_undo() -> None:
    for words in ({}, {"a": 3}):
        learner = BpeLearner(words)
        assert learner.pairs.most_common() is None
        assert learner.merge() is None
        assert learner.step_back() is None
        assert learner.pairs.ranked(9) == []


@pytest.mark.parametrize("source", ["stories:50kB", "python"])
def test_a_run_of_the_same_text_learns_the_same_vocabulary(source: str) -> None:
    """From the training part of a real text, hundreds of merges."""
    corpus = open_corpus(source)
    split = split_text(corpus)
    learner = BpeLearner(count_words(training_text(corpus, split, lambda _: None)))
    for _ in range(400):
        learner.merge()
    assert learner.vocabulary == vocabulary(Tokenizer.train(training_text(corpus, split, lambda _: None), 656))
    assert learner.bytes == split.split
