"""Save a cleaned text as a file: atomically, never over a file that it is read from."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.core.atomic_io import os_error_in_words, replace_atomic
from lab.core.errors import UserError
from lab.core.visible_text import quoted
from lab.data.corpus import DOCUMENT_BORDER, Corpus
from lab.data.train_val_split import TextChangedError


def check_target(path: Path, corpus: Corpus, *, replace: bool) -> None:
    """Check that the text may be saved there. A file that exists may only be replaced with `replace`.

    Raises:
        UserError: if it may not, or the text is read from this very file.
    """
    shown = quoted(str(path))
    try:
        target = os.stat(path)
    except FileNotFoundError:
        if path.absolute().parent.is_dir():
            return
        raise UserError(f"The folder of {shown} does not exist; make it, or choose another file.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{shown} cannot be written; choose another file.") from error
    for read in corpus.paths:
        if os.path.exists(read) and os.path.samestat(target, os.stat(read)):
            raise UserError(f"{shown} is a file that the text is read from; save the cleaned text as another one.")
    if not path.is_file():
        raise UserError(f"{shown} is not a file; choose another name.")
    if not replace:
        raise UserError(f"{shown} exists already; choose another name, or --force to replace it.")


def problem_with_path(typed: str) -> str:
    """The reason why nothing can be saved at a path as it was typed, in a sentence; empty if there is none."""
    try:
        path = Path(typed.strip()).expanduser()
        if not typed.strip() or "\0" in typed:
            return "Type the path of a file."
        if path.is_dir():
            return f"{path} is a folder; type the path of a file in it."
        if path.exists() and not path.is_file():
            return f"{path} is no regular file."
        return "" if path.parent.is_dir() else f"There is no folder {path.parent}."
    except (OSError, RuntimeError) as error:  # a name too long, a folder that may not be read, a home that nobody has
        return f"Nothing can be saved there: {getattr(error, 'strerror', None) or str(error).rstrip('.')}."


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

    try:
        replace_atomic(path, chunks())
    except OSError as error:
        raise os_error_in_words(error, f"save the cleaned text as {quoted(str(path))}") from error
    return written
