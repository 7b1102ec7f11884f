"""The share of a validation part that also stands in the training part, in passages of at least `WINDOW` characters.

All windows of the text that the evaluation at the end uses have a hash: of a validation part of up to 1 MiB these are all, and
the share is exact; a longer one is sampled, in 128 places, with an error that is stated. The training part is read through once,
in blocks, and every window of it is looked up: about a minute of one core for a gigabyte, in some 80 MB.
"""

import codecs
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.core.machine import cores
from lab.core.number_format import probability
from lab.core.ordered_map import ordered_map
from lab.data.corpus import Corpus
from lab.data.statistics.repeated_passages import WINDOW
from lab.data.statistics.text_blocks import Hashes, TextBlocks, WindowHasher
from lab.data.token_file import TokenFile, token_dtype
from lab.data.train_val_split import Ranges, Split, in_ranges, pieces
from lab.runs.schema_parts import CopiedShare, Holdout
from models.tokenizers.tokenizer import Tokenizer

SLOT_BITS = 24
"""Bits of a hash by which most windows are ruled out at once; the table of a byte each takes 16 MB."""
REBUILDS = 16
"""Times that found windows are taken out of that table, at most; they are not looked up again."""
BLOCK = 1 << 17
"""Characters whose windows are looked up at a time: their arrays stay in a processor's cache."""
CONFIDENCE = 1.96
"""Standard errors on each side of a share that hold the true one in 95 of 100 samples."""
DECODED_TOKENS = 1 << 18
"""Tokens that are decoded at a time."""

Report = Callable[[float], None]
"""Called with the share of the training part that was read; cancels by raising."""


def describe_copied(copied: CopiedShare | None) -> str:
    """`84.6% of the validation text also stands in the training text, in passages of 50 characters or more`; empty if unknown."""
    if copied is None:
        return ""
    share = f"{probability(copied.share)}{copied_error(copied)}"
    return f"{share} of the validation text also stands in the training text, in passages of {WINDOW} characters or more"


def describe_validation(holdout: Holdout, copied: CopiedShare | None) -> str:
    """The validation part, and the share that is copied, if known: `the last 10% of the text; 84.6% of ...`."""
    return "; ".join(filter(None, (holdout.in_words, describe_copied(copied))))


def copied_error(copied: CopiedShare) -> str:
    """` (± 2.1%)` of a share that was sampled, in percentage points; empty of an exact one."""
    return f" (± {100 * copied.error:.1f}%)" if copied.error else ""


def copied_in_corpus(corpus: Corpus, split: Split, report: Report = lambda share: None) -> CopiedShare | None:
    """The share in a text, which is read twice. Raises: UserError where it cannot be read."""
    found: list[list[str]] = [[] for _ in split.final]
    for offset, piece, _ in pieces(corpus, split.cuts, split.held):
        report(offset / split.bytes / 2)
        if in_ranges(split.final, offset):
            found[bisect_right(split.final, offset, key=lambda each: each[0]) - 1].append(piece.decode())

    def training() -> Iterator[str]:
        for offset, piece, _ in pieces(corpus, [split.split], split.held):
            report(0.5 + offset / split.bytes / 2)
            if offset < split.split:
                yield piece.decode()

    sampled = sum(stop - start for start, stop in split.final) / max(1, split.bytes - split.split)
    return copied_share(map("".join, found), training(), sampled)


def copied_in_tokens(
    path: Path, tokenizer: Tokenizer, split: int, final: Ranges, sampled: float, report: Report = lambda share: None
) -> CopiedShare | None:
    """The same share in a file of tokens, of which [0, split) is trained on; the `final` ranges are so much of the rest.

    Raises: UserError where it cannot be read, TokenizerError where it is not of this vocabulary.
    """
    ids = TokenFile(path, token_dtype(tokenizer.vocab_size)).ids
    special = list(tokenizer.special.values())

    def texts(start: int, stop: int) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        for at in range(start, stop, DECODED_TOKENS):
            some = ids[at : min(at + DECODED_TOKENS, stop)]
            if not start:
                report(at / split)
            yield decoder.decode(tokenizer.decode_bytes(some[~np.isin(some, special)].tolist()))

    return copied_share(("".join(texts(*each)) for each in final), texts(0, min(split, len(ids))), sampled)


def copied_share(validation: Iterable[str], training: Iterable[str], sampled: float = 1.0) -> CopiedShare | None:
    """The share in these parts of a validation text, which are so much of it; None if none of them is as long as a window."""
    hasher = WindowHasher(WINDOW, BLOCK + WINDOW)
    parts = [np.concatenate([*map(hasher.hashes, _blocks([text])), np.empty(0, np.uint64)]) for text in validation]
    wanted = np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)
    if not len(wanted):
        return None
    found = np.zeros(len(wanted), np.bool_)
    taken_out = 0

    def slots_of(hashes: Hashes) -> NDArray[np.bool_]:
        slots = np.zeros(1 << SLOT_BITS, np.bool_)
        slots[_slot(hashes)] = True
        return slots

    slots = slots_of(wanted)

    def likely(text: str) -> Hashes:
        hashes = hasher.hashes(text)
        return hashes[slots.take(_slot(hashes))]

    for hashes in ordered_map(likely, _blocks(training), cores(), len, 2 * cores() * BLOCK):
        at = np.searchsorted(wanted, hashes).clip(max=len(wanted) - 1)
        found[at[wanted[at] == hashes]] = True
        if (now := int(found.sum())) > taken_out + len(wanted) // REBUILDS:
            slots, taken_out = slots_of(wanted[~found]), now
    covered = [_covered(found[np.searchsorted(wanted, part)]) for part in parts if len(part)]
    share = sum(int(part.sum()) for part in covered) / sum(map(len, covered))
    if sampled >= 1 or len(covered) < 2:
        return CopiedShare(share)
    spread = float(np.std([part.mean() for part in covered], ddof=1))
    return CopiedShare(share, min(1.0, CONFIDENCE * spread * ((1 - sampled) / len(covered)) ** 0.5))


def _slot(hashes: Hashes) -> NDArray[np.intp]:
    return (hashes >> np.uint64(64 - SLOT_BITS)).view(np.intp)


def _covered(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each character, whether a window that holds it was found; `found` is of the windows at each place."""
    sums = np.concatenate((np.zeros(WINDOW, np.int64), np.cumsum(found), np.full(WINDOW - 1, found.sum())))
    covered: NDArray[np.bool_] = sums[WINDOW:] > sums[:-WINDOW]
    return covered


def _blocks(texts: Iterable[str]) -> Iterator[str]:
    """The text in blocks, each with the end of the one before it, so that every window is in one of them."""
    tail = ""
    for block in TextBlocks(((text, 0, not at) for at, text in enumerate(texts)), BLOCK):
        yield tail + block
        tail = (tail + block)[1 - WINDOW :]
