"""Tokens on disk, and which of them the model sees at which step. Which windows make a step follows from (seed, step) alone."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lab.corpus import Corpus
from lab.errors import UserError
from models.tokenizer import Tokenizer

VALIDATION_FRACTION = 0.1
SHARE_OF_TIME = 0.1
"""An evaluation may take this share of the time of the training steps between two of them. It costs a third of a step per token,
for it has no backward pass. Counted in tokens, not in seconds, so that every evaluation of a run, and of every run with the same
settings on whatever machine, is on the same tokens."""
FEWEST_WINDOWS = 16

BLOCK = 1 << 22
"""Tokens whose bytes are counted at a time."""

Ids = np.ndarray[Any, np.dtype[np.int64]]
Progress = Callable[[int, int], None]
"""Called with how much is done and the total, both in bytes of text."""


@dataclass(frozen=True)
class Prepared:
    """What was written: [0, split) is the training part, [split, tokens) the validation part, which is the tail of the text.

    A token may hold part of a character, so the two byte counts are of tokens, not of characters; they add up to the corpus's
    bytes.
    """

    tokens: int
    split: int
    train_bytes: int
    val_bytes: int


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Type of the ids on disk: two bytes where they suffice, little-endian everywhere."""
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


def prepare_tokens(
    corpus: Corpus,
    tokenizer: Tokenizer,
    path: str | Path,
    progress: Progress | None = None,
    validation_fraction: float = VALIDATION_FRACTION,
) -> Prepared:
    """Encodes the corpus, chunk by chunk, into a file of ids, and says where its validation part begins.

    Raises:
        UserError: where the corpus cannot be read, or changed since it was measured. The file is then incomplete.
    """
    dtype = token_dtype(tokenizer.vocab_size)
    lengths = token_lengths(tokenizer)
    total = corpus.bytes
    done = tokens = 0
    with open(path, "wb") as file:
        for chunk in corpus.chunks():
            ids = np.array(tokenizer.encode(chunk), dtype)
            file.write(ids.tobytes())
            tokens += len(ids)
            done += int(lengths[ids].sum())
            if progress:
                progress(done, total)
    if done != total:
        raise UserError(f"{corpus.source} changed while it was being read; try again when nothing writes to it.")
    split = tokens - round(tokens * validation_fraction)
    train_bytes = count_bytes(Tokens(path, dtype), lengths, 0, split)
    return Prepared(tokens, split, train_bytes, total - train_bytes)


def token_lengths(tokenizer: Tokenizer) -> Ids:
    """The number of bytes of each token, by id: (vocab_size,)."""
    return np.array([len(tokenizer.token_bytes(id)) for id in range(tokenizer.vocab_size)], np.int64)


class Tokens:
    """The file of ids as an array that is read where it is looked at, never as a whole."""

    def __init__(self, path: str | Path, dtype: np.dtype[Any]) -> None:
        """`dtype` is `token_dtype` of the vocabulary.

        Raises:
            UserError: if the file is missing, or not a whole number of ids.
        """
        try:
            size = Path(path).stat().st_size
            if size % dtype.itemsize:
                raise UserError(f"{path} is damaged: {size} bytes are not a whole number of tokens; start the run again.")
            self.ids = np.memmap(path, dtype, mode="r").view(np.ndarray) if size else np.empty(0, dtype)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); start the run again.") from error

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int | slice) -> Any:
        return self.ids[index]


def most_evaluated(eval_every: int, batch: int, context: int) -> int:
    """Tokens that an evaluation is made on at most; all of the validation part where it has fewer."""
    return max(FEWEST_WINDOWS * context, round(3 * SHARE_OF_TIME * eval_every * batch * context))


def count_bytes(tokens: Tokens, lengths: Ids, start: int, stop: int) -> int:
    """How many bytes of text the tokens [start, stop) stand for."""
    return sum(int(lengths[tokens.ids[at : min(at + BLOCK, stop)]].sum()) for at in range(start, stop, BLOCK))


