"""Token frequencies in a run's training part, or in a text: how often each token of a vocabulary occurs, and their Zipf curve.

They are counted in a stream and kept in memory, by run or text and by tokenizer.
"""

import hashlib
import math
import os
import threading
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lab.core.errors import UserError
from lab.data.builtin_texts import is_builtin
from lab.data.corpus import STDIN, Corpus
from lab.data.text_source import path_of, sources_of
from lab.data.token_file import Ids, TokenFile, token_dtype
from lab.runs.run_folder import Run
from lab.runs.run_schema import DEFAULT_RULES

if TYPE_CHECKING:
    from models.tokenizers.tokenizer import Tokenizer

COUNTED_TOKENS = 1 << 20
"""Tokens counted at a time: numpy makes each of them eight bytes."""
MOST_KEPT = 16
"""Counts that are kept; those of GPT-2's vocabulary take 400 kB."""

CountProgress = Callable[[int, int], None]
"""Called with how much is counted and the total, in the same unit, the total 0 where it is unknown; raises to stop."""

_kept: dict[Hashable, "TokenFrequencies"] = {}
_keeping = threading.Lock()


@dataclass(frozen=True, eq=False)
class TokenFrequencies:
    """Number of times that each token occurs in a corpus, which `corpus` names in words: `the training part of demo`."""

    counts: Ids
    """(vocab_size,)"""
    corpus: str

    @property
    def total(self) -> int:
        """Tokens of the corpus."""
        return int(self.counts.sum())

    @property
    def never_used(self) -> int:
        """Tokens of the vocabulary that the corpus does not hold."""
        return int((self.counts == 0).sum())

    def rank(self, id: int) -> int:
        """Place of a token by frequency, 1 for the most frequent; of two as frequent the lower id comes first."""
        count = self.counts[id]
        return int((self.counts > count).sum() + (self.counts[:id] == count).sum()) + 1


def frequencies_in_run(run: Run, progress: CountProgress | None = None) -> TokenFrequencies:
    """Frequency of each token in the training part of a run's tokens, which the model has seen; the second time at once.

    Raises:
        UserError: if tokens.bin is missing or damaged.
    """
    config = run.config
    vocab_size, split = config.model.vocab_size, config.data.split
    tokens = TokenFile(run.tokens_path, token_dtype(vocab_size))
    if split > len(tokens):
        raise UserError(f"{run.tokens_path} is damaged: it has {len(tokens):,} tokens, and {split:,} of them are trained on.")

    def count() -> TokenFrequencies:
        parts = (tokens.ids[at : min(at + COUNTED_TOKENS, split)] for at in range(0, split, COUNTED_TOKENS))
        try:
            counts = count_ids(parts, vocab_size, split, progress)
        except UserError as error:
            raise UserError(f"{run.tokens_path} is damaged: {error}") from error
        return TokenFrequencies(counts, f"the training part of {run.name}")

    return _known(("run", str(run.tokens_path), _stamp(run.tokens_path), vocab_size, split), count)


def frequencies_in_text(corpus: Corpus, tokenizer: "Tokenizer", progress: CountProgress | None = None) -> TokenFrequencies:
    """Frequency of each token in a text as this tokenizer encodes it, with an end-of-text token between documents where it has
    one; of a text in files that have not changed, the second time at once. `progress` counts bytes of text.

    Raises:
        UserError: where the text cannot be read or decoded.
    """

    def count() -> TokenFrequencies:
        counts = np.zeros(tokenizer.vocab_size, np.int64)
        done = documents = 0
        for chunk in corpus.document_chunks():
            documents += chunk.starts
            counts += np.bincount(tokenizer.encode_array(chunk.text), minlength=tokenizer.vocab_size)
            if progress:
                done += len(chunk.text.encode())
                progress(done, 0)
        if tokenizer.end_of_text is not None and documents:
            counts[tokenizer.end_of_text] += documents - 1
        return TokenFrequencies(counts, corpus.name + (", cleaned" if corpus.cleaning != DEFAULT_RULES else ""))

    stamps = _stamps(corpus.source)
    if stamps is None:
        return count()
    return _known(("text", corpus.source, corpus.encoding, corpus.cleaning, stamps, _identity(tokenizer)), count)


