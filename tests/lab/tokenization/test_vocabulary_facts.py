"""Sentences and facts of a vocabulary in a corpus."""

import numpy as np
import pytest

from lab.core.errors import UserError
from lab.runs.run_schema import DEFAULT_RULES
from lab.tokenization.named_tokenizer import NamedTokenizer
from lab.tokenization.token_frequencies import TokenFrequencies, counted_corpus, frequencies_in
from lab.tokenization.vocabulary_facts import (
    EmbeddingDistances,
    VocabularyFacts,
    origin_of,
    token_facts,
    token_view,
    vocabulary_facts,
)
from lab.tokenization.vocabulary_index import VocabularyIndex
from lab.views.blocks import Table
from models.tokenizers.tokenizer import Tokenizer
from tests.lab.tokenization.test_vocabulary_index import SMALL as INDEX


def counted(**more: int) -> TokenFrequencies:
    counts = np.zeros(263, np.int64)
    for name, count in ({"97": 6, "256": 2, "262": 1} | more).items():
        counts[int(name)] = count
    return TokenFrequencies(counts, "a tale")


def test_the_sentences_without_counts_with_them_and_with_a_model() -> None:
    assert VocabularyFacts(INDEX).sentence == "263 tokens."
    assert VocabularyFacts(INDEX).candidates_sentence == "Glitch candidates: 1 unreachable."
    facts = VocabularyFacts(INDEX, counted())
    assert facts.sentence == "260 of 263 tokens never occur in a tale (9 tokens long, 1.11 bytes per token)."
    assert facts.bytes_per_token == (6 + 2 * 2) / 9, "an end-of-text token is no text"
    assert VocabularyFacts(INDEX, TokenFrequencies(np.ones(263, np.int64), "it")).sentence.startswith(
        "All 263 tokens occur in it"
    )
    to_never = np.where(counted().counts == 0, 0.5, 3.0).astype(np.float32)
    to_never[256] = 0.4
    distances = EmbeddingDistances(7, np.ones(263, np.float32), to_never, None, to_never)
    facts = VocabularyFacts(INDEX, counted(), distances)
    assert facts.candidates_sentence == (
        "Glitch candidates: 260 never used, 1 used with a like embedding, 1 unreachable. "
        "Of the 260 embeddings nearest to the mean, 259 are never used."
    )
    assert facts.marks("never used").sum() == 260
    assert facts.marks("glitch candidates").sum() == 261
    assert np.flatnonzero(facts.marks("half characters")).tolist() == [*range(128, 256), 259]
    assert facts.marks("all").all()


def test_one_tokens_facts() -> None:
    facts = VocabularyFacts(INDEX, counted())
    assert dict(token_facts(facts, 256)) == {"bytes": "2: 61 62", "count": "2 (22.2%)", "rank by count": "2 of 263"}
    assert dict(token_facts(facts, 259))["text"] == "no whole character alone"
    assert dict(token_facts(facts, 261))["text"] == 'its own text is encoded as "a" "␣" "b"'
    assert dict(token_facts(facts, 262))["text"].startswith("special")
    assert dict(token_facts(facts, 65)) == {"bytes": "1: 41", "count": "never occurs", "also spelled": '"a"'}
    assert origin_of(INDEX.tokenizer, 257) == '"ab" + "A"'
    assert (origin_of(INDEX.tokenizer, 7), origin_of(INDEX.tokenizer, 262)) == ("a byte", "special")
    view = token_view(facts, 257)
    merges = view.blocks[1]
    assert isinstance(merges, Table)
    assert [row[0].text for row in merges.rows] == ['"abA"', '├ "ab"', '│ ├ "a"', '│ └ "b"', '└ "A"']


def test_facts_of_a_run_and_of_the_text_of_one() -> None:
    named = NamedTokenizer(Tokenizer.gpt2(), "gpt2")
    index = VocabularyIndex(named.tokenizer)

    def corpus_of(source: str, cleaning: tuple[str, ...]) -> str:
        facts = vocabulary_facts(index, named, "demo", source, "", cleaning, lambda done, total: None)
        assert facts.frequencies is not None
        assert facts.distances is None, "the run's model has another vocabulary"
        of_card = frequencies_in(counted_corpus(named, "demo", source, "", cleaning), named.tokenizer)
        assert (of_card.corpus, of_card.total) == (facts.frequencies.corpus, facts.frequencies.total), "one corpus for both pages"
        return facts.frequencies.corpus

    assert corpus_of("stories:1kb", DEFAULT_RULES) == "stories"
    assert corpus_of("stories:1kb", ("blank-lines",)) == "stories, cleaned"
    with pytest.raises(UserError, match="came from standard input"):
        corpus_of("-", DEFAULT_RULES)
