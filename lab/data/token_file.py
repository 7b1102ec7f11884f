"""Tokens on disk, and which of them the model sees at which step. Which windows make a step follows from (seed, step) alone."""

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lab.core.errors import UserError
from lab.core.safe_open import open_regular, open_to_replace
from lab.data.text_source import Corpus
from lab.data.train_val_split import Ranges, Split, pieces, within
from lab.runs.run_schema import Stretches
from models.tokenizers.tokenizer import Tokenizer

NOT_COUNTED = -100
"""Target of a place whose loss does not count, as torch's cross entropy has it."""

BLOCK = 1 << 22
"""Tokens whose bytes are counted at a time."""

Ids = np.ndarray[Any, np.dtype[np.int64]]
TokenizeProgress = Callable[[int, int], None]
"""Called with how much is done and the total, both in bytes of text."""


@dataclass(frozen=True)
class Prepared:
    """What was written: the tokens [0, split) are the training part, [split, tokens) the validation part. No token has bytes of
    both."""

    tokens: int
    split: int
    train_bytes: int
    val_bytes: int
    evaluated: Stretches
    """What evaluations during training are made on."""
    final: Stretches
    """What the evaluation at the end is made on."""


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Type of the ids on disk: two bytes where they suffice, little-endian everywhere."""
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


def prepare_tokens(
    corpus: Corpus, split: Split, tokenizer: Tokenizer, path: str | Path, progress: TokenizeProgress | None = None
) -> Prepared:
    """Encodes the corpus, piece by piece, into a file of ids, with a border between tokens at every cut of `split`.

    Raises:
        UserError: where the corpus cannot be read, or changed since it was measured. The file is then incomplete.
    """
    dtype = token_dtype(tokenizer.vocab_size)
    lengths = token_lengths(tokenizer)
    total = corpus.bytes
    changed = UserError(f"{corpus.source} changed while it was being read; try again when nothing writes to it.")
    cuts = split.cuts
    places = dict.fromkeys(cuts, 0)
    digests = {ranges: hashlib.sha256() for ranges in (split.evaluated, split.final)}
    done = tokens = 0
    with os.fdopen(open_to_replace(path), "wb") as file:
        for offset, piece in pieces(corpus, cuts):
            try:
                ids = np.array(tokenizer.encode(piece.decode()), dtype)
            except UnicodeDecodeError:
                raise changed from None
            file.write(ids.tobytes())
            for ranges, digest in digests.items():
                if within(ranges, offset):
                    digest.update(piece)
            tokens += len(ids)
            done += int(lengths[ids].sum())
            if done in places:
                places[done] = tokens
            if progress:
                progress(done, total)
    if done != total:
        raise changed

    def stretches(ranges: Ranges) -> Stretches:
        of_tokens = tuple((places[start], places[stop]) for start, stop in ranges)
        return Stretches(of_tokens, sum(stop - start for start, stop in ranges), digests[ranges].hexdigest())

    return Prepared(
        tokens, places[split.split], split.split, total - split.split, stretches(split.evaluated), stretches(split.final)
    )


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
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size % dtype.itemsize:
                    raise UserError(f"{path} is damaged: {size} bytes are not a whole number of tokens; start the run again.")
                self.ids = np.memmap(file, dtype, mode="r").view(np.ndarray) if size else np.empty(0, dtype)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); start the run again.") from error

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int | slice) -> Any:
        return self.ids[index]


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
        self._count = count
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
        """Tokens that have been seen after `step` steps, over the tokens of the part.

        The order is that of epochs of `windows` windows, which leave out up to two windows' worth: on a short text one of those
        is clearly less than once through it.
        """
        return step * self.batch * self.context / self._count

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
    part: divided by ln 2 and by those bytes it is exactly bits per byte.

    With `ranges` only the tokens in these are counted, and windows without any are left out. Which window a token is in does not
    depend on them, so that its loss is the one that it has where all are counted.

    Iterating gives batches of inputs and targets (b, t), all (batch, context) but for up to two last ones: the remaining
    windows, and the remainder of the part as one shorter window. Nothing is padded; a target that does not count is
    `NOT_COUNTED`: weigh each batch's mean loss by `counted(targets)`.
    """

    def __init__(self, tokens: Tokens, start: int, stop: int, context: int, batch: int, ranges: Ranges | None = None) -> None:
        """At most `batch` windows of `context` tokens make a batch.

        Raises:
            UserError: if the part holds nothing to predict, or the ranges are not ranges of it.
        """
        first = start - 1 if start else start
        if stop - first - 1 < 1:
            raise UserError("the text's validation part is empty; use a longer text.")
        self.start = first + 1
        self.stop = stop
        self._ids = tokens.ids
        self._context = context
        self._batch = batch
        self._edges: Ids = np.array(((self.start, stop),) if ranges is None else ranges, np.int64).reshape(-1)
        if len(self._edges) < 2 or self._edges[0] < self.start or self._edges[-1] > stop or (np.diff(self._edges) < 0).any():
            raise UserError("what its evaluations are made on is not in the validation part: its config.json is damaged.")
        begins, ends = self._edges[::2], self._edges[1::2]
        self.tokens = int((ends - begins).sum())
        """How many tokens are predicted and counted."""
        if self.tokens < 1:
            raise UserError("its evaluations are made on no token: its config.json is damaged.")
        windows = [
            np.arange((begin - self.start) // context, (end - 1 - self.start) // context + 1)
            for begin, end in zip(begins, ends, strict=True)
            if end > begin
        ]
        self._windows: Ids = np.unique(np.concatenate(windows))

    def halve(self) -> bool:
        """Half as many windows in a batch from now on; False if it is one already."""
        self._batch, before = max(1, self._batch // 2), self._batch
        return self._batch < before

    def __len__(self) -> int:
        whole, rest = self._parts()
        return math.ceil(len(whole) / self._batch) + bool(rest)

    def __iter__(self) -> Iterator[tuple[Ids, Ids]]:
        whole, rest = self._parts()
        starts = self.start - 1 + whole * self._context
        for at in range(0, len(whole), self._batch):
            yield self._counting(starts[at : at + self._batch], self._context)
        if rest:
            yield self._counting(np.array([self.stop - 1 - rest]), rest)

    def _parts(self) -> tuple[Ids, int]:
        """The whole windows, by number, and the length of the shorter one at the end, 0 where it is left out."""
        count, rest = divmod(self.stop - self.start, self._context)
        return self._windows[self._windows < count], rest if self._windows[-1] == count else 0

    def _counting(self, starts: Ids, length: int) -> tuple[Ids, Ids]:
        ids, targets = _gather(self._ids, starts, length)
        places = starts[:, None] + 1 + np.arange(length)
        inside = np.searchsorted(self._edges, places, side="right") % 2 == 1
        return ids, np.where(inside, targets, NOT_COUNTED)


def counted(targets: Ids) -> int:
    """How many of the targets count."""
    return int((targets != NOT_COUNTED).sum())


def _gather(ids: np.ndarray[Any, Any], starts: Ids, length: int) -> tuple[Ids, Ids]:
    """Windows of `length` tokens that begin at `starts`, and the same moved on by one: (B, T) each."""
    both = ids[starts[:, None] + np.arange(length + 1)].astype(np.int64)  # (B, T + 1)
    return np.ascontiguousarray(both[:, :-1]), np.ascontiguousarray(both[:, 1:])
