import pytest
import regex
import rustbpe
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import UserError
from lab.tokenization.learnable_text import count_words, words_of
from models.tokenizers.tokenizer import PATTERN

TEXTS = st.one_of(
    st.text("ab", max_size=60),
    st.text("aab \n", max_size=80),
    st.text(" a1.'sé🙂\n\t", max_size=60),
    st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=40),
)


@given(TEXTS)
def test_words_are_those_that_the_pattern_finds_and_joined_they_are_the_text(text: str) -> None:
    assert "".join(words_of(text)) == text
    assert words_of(text) == regex.findall(PATTERN, text)


def test_words_take_the_space_before_them() -> None:
    words = ["I", "'ll", " pay", " 12", " of", " ", " them", "...", "\n\n", "\t", "ok", "\n "]
    assert words_of("I'll pay 12 of  them...\n\n\tok\n ") == words


def test_counts_are_of_all_texts_each_split_by_itself() -> None:
    assert count_words(["a b", " b", "c"]) == {"a": 1, " b": 2, "c": 1}


def test_too_many_different_words_are_refused_in_a_sentence() -> None:
    assert count_words(["abc abc abc abc"], most=7) == {"abc": 1, " abc": 3}
    with pytest.raises(UserError, match=r"too many different words .* 2 of them have 7 characters, and 6 are the most"):
        count_words(["abc abc"], most=6)


@given(st.lists(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_characters_are_classed_as_rustbpe_does(characters: list[str]) -> None:
    """A pair with a letter, a digit or a sign is one word to both, or to neither."""
    pairs = [character + other for character in {*characters, "\u1c89", "\u0558", "\U0002b81e", "\U0003d000"} for other in "z7."]
    trainer = rustbpe.Tokenizer()
    trainer.train_from_iterator(pairs, vocab_size=10_000, pattern=PATTERN)
    learned = {bytes(token) for token, _ in trainer.get_mergeable_ranks()}
    assert {pair for pair in pairs if words_of(pair) == [pair]} == {pair for pair in pairs if pair.encode() in learned}