class Batches:
    """Windows of the tokens [start, stop), shuffled: every window of an epoch is seen once before any is seen twice.

    An epoch cuts its part into `windows` windows of `context` tokens, none overlapping, from an offset of its own, so that
    over the epochs a token is seen at every position. Up to two windows' worth of tokens at the ends are left out of an
    epoch.

    Nothing is remembered from step to step: shuffling sorts the windows by random numbers that Philox4x64 (Salmon et al.
    2011) gives for the key (seed, epoch). NumPy promises these raw numbers to stay the same over versions, unlike
    `Generator.permutation` (NEP 19).
    """

    def __init__(self, tokens: Tokens, start: int, stop: int, context: int, batch: int, seed: int) -> None:
        """`batch` windows of `context` tokens make a step.

        Raises:
            UserError: if the part does not hold one window and the token after it.
        """
        count = stop - start
        if count < context + 1:
            raise UserError(f"the text has {count} tokens to train on, and a context of {context} needs at least {context + 1}.")
        self.context = context
        self.batch = batch
        self.windows = max(1, (count - 1) // context - 1)
        """Windows in one epoch."""
        self._ids = tokens.ids
        self._start = start
        self._slack = count - 1 - self.windows * context
        self._seed = seed & (1 << 64) - 1
        self._epochs: dict[int, Ids] = {}

    def at(self, step: int) -> tuple[Ids, Ids]:
        """The batch of a step, counted from 0: inputs (B, T) and targets (B, T), which are the inputs moved on by one token."""
        samples = np.arange(step * self.batch, (step + 1) * self.batch)
        epochs = samples // self.windows
        parts = [self._starts(epoch)[samples[epochs == epoch] % self.windows] for epoch in range(epochs[0], epochs[-1] + 1)]
        return _gather(self._ids, np.concatenate(parts), self.context)

    def epoch(self, step: int) -> float:
        """How many times the part has been gone through after `step` steps."""
        return step * self.batch / self.windows

    def _starts(self, epoch: int) -> Ids:
        """Where the windows of an epoch begin, in the order in which they are seen: (windows,)."""
        if epoch not in self._epochs:
            while len(self._epochs) > 1:
                del self._epochs[min(self._epochs)]
            random = np.random.Philox(key=np.array([self._seed, epoch], np.uint64))
            offset = int(random.random_raw()) % (self._slack + 1)
            order = np.argsort(random.random_raw(self.windows), kind="stable")
            self._epochs[epoch] = self._start + offset + order * self.context
        return self._epochs[epoch]


class Validation:
    """The tokens [start, stop) in fixed windows, so that each of them is predicted once and only once, in every evaluation.

    The first is predicted from the token before the part (if there is one), so that the summed loss covers all bytes of the
    part: divided by ln 2 and by those bytes it is exactly bits per byte. `most` cuts the part to about so many tokens where
    evaluating all takes too long; `stop` then says which were used.

    Iterating gives batches of inputs and targets (b, t), all (batch, context) but for up to two last ones: the remaining
    whole windows, and the remainder of the part as one shorter window. Nothing is padded: weigh each batch's mean loss by
    `targets.size`.
    """

    def __init__(self, tokens: Tokens, start: int, stop: int, context: int, batch: int, most: int | None = None) -> None:
        """At most `batch` windows of `context` tokens make a batch.

        Raises:
            UserError: if the part holds nothing to predict.
        """
        first = start - 1 if start else start
        if most is not None:
            stop = min(stop, first + 1 + max(1, most // context) * context)
        self.tokens = stop - first - 1
        """How many tokens are predicted."""
        if self.tokens < 1:
            raise UserError("the text's validation part is empty; use a longer text.")
        self.start = first + 1
        self.stop = stop
        self._ids = tokens.ids
        self._context = context
        self._batch = batch

    def halve(self) -> bool:
        """Half as many windows in a batch from now on; False if it is one already."""
        self._batch, before = max(1, self._batch // 2), self._batch
        return self._batch < before

    def __len__(self) -> int:
        whole, rest = divmod(self.tokens, self._context)
        return math.ceil(whole / self._batch) + bool(rest)

    def __iter__(self) -> Iterator[tuple[Ids, Ids]]:
        whole, rest = divmod(self.tokens, self._context)
        starts = self.start - 1 + np.arange(whole) * self._context
        for at in range(0, whole, self._batch):
            yield _gather(self._ids, starts[at : at + self._batch], self._context)
        if rest:
            yield _gather(self._ids, np.array([self.stop - 1 - rest]), rest)


def _gather(ids: np.ndarray[Any, Any], starts: Ids, length: int) -> tuple[Ids, Ids]:
    """Windows of `length` tokens that begin at `starts`, and the same moved on by one: (B, T) each."""
    both = ids[starts[:, None] + np.arange(length + 1)].astype(np.int64)  # (B, T + 1)
    return np.ascontiguousarray(both[:, :-1]), np.ascontiguousarray(both[:, 1:])
