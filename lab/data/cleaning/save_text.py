"""Save a cleaned text as a file: atomically, never over a file that it is read from."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.core.errors import UserError
from lab.core.export_file import check_export, write_export
from lab.core.visible_text import quoted
from lab.data.corpus import DOCUMENT_BORDER, Corpus
from lab.data.train_val_split import TextChangedError


def check_target(path: Path, corpus: Corpus, *, replace: bool) -> None:
    """Check that the text may be saved there. A file that exists may only be replaced with `replace`.

    Raises:
        UserError: if it may not, or the text is read from this very file.
    """
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


def save_text(corpus: Corpus, path: Path, progress: Callable[[int], None] = lambda _: None) -> int:
    """Write the text as the corpus's rules leave it, as UTF-8, and return how many bytes that are. A blank line stands between
    documents. A file that was there is replaced at the end, in one step. `progress` gets the bytes so far; it cancels by raising.

    Raises:
        UserError: if it cannot be written, or (TextChangedError) has changed since the corpus was measured.
    """
    written = 0

    def chunks() -> Iterator[bytes]:
        nonlocal written
        last = ""
        digest = hashlib.sha256()
        for chunk in corpus.document_chunks():
            text = chunk.text
            if chunk.starts and last:
                digest.update(DOCUMENT_BORDER)
            digest.update(text.encode())
            if chunk.starts and last:
                text = ("\n" if last == "\n" else "\n\n") + text
            last = text[-1]
            encoded = text.encode()
            written += len(encoded)
            yield encoded
            progress(written)
        if corpus.is_measured and digest.hexdigest() != corpus.sha256:
            raise TextChangedError(corpus.source)

    return write_export(path, chunks(), replace=True)
