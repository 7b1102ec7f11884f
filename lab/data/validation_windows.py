"""Fixed validation windows: every token of the validation part is predicted once per evaluation."""

import math
from collections.abc import Iterator

import numpy as np

from lab.core.errors import UserError
from lab.data.data_order import gather_windows
from lab.data.token_file import Ids, TokenFile
from lab.data.train_val_split import Ranges

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
