"""Data order: the windows of a training step follow from (seed, step) alone."""

from typing import Any

import numpy as np

from lab.core.errors import UserError
from lab.data.token_file import Ids, TokenFile


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
