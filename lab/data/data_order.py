"""Windows of tokens: those of a training step follow from (seed, step) alone, those of an evaluation are fixed."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import counted
from lab.data.token_file import Ids, TokenFile
from lab.data.train_val_split import Ranges


class TrainingBatches:
    """Windows of the tokens [start, stop), shuffled: each window of an epoch is used once.

    An epoch cuts its part into `windows` windows of `context` tokens, none overlapping, from its own offset, so that
    over the epochs a token is used at every position. Up to two windows' worth of tokens at the ends are left out of an
    epoch.

    No state is kept from step to step: shuffling sorts the windows by random numbers that Philox4x64 (Salmon et al.
    2011) gives for the key (seed, epoch). NumPy promises these raw numbers to stay the same over versions, unlike
    `Generator.permutation` (NEP 19).
    """

    def __init__(
        self, tokens: TokenFile, start: int, stop: int, context: int, batch: int, seed: int, rows: slice | None = None
    ) -> None:
        """`batch` windows of `context` tokens make a step, of which `at` gives those of `rows`, or all.
        Raises UserError if the part does not hold one window and the token after it."""
        count = stop - start
        if count < context + 1:
            has = counted(count, "token")
            raise UserError(f"the text has {has} to train on, and a context of {context} needs at least {context + 1}.")
        self.context = context
        self.batch = batch
        self._count = count
        self.windows = max(1, (count - 1) // context - 1)
        """Windows in one epoch."""
        self._ids = tokens.ids
        self._start = start
        self._slack = count - 1 - self.windows * context
        self._seed = seed & (1 << 64) - 1
        self._rows = rows or slice(0, batch)
        self._epochs: dict[int, Ids] = {}

    def at(self, step: int) -> tuple[Ids, Ids]:
        """The batch of a step, counted from 0: inputs (B, T) and targets (B, T), which are the inputs moved on by one token."""
        samples = np.arange(step * self.batch, (step + 1) * self.batch)[self._rows]
        epochs = samples // self.windows
        parts = [self._starts(epoch)[samples[epochs == epoch] % self.windows] for epoch in range(epochs[0], epochs[-1] + 1)]
        return gather_windows(self._ids, np.concatenate(parts), self.context)

    def epoch(self, step: int) -> float:
        """Tokens used in `step` steps, over the tokens of the part.

        An epoch of the order leaves out up to two windows' worth of tokens, so that on a short text it is less than 1.
        """
        return step * self.batch * self.context / self._count

    def _starts(self, epoch: int) -> Ids:
        """First token of each window of an epoch, in order: (windows,)."""
        if epoch not in self._epochs:
            while len(self._epochs) > 1:
                del self._epochs[min(self._epochs)]
            random = np.random.Philox(key=np.array([self._seed, epoch], np.uint64))
            offset = int(random.random_raw()) % (self._slack + 1)
            order = np.argsort(random.random_raw(self.windows), kind="stable")
            self._epochs[epoch] = self._start + offset + order * self.context
        return self._epochs[epoch]


def gather_windows(ids: np.ndarray[Any, Any], starts: Ids, length: int) -> tuple[Ids, Ids]:
    """Windows of `length` tokens that begin at `starts`, and the same moved on by one: (B, T) each."""
    both = ids[starts[:, None] + np.arange(length + 1)].astype(np.int64)  # (B, T + 1)
    return np.ascontiguousarray(both[:, :-1]), np.ascontiguousarray(both[:, 1:])


IGNORE_INDEX = -100
"""Target whose loss does not count, as in torch's cross entropy."""


class ValidationWindows:
    """The tokens [start, stop) in fixed windows, so that each of them is predicted once and only once, in every evaluation.

    The first is predicted from the token before the part (if there is one), so that the summed loss covers all bytes of the
    part: divided by ln 2 and by those bytes it is exactly bits per byte.

    With `ranges` only the tokens in these are counted, and windows without any are left out. Which window a token is in does not
    depend on them, so that its loss is the one that it has where all are counted.

    Iterating gives batches of inputs and targets (b, t), all (batch, context) but for up to two last ones: the remaining
    windows, and the remainder of the part as one shorter window. Nothing is padded; a target that does not count is
    `IGNORE_INDEX`: weigh each batch's mean loss by `counted_targets(targets)`.
    """

    def __init__(self, tokens: TokenFile, start: int, stop: int, context: int, batch: int, ranges: Ranges | None = None) -> None:
        """At most `batch` windows of `context` tokens make a batch.
        Raises UserError if the part holds nothing to predict, or the ranges are not ranges of it."""
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
            raise UserError("the evaluation segments are not in the validation part: its config.json is damaged.")
        begins, ends = self._edges[::2], self._edges[1::2]
        self.tokens = int((ends - begins).sum())
        """Number of tokens that are predicted and counted."""
        if self.tokens < 1:
            raise UserError("the evaluation segments hold no token: its config.json is damaged.")
        windows = [
            np.arange((begin - self.start) // context, (end - 1 - self.start) // context + 1)
            for begin, end in zip(begins, ends, strict=True)
            if end > begin
        ]
        self._windows: Ids = np.unique(np.concatenate(windows))

    def halve(self) -> bool:
        """Halve the batch from now on; False if it is one window already."""
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
        ids, targets = gather_windows(self._ids, starts, length)
        places = starts[:, None] + 1 + np.arange(length)
        inside = np.searchsorted(self._edges, places, side="right") % 2 == 1
        return ids, np.where(inside, targets, IGNORE_INDEX)


def counted_targets(targets: Ids) -> int:
    """Number of targets that count."""
    return int((targets != IGNORE_INDEX).sum())