def count_ids(parts: Iterable[Any], vocab_size: int, total: int = 0, progress: CountProgress | None = None) -> Ids:
    """Number of times that each id below `vocab_size` occurs in the arrays: (vocab_size,).

    Raises:
        UserError: if an id is not below it.
    """
    counts = np.zeros(vocab_size, np.int64)
    done = 0
    for part in parts:
        if len(part) and (largest := int(part.max())) >= vocab_size:
            raise UserError(f"it holds the token {largest:,}, and the vocabulary has {vocab_size:,}.")
        counts += np.bincount(part, minlength=vocab_size)
        done += len(part)
        if progress:
            progress(done, total)
    return counts


def _stamp(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    """The file's identity, size and time of the last change."""
    facts = os.stat(path)
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _stamps(source: str) -> tuple[object, ...] | None:
    """The stamps of a text's files, which change with it; None where it is not files alone, or built in."""
    found: list[object] = []
    for each in sources_of(source):
        if is_builtin(each):
            found.append(each)
            continue
        try:
            path = path_of(each)
            if each == STDIN or not path.is_file():
                return None
            found.append(_stamp(path))
        except (OSError, ValueError, RuntimeError):
            return None
    return tuple(found) or None


def _identity(tokenizer: "Tokenizer") -> Hashable:
    """Two tokenizers with the same one encode alike."""
    tokens = b"".join(len(token).to_bytes(4) + token for token in map(tokenizer.token_bytes, range(tokenizer.vocab_size)))
    return tokenizer.pattern, tuple(tokenizer.special.items()), hashlib.sha256(tokens).digest()


def _known(key: Hashable, count: Callable[[], TokenFrequencies]) -> TokenFrequencies:
    with _keeping:
        found = _kept.pop(key, None)
        if found is not None:
            _kept[key] = found
            return found
    found = count()
    with _keeping:
        _kept[key] = found
        while len(_kept) > MOST_KEPT:
            del _kept[next(iter(_kept))]
    return found


MOST_POINTS = 400
"""Points of the curve, evenly apart on the logarithmic axis."""
FITTED_RANKS = (10, 1000)
"""Ranks that the line is fitted to, the second at most the middle one: the first few tokens follow no law, and the curve
drops where the vocabulary ends."""
FEWEST_FITTED = 20


@dataclass(frozen=True, eq=False)
class ZipfCurve:
    """Points of the curve from rank 1; only tokens that occur have a rank."""

    ranks: NDArray[np.float64]
    counts: NDArray[np.float64]
    slope: float | None
    """Slope of log count over log rank, by least squares over `fitted`; None where too few tokens occur."""
    fitted: tuple[int, int]
    """First and last rank that the line is fitted to."""
    at_fitted: tuple[float, float]
    """Counts of the line at these two."""


def zipf_curve(counts: Ids) -> ZipfCurve:
    """The curve of these frequencies, (vocab_size,)."""
    falling = np.sort(counts[counts > 0])[::-1].astype(np.float64)
    used = len(falling)
    spread = np.geomspace(1, max(1, used), MOST_POINTS).round().astype(np.int64) if used else np.zeros(0, np.int64)
    ranks = np.unique(spread)
    first, last = FITTED_RANKS[0], min(FITTED_RANKS[1], used // 2)
    slope, at_fitted = None, (math.nan, math.nan)
    if last - first + 1 >= FEWEST_FITTED:
        inside = np.arange(first, last + 1)
        slope, at_one = map(float, np.polyfit(np.log(inside), np.log(falling[inside - 1]), 1))
        at_fitted = (math.exp(at_one + slope * math.log(first)), math.exp(at_one + slope * math.log(last)))
    return ZipfCurve(ranks.astype(np.float64), falling[ranks - 1], slope, (first, last), at_fitted)
