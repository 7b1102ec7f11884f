"""Words and tokens: the share of the words of the run's text that are one token."""

import re
from collections import Counter
from typing import TYPE_CHECKING

from lab.core.errors import UserError
from lab.core.number_format import fixed, probability, whole
from lab.experiments.experiment_context import ExperimentContext
from lab.experiments.experiment_result import ExperimentResult, Measure
from lab.views.blocks import Block, Cell, Column, Table, View

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

SAMPLE = 50_000
"""Tokens of the run's text whose words are counted."""
LISTED = 12
TRIED = "running runs ran tokenization unbelievable"
MOST_TRIED = 20
MOST_PIECES = 6
"""Tokens per word from which on words are counted together."""

_WORD = re.compile(r" ?[^\W\d_]+")
"""A run of letters with the space before it, as GPT-2's pattern splits it off."""


def words_and_tokens(context: ExperimentContext) -> ExperimentResult:
    """Measures `one_token`, the share of words (each as often as it occurs) that are one token, `tokens_per_word`, and
    the mean number of times that a word of one token and a split one occur, `times_whole` and `times_split`; of the words of the
    input `words`, `tried` and `tried_whole`, the number of those that are one token.

    Raises:
        UserError: if the run's text cannot be read, or has no words.
    """
    words = Counter(_WORD.findall(context.sample_text(SAMPLE)))
    if not words:
        raise UserError(f"The text of {context.run_name} has no words of letters, so there is nothing to count.")
    pieces = {word: len(context.tokenizer.encode(word)) for word in words}
    total = words.total()
    shares = Counter[int]()
    for word, often in words.items():
        shares[min(pieces[word], MOST_PIECES)] += often
    mean = sum(pieces[word] * often for word, often in words.items()) / total
    measures: dict[str, Measure] = {
        "one_token": shares[1] / total,
        "tokens_per_word": mean,
        "words": total,
        "distinct_words": len(words),
        "most_tokens": max(pieces.values()),
        **_mean_times("times_whole", [often for word, often in words.items() if pieces[word] == 1]),
        **_mean_times("times_split", [often for word, often in words.items() if pieces[word] > 1]),
    }
    rows = [
        [
            Cell(f"{size}{' or more' if size == MOST_PIECES else ''}"),
            Cell(whole(shares[size]), value=float(shares[size])),
            Cell(probability(shares[size] / total), value=shares[size] / total, bar=shares[size] / total),
        ]
        for size in range(1, MOST_PIECES + 1)
    ]
    tried = [(word, pieces.get(word) or len(context.tokenizer.encode(word)), words[word]) for word in _tried(context)]
    measures |= {"tried": len(tried), "tried_whole": sum(size == 1 for _, size, _ in tried)}
    blocks: list[Block] = [
        _examples(context.tokenizer, [(word, often) for word, _, often in tried], "words tried"),
        Table(
            [Column("tokens"), Column("words"), Column("share")],
            rows,
            title=f"words by their number of tokens, {whole(total)} counted",
        ),
    ]
    split = [(word, often) for word, often in words.most_common() if pieces[word] > 1][:LISTED]
    if split:
        blocks.append(_examples(context.tokenizer, split, "the most frequent split words"))
    sentence = (
        f"Of the words of {context.run_name}'s text ({whole(total)} counted), {probability(shares[1] / total)} are one token; a "
        f"word has {fixed(mean, 2)} tokens on average."
    )
    return ExperimentResult(View("words_and_tokens", "words and tokens", sentence, blocks), measures)


def _mean_times(name: str, times: list[int]) -> dict[str, Measure]:
    return {name: sum(times) / len(times)} if times else {}


def _tried(context: ExperimentContext) -> list[str]:
    """The words of the input, each after a space, as within a text. Raises: UserError: if there are none, or too many."""
    words = context.text("words", TRIED).split()
    if not 1 <= len(words) <= MOST_TRIED:
        raise UserError(f"The words to try must be 1 to {MOST_TRIED} with spaces between them, such as {TRIED}.")
    return [f" {word}" for word in words]


def _examples(tokenizer: "Tokenizer", words: list[tuple[str, int]], title: str) -> Table:
    rows = [
        [Cell(word.strip()), Cell(whole(often)), Cell("|".join(tokenizer.label(id_) for id_ in tokenizer.encode(word)))]
        for word, often in words
    ]
    return Table([Column("word", "left"), Column("times"), Column("tokens", "left")], rows, title=title)
