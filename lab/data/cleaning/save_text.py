"""Save a cleaned text as a file: atomically, never over a file that it is read from."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.core.atomic_io import os_error_in_words, replace_atomic
from lab.core.errors import UserError
from lab.core.visible_text import quoted
from lab.data.corpus import Corpus


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


def save_text(corpus: Corpus, path: Path, progress: Callable[[int], None] = lambda _: None) -> int:
    """Write the text as the corpus's rules leave it, as UTF-8, and return how many bytes that are. A blank line stands between
    documents. A file that was there is replaced at the end, in one step. `progress` gets the bytes so far; it cancels by raising.

    Raises:
        UserError: if it cannot be written.
    """
    written = 0

    def chunks() -> Iterator[bytes]:
        nonlocal written
        last = ""
        for chunk in corpus.document_chunks():
            text = chunk.text
            if chunk.starts and last:
                text = ("\n" if last == "\n" else "\n\n") + text
            last = text[-1]
            encoded = text.encode()
            written += len(encoded)
            yield encoded
            progress(written)

    try:
        replace_atomic(path, chunks())
    except OSError as error:
        raise os_error_in_words(error, f"save the cleaned text as {quoted(str(path))}") from error
    return written
