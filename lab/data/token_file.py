"""The token file tokens.bin: tokenize a text into it, read it as a memory-mapped array."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lab.core.errors import UserError
from lab.core.safe_open import open_regular, open_to_replace
from lab.data.corpus import DOCUMENT_BORDER, Corpus
from lab.data.train_val_split import Ranges, Split, in_ranges, pieces
from lab.runs.run_schema import ValidationSegments
from models.tokenizers.tokenizer import Tokenizer

COUNTED_TOKENS = 1 << 22
"""Tokens whose bytes are counted at a time."""

Ids = np.ndarray[Any, np.dtype[np.int64]]
TokenizeProgress = Callable[[int, int], None]
"""Called with how much is done and the total, both in bytes of text."""


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


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Type of the ids on disk: two bytes where they suffice, little-endian."""
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


def tokenize_corpus(
    corpus: Corpus, split: Split, tokenizer: Tokenizer, path: str | Path, progress: TokenizeProgress | None = None
) -> TokenFileFacts:
    """Tokenize the corpus, piece by piece, into a file of ids, with a border between tokens at every cut of `split`.

    An end-of-text token, which is no text, stands between two documents, on the same side of a cut as the first of them: the
    model that predicts a document's first token is given it.

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
    border = np.array([] if tokenizer.end_of_text is None else [tokenizer.end_of_text], dtype)
    done = tokens = 0
    with os.fdopen(open_to_replace(path), "wb") as file:
        for offset, piece, starts in pieces(corpus, cuts):
            if starts and offset:
                assert len(border), "a vocabulary for several documents has an end-of-text token"
                file.write(border.tobytes())
                tokens += 1
                if offset in places:
                    places[offset] = tokens
                for ranges, digest in digests.items():
                    if in_ranges(ranges, offset - 1):
                        digest.update(DOCUMENT_BORDER)
            try:
                ids = np.array(tokenizer.encode(piece.decode()), dtype)
            except UnicodeDecodeError:
                raise changed from None
            file.write(ids.tobytes())
            for ranges, digest in digests.items():
                if in_ranges(ranges, offset):
                    digest.update(piece)
            tokens += len(ids)
            done += int(lengths[ids].sum())
            if done in places:
                places[done] = tokens
            if progress:
                progress(done, total)
    if done != total:
        raise changed

    def segments(ranges: Ranges) -> ValidationSegments:
        of_tokens = tuple((places[start], places[stop]) for start, stop in ranges)
        return ValidationSegments(of_tokens, sum(stop - start for start, stop in ranges), digests[ranges].hexdigest())

    return TokenFileFacts(
        tokens, places[split.split], split.split, total - split.split, segments(split.evaluated), segments(split.final)
    )


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
