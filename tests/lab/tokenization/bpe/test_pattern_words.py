import pytest
import rustbpe
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.errors import UserError
from lab.tokenization.bpe.learnable_text import PATTERN_PARTS, count_words, words_and_parts, words_of
from models.tokenizers.tokenizer import PATTERN

TEXTS = st.one_of(
    st.text("ab", max_size=60),
    st.text("aab \n", max_size=80),
    st.text(" a1.'sé🙂\n\t", max_size=60),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)


def test_the_parts_joined_are_the_pattern() -> None:
    alternatives = "|".join(part.pattern for part in PATTERN_PARTS)
    assert alternatives == PATTERN


@settings(deadline=None, max_examples=60)
@given(TEXTS)
def test_words_joined_are_the_text_and_each_has_its_part(text: str) -> None:
    assert "".join(words_of(text)) == text
    assert [word for word, _ in words_and_parts(text)] == words_of(text)


def test_each_part_takes_the_words_that_its_sentence_names() -> None:
    words, parts = zip(*words_and_parts("I'll pay 12 of  them...\n\n\tok\n "), strict=True)
    assert words == ("I", "'ll", " pay", " 12", " of", " ", " them", "...", "\n\n", "\t", "ok", "\n ")
    assert parts == (1, 0, 1, 2, 1, 5, 1, 3, 5, 6, 1, 4)


def test_counts_are_of_all_texts_each_split_by_itself() -> None:
    assert count_words(["a b", " b", "c"]) == {"a": 1, " b": 2, "c": 1}


def test_too_many_different_words_are_refused_in_a_sentence() -> None:
    assert count_words(["abc abc abc abc"], most=7) == {"abc": 1, " abc": 3}
    with pytest.raises(UserError, match=r"too many different words .* 2 of them have 7 characters, and 6 are the most"):
        count_words(["abc abc"], most=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_characters_are_classed_as_rustbpe_does(characters: list[str]) -> None:
    """A pair with a letter, a digit or a sign is one word to both, or to neither."""
    pairs = [character + other for character in {*characters, "\u1c89", "\u0558", "\U0002b81e", "\U0003d000"} for other in "z7."]
    trainer = rustbpe.Tokenizer()
    trainer.train_from_iterator(pairs, vocab_size=10_000, pattern=PATTERN)
    learned = {bytes(token) for token, _ in trainer.get_mergeable_ranks()}
    assert {pair for pair in pairs if words_of(pair) == [pair]} == {pair for pair in pairs if pair.encode() in learned}
