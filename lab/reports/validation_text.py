"""The validation text beside the training text: its loss by the training text's counts."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lab.data.train_val_split import Ranges
from lab.reports.bigram_counts import BigramCounts
from lab.reports.count_entropy import entropy_of_counts

MOST_PAIRS = 1_000_000
"""Pairs of the validation part whose loss is measured: looking one up in a long text takes about a microsecond."""


class CountLosses(NamedTuple):
    """Mean −ln p of tokens of the validation part, by the training part's counts."""

    unigram: float
    bigram: float | None
    """Each token by the one before it; None where no token has one."""


@dataclass(frozen=True)
class ValidationText:
    """The validation part beside the training part."""

    tokens: int
    unigram: float
    """H(token) of the validation part itself."""
    unigram_loss: float
    """Mean −ln p of its tokens by the training part's token frequencies."""
    divergence: float
    """KL divergence of the two, unigram_loss − unigram, less the expected divergence of two samples of one source."""
    bigram_loss: float | None = None
    """Mean −ln p of its first `MOST_PAIRS` tokens, each by the one before it, by the training part's token pairs; None if there
    is but one token."""
    evaluated: CountLosses | None = None
    """On the tokens of evaluations during training; None where these are all, or not known."""

    def losses(self, *, on_all: bool) -> CountLosses:
        """On all of the part, else on the tokens that evaluations during training use."""
        return CountLosses(self.unigram_loss, self.bigram_loss) if on_all or self.evaluated is None else self.evaluated


def validation_text(ids: np.ndarray[Any, Any], end: np.ndarray[Any, Any], counts: BigramCounts) -> ValidationText | None:
    """Compare the two parts; `counts` are those of `ids`. None without a validation part."""
    if not len(end):
        return None
    own = np.bincount(end, minlength=counts.vocab_size)
    unigram, unigram_loss = entropy_of_counts(own), float((own * counts.unigram_losses()).sum() / len(end))
    bigram_loss = float(counts.bigram_losses(end[: MOST_PAIRS + 1]).mean()) if len(end) > 1 else None
    # Of n draws from k outcomes the expected KL divergence from their source is about (k − 1) / 2n (Miller 1955).
    expected = (np.count_nonzero(own) - 1) / (2 * len(end)) + (np.count_nonzero(counts.tokens) - 1) / (2 * len(ids))
    divergence = float(unigram_loss - unigram - expected)
    return ValidationText(len(end), unigram, unigram_loss, divergence, bigram_loss)


def losses_in(end: np.ndarray[Any, Any], ranges: Ranges, counts: BigramCounts) -> CountLosses:
    """Losses of the tokens of a validation part that are in these ranges of it, of the first `MOST_PAIRS` of them."""
    unigram, bigram, given = 0.0, 0.0, 0
    tokens, each = 0, counts.unigram_losses()
    for start, stop in ranges:
        stop = min(stop, start + MOST_PAIRS - tokens)
        if stop <= start:
            continue
        tokens += stop - start
        unigram += float(each[end[start:stop]].sum())
        pairs = counts.bigram_losses(end[max(0, start - 1) : stop])
        bigram, given = bigram + float(pairs.sum()), given + len(pairs)
    return CountLosses(unigram / tokens, bigram / given if given else None)
