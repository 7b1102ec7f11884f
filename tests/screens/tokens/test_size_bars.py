"""Sizes in words and bars."""

from lab.tokenization.token_facts import TextCounts
from screens.tokens.size_bars import comparison_lines


def test_one_token_is_no_tokens_and_the_bars_begin_in_one_column() -> None:
    lines = comparison_lines([("bytes", TextCounts(5, 5, 15)), ("GPT-2", TextCounts(5, 5, 1))], 8, 60)
    texts = ["".join(text for text, _ in line) for line in lines]
    assert "15 tokens " in texts[0]
    assert " 1 token  " in texts[1]
    assert texts[0].index("█") == texts[1].index(texts[1].split(" 1 token  ")[1][0], 18)
    assert {len(text) for text in texts} == {60}
