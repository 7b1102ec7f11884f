"""Save a cleaned text: one document as a file, atomically and never over a file that it is read from; several as files of a new
folder, which opens as the same documents, while one file would have no borders between them."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from lab.core.atomic_io import check_export, os_error_in_words, sync_folder, temporary_beside, write_export, write_synced
from lab.core.errors import UserError
from lab.core.visible_text import quoted
from lab.data.corpus import DOCUMENT_BORDER, Corpus
from lab.data.train_val_split import TextChangedError

NAME_BYTES = 150
"""Bytes of a document's own name in that of its file."""


def check_target(path: Path, corpus: Corpus, *, replace: bool) -> None:
    """Check that the text may be saved there. A file that exists may only be replaced with `replace`, and by one document.
    Raises UserError if it may not, or the text is read from this very file."""
    if corpus.opened_documents > 1 and os.path.lexists(path):
        shown = quoted(str(path))
        raise UserError(f"{shown} exists already; several documents are saved in a new folder, so choose another name.")
    target = check_export(path, replace=True)
    for read in corpus.paths if target.exists() else ():
        if os.path.exists(read) and os.path.samefile(target, read):
            raise UserError(f"{quoted(str(path))} is a file that the text is read from; save the cleaned text as another one.")
    check_export(path, replace=replace)


def problem_with_path(typed: str) -> str:
    """The reason why nothing can be saved at a path as it was typed, in a sentence; empty if there is none."""
    try:
        path = Path(typed.strip()).expanduser()
        if not typed.strip() or "\0" in typed:
            return "Type the path of a file."
        check_export(path, replace=True)
    except (UserError, RuntimeError) as error:  # a home that nobody has
        return f"{str(error).rstrip('.')}."
    return ""


def save_text(corpus: Corpus, path: Path, progress: Callable[[int], None] = lambda _: None, *, replace: bool = False) -> int:
    """Write the text as the corpus's rules leave it, as UTF-8, and return how many bytes that are.

    A file that is there is replaced at the end, in one step, if `replace` says so. Of several documents each that keeps some text
    is a file of a new folder, numbered in their order. `progress` gets the bytes so far; it cancels by raising.
    Raises UserError if it cannot be written, or (TextChangedError) has changed since the corpus was measured.
    """
    written = 0

    def chunks() -> Iterator[tuple[int, bytes]]:
        """The text, each part with the number of its document."""
        nonlocal written
        number = 0
        digest = hashlib.sha256()
        for chunk in corpus.document_chunks():
            if chunk.starts and number:
                digest.update(DOCUMENT_BORDER)
            number += chunk.starts
            encoded = chunk.text.encode()
            digest.update(encoded)
            written += len(encoded)
            yield number, encoded
            progress(written)
        if corpus.is_measured and digest.hexdigest() != corpus.sha256:
            raise TextChangedError(corpus.source)

    if corpus.opened_documents <= 1:
        return write_export(path, (encoded for _, encoded in chunks()), replace=replace)
    try:
        _save_folder(corpus, path, chunks())
    except OSError as error:
        raise os_error_in_words(error, f"save the cleaned text as {quoted(str(path))}") from error
    return written


def _save_folder(corpus: Corpus, path: Path, chunks: Iterator[tuple[int, bytes]]) -> None:
    names = [os.path.basename(file.name).encode()[-NAME_BYTES:].decode(errors="ignore") for file in corpus.files if file.bytes]
    aside = temporary_beside(path)
    aside.mkdir()
    try:
        for number, parts in groupby(chunks, key=itemgetter(0)):
            name = f"{number:0{len(str(len(names)))}}-{names[number - 1]}"
            write_synced(aside / name, (encoded for _, encoded in parts))
        os.rename(aside, path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
