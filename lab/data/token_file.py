"""The token file tokens.bin: tokenize a text into it, read it as a memory-mapped array."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lab.core.child_process import Progress
from lab.core.errors import UserError
from lab.core.machine import cores
from lab.core.ordered_map import ordered_map
from lab.core.safe_open import open_regular, open_to_replace
from lab.data.corpus import DOCUMENT_BORDER, Corpus
from lab.data.train_val_split import Piece, Ranges, Split, TextChangedError, in_ranges, pieces
from lab.runs.run_schema import ValidationSegments
from lab.runs.schema_parts import CopiedShare
from models.tokenizers.tokenizer import Tokenizer

COUNTED_TOKENS = 1 << 22
"""Tokens whose bytes are counted at a time."""
BATCH_BYTES = 1 << 18
"""Bytes of text from which on a batch for one thread is full; a longer piece is a batch by itself."""
BYTES_PER_THREAD = 1 << 21
"""Bytes of text in memory for each thread: what it encodes and what it finds when it has done so, in any script."""
MOST_BYTES_IN_MEMORY = 1 << 26
"""Bytes of text in memory on however many threads."""
SYNCED_BYTES = 1 << 24
"""Bytes of tokens after which they are written to disk, so that nothing at the end takes long or cannot be cancelled."""

Ids = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class TokenFileFacts:
    """The written token file: tokens [0, split) are the training part, [split, tokens) the validation part. No token has bytes of
    both."""

    tokens: int
    split: int
    train_bytes: int
    val_bytes: int
    evaluated: ValidationSegments
    """The segments that evaluations during training use."""
    final: ValidationSegments
    """The segments that the evaluation at the end uses."""
    sha256: str
    """Checksum of the file."""
    copied: CopiedShare | None = None
    """None where the validation part is shorter than a passage, and until it is measured."""


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Type of the ids on disk: two bytes where they suffice, little-endian."""
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


def tokenize_corpus(
    corpus: Corpus,
    split: Split,
    tokenizer: Tokenizer,
    path: str | Path,
    progress: Progress | None = None,
    threads: int | None = None,
) -> TokenFileFacts:
    """Tokenize the corpus, piece by piece, into a file of ids, with a border between tokens at every cut of `split`.

    An end-of-text token, which is no text, stands between two documents, on the same side of a cut as the first of them: the
    model that predicts a document's first token is given it.

    It uses all cores unless `threads` says otherwise, which changes no id. `progress` is called often and cancels by raising.

    Raises:
        UserError: where the corpus cannot be read, or (TextChangedError) changed since it was measured. The file is useless then.
    """
    encoder = _Encoder(tokenizer)
    total = split.bytes
    places = dict.fromkeys(split.cuts, 0)
    digests = {ranges: hashlib.sha256() for ranges in (split.evaluated, split.final)}
    of_tokens = hashlib.sha256()
    done = tokens = unsynced = 0

    def report() -> None:
        if progress:
            progress(done, total)

    threads = threads or cores()
    most = min(MOST_BYTES_IN_MEMORY, threads * BYTES_PER_THREAD)
    batches = ordered_map(
        encoder.encode,
        _batches(pieces(corpus, split.cuts, split.held)),
        threads,
        lambda batch: sum(len(piece.bytes) for piece in batch),
        most,
        report,
    )
    try:
        with closing(batches), os.fdopen(open_to_replace(path), "wb") as file:
            for batch in batches:
                file.write(batch.ids)
                of_tokens.update(batch.ids)
                for (offset, piece, starts), count, size in zip(batch.pieces, batch.counts, batch.sizes, strict=True):
                    if starts and offset:
                        tokens += 1
                        if offset in places:
                            places[offset] = tokens
                        for ranges, digest in digests.items():
                            if in_ranges(ranges, offset - 1):
                                digest.update(DOCUMENT_BORDER)
                    for ranges, digest in digests.items():
                        if in_ranges(ranges, offset):
                            digest.update(piece)
                    tokens += count
                    done += size
                    if done in places:
                        places[done] = tokens
                unsynced += len(batch.ids)
                if unsynced > SYNCED_BYTES:
                    unsynced = 0
                    file.flush()
                    os.fsync(file.fileno())
                report()
    except UnicodeDecodeError:
        raise TextChangedError(corpus.source) from None

    def segments(ranges: Ranges) -> ValidationSegments:
        in_tokens = tuple((places[start], places[stop]) for start, stop in ranges)
        return ValidationSegments(in_tokens, sum(stop - start for start, stop in ranges), digests[ranges].hexdigest())

    return TokenFileFacts(
        tokens=tokens,
        split=places[split.split],
        train_bytes=split.split,
        val_bytes=total - split.split,
        evaluated=segments(split.evaluated),
        final=segments(split.final),
        sha256=of_tokens.hexdigest(),
    )


class _Batch(NamedTuple):
    """Encoded pieces, with the number of tokens and their bytes for each; end-of-text tokens are not in these counts."""

    pieces: list[Piece]
    ids: bytes
    counts: list[int]
    sizes: list[int]


class _Encoder:
    """Encodes batches of pieces on any thread."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._dtype = token_dtype(tokenizer.vocab_size)
        self._lengths = token_lengths(tokenizer)
        self._border = None if tokenizer.end_of_text is None else np.array([tokenizer.end_of_text], self._dtype)

    def encode(self, pieces: list[Piece]) -> _Batch:
        parts, counts, sizes = [], [], []
        for piece in pieces:
            if piece.starts and piece.offset:
                assert self._border is not None, "a vocabulary for several documents has an end-of-text token"
                parts.append(self._border)
            ids = self._tokenizer.encode_array(piece.bytes.decode()).astype(self._dtype)
            parts.append(ids)
            counts.append(len(ids))
            sizes.append(int(self._lengths[ids].sum()))
        return _Batch(pieces, np.concatenate(parts).tobytes(), counts, sizes)


def _batches(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """The pieces, as many together as make a batch: one of a long document, or many short documents."""
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece.bytes)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def token_lengths(tokenizer: Tokenizer) -> Ids:
    """Bytes of text of each token, by id: (vocab_size,). A special token is no text and has 0."""
    special = set(tokenizer.special.values())
    return np.array([0 if id in special else len(tokenizer.token_bytes(id)) for id in range(tokenizer.vocab_size)], np.int64)


class TokenFile:
    """The file of ids as a memory-mapped array."""

    def __init__(self, path: str | Path, dtype: np.dtype[Any]) -> None:
        """`dtype` is `token_dtype` of the vocabulary. Raises UserError if the file is missing, or not a whole number of ids."""
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


def count_bytes(tokens: TokenFile, lengths: Ids, start: int, stop: int) -> int:
    """Bytes of text of the tokens [start, stop)."""
    return sum(int(lengths[tokens.ids[at : min(at + COUNTED_TOKENS, stop)]].sum()) for at in range(start, stop, COUNTED_TOKENS))
