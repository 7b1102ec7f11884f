"""One text cut by several tokenizers, aligned by character; and the sentences that the examples say of it."""

import functools
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from lab.tokenization.example_texts import EXAMPLES, tokens_of
from lab.tokenization.token_alignment import align_texts, kept_apart, sentence_on
from lab.tokenization.tokenized_text import TokenizedText, tokenize_text
from models.tokenizers.tokenizer import Tokenizer

TEXTS = st.text(st.sampled_from("ab run1. \n\té日🙂\u0301\u200d\udc80"), max_size=40)


@functools.cache
def tokenizers() -> tuple[tuple[str, Tokenizer], ...]:
    learned = Tokenizer.train(["run runs running ran 123 12 1 bark barks " * 9], 280)
    return (("bytes", Tokenizer.bytes_()), ("learned", learned), ("GPT-2", Tokenizer.gpt2()))


def titled(text: str) -> list[tuple[str, TokenizedText]]:
    return [(title, tokenize_text(tokenizer, text)) for title, tokenizer in tokenizers()]


@given(TEXTS, st.integers(8, 40))
def test_the_rows_hold_every_character_once_and_every_tokenizer_has_the_same_columns(text: str, room: int) -> None:
    texts = [each for _, each in titled(text)]
    aligned = align_texts(texts, room)
    text = texts[0].text
    rows = [aligned.characters_of(row) for row in range(len(aligned.rows))]
    assert "".join(text[at] for row in rows for at in row) == text
    for number, row in enumerate(rows):
        assert "\n" not in text[row.start : row.stop - 1]
        widths = {sum(cell_len(cell) for cell, _ in aligned.cells(which, number)) for which in range(len(texts))}
        assert len(widths) == 1
        assert widths.pop() <= room or len(row) == 1
        for which, tokenized in enumerate(texts):
            for at, (_, token) in zip(row, aligned.cells(which, number), strict=True):
                assert tokenized.first_characters[token] <= at < tokenized.end_characters[token]


def test_the_marks_are_where_one_of_the_last_two_has_a_border() -> None:
    texts = [each for _, each in titled("run runs 12345 bat")]
    aligned = align_texts(texts, 40)
    borders = [{int(first) for first in each.first_characters} for each in texts]
    differs = set(np.flatnonzero(aligned.differs).tolist())
    assert differs == borders[-1] ^ borders[-2]
    assert len(aligned.marks(0)) == max(differs) + 1
    assert aligned.marks(0).count("^") == len(differs)


def test_a_character_of_several_tokens_says_how_many() -> None:
    aligned = align_texts([each for _, each in titled("aé")], 20)
    assert aligned.cells(0, 0) == [("a", 0), ("é²", 1)]
    assert aligned.cells(2, 0) == [("a", 0), ("é ", 1)], "one token of GPT-2's, in the same column"


def test_the_sentences_count_right() -> None:
    sentences = {example.title: example.sentence(titled(example.text)) for example in EXAMPLES}
    assert all(title in sentence for title, _ in tokenizers() for sentence in sentences.values())
    gpt2 = tokenizers()[2][1]
    assert "GPT-2 cuts running, runs, ran: no token is in all three" in sentences["forms of a word"]
    assert 'bytes cuts r|u|n|n|i|n|g, r|u|n|s, r|a|n: all three share "n" and "r"' in sentences["forms of a word"]
    assert "123|45|67 in GPT-2" in sentences["numbers"]
    russian = "Собака побежала домой."
    assert f"Russian {len(gpt2.encode(russian)) / len(russian):.1f}" in sentences["other languages"].partition("GPT-2")[2]
    assert "11 bytes of UTF-8; tokens: 11 in bytes" in sentences["emoji"]
    texts = titled("def f():\n    return 1\n")
    assert len(tokens_of(texts[0][1], "    ")) == 4
    assert sentence_on(titled("")) == ""
    said = sentence_on(titled("run ran"))
    assert said.startswith("GPT-2 cuts this text at 1 place; ")
    assert said.endswith(" more.")
    assert sentence_on(titled("a 🙂🙂")).endswith(" ⁴ stands behind a character of 4 tokens.")


@given(TEXTS.filter(lambda text: len(tokenizers()[2][1].encode(text)) > 1))
def test_the_sentence_counts_the_borders_that_no_mark_shows(text: str) -> None:
    texts = titled(text)
    (_, one), (_, other) = texts[-2:]
    alone = set(one.byte_starts.tolist()) ^ set(other.byte_starts.tolist())
    unmarked = len(alone) - int(align_texts([one, other], 40).differs.sum())
    said = re.search(
        r" (\d+) of the cuts that only one makes (?:is|are) inside a character: no \^ marks these\.", sentence_on(texts)
    )
    assert unmarked == (int(said[1]) if said else 0)


def test_labels_that_a_terminal_would_join_are_kept_apart() -> None:
    labels = ("\U0001f3fd", "👍", "\U0001f1eb\U0001f1f7", " ab")
    assert [kept_apart(label) for label in labels] == ["◌\U0001f3fd", "👍", "[F][R]", " ab"]
