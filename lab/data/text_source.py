"""Open a text: a file, standard input, a named pipe or a built-in text."""

import os
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from lab.core.errors import UserError
from lab.data.builtin_texts import BUILTINS, is_builtin, open_builtin
from lab.data.corpus import STDIN, Corpus, shown_source, unreadable
from lab.data.text_encoding import check_encoding, decode, detect_encoding

PIPE_WAIT_SECONDS = 0.5
"""Time that the writer of a named pipe may take before `on_wait` is called."""
FILE_URI = "file://"


def open_corpus(source: str, encoding: str | None = None, on_wait: Callable[[], None] | None = None) -> Corpus:
    """Open the text that `source` names: a built-in text, "-" for standard input, or a path.

    A named pipe is read where `on_wait` is given, which is called once while nothing writes to the pipe yet.

    A file is UTF-8, or what its byte-order mark says, unless `encoding` says otherwise. Its beginning is read at once; an
    error further on is raised when it is met.

    Raises:
        UserError: if there is no text there, or it cannot be read.
    """
    if encoding is not None:
        encoding = check_encoding(encoding)
    if not source:
        raise UserError(f"No text is named; give the path of a text file, - for standard input, or {' or '.join(BUILTINS)}.")
    if is_builtin(source):
        text = open_builtin(source)
        return Corpus(text.name, text.source, "utf-8", text.bytes, text.read, text.entropy_bits_per_byte)
    corpus = _spooled("stdin", STDIN, sys.stdin.buffer, encoding) if source == STDIN else _file(source, encoding, on_wait)
    if next(corpus.chunks(), None) is None:
        raise UserError(f"{shown_source(source)} is empty; choose a text to learn from.")
    return corpus


def _file(source: str, encoding: str | None, on_wait: Callable[[], None] | None) -> Corpus:
    try:
        path = path_of(source)
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UserError(f"{shown_source(source)} is a folder; choose a text file in it.")
        if stat.S_ISFIFO(mode):
            if on_wait is None:
                raise UserError(f"{shown_source(source)} is a named pipe, which can be read only once; choose a text file.")
            return _pipe(source, path, encoding, on_wait)
        if not stat.S_ISREG(mode):
            raise UserError(f"{shown_source(source)} is a device, not a file; choose a text file.")
        return _regular(_as_text(path.stem), source_of(path), path, shown_source(source), encoding)
    except (OSError, ValueError, RuntimeError) as error:
        raise unreadable(source, error) from error


def _pipe(source: str, path: Path, encoding: str | None, on_wait: Callable[[], None]) -> Corpus:
    """Opening a named pipe waits for its writer, as long as that takes; Ctrl-C ends it."""
    wait_notice = threading.Timer(PIPE_WAIT_SECONDS, on_wait)
    wait_notice.daemon = True
    wait_notice.start()
    try:
        with path.open("rb") as pipe:
            wait_notice.cancel()
            return _spooled("pipe", source, pipe, encoding)
    finally:
        wait_notice.cancel()


def source_of(path: Path) -> str:
    """Source of the file at this path: the path, or its URI where the path is no UTF-8, which config.json cannot hold."""
    absolute = path.absolute()
    return str(absolute) if _as_text(str(absolute)) == str(absolute) else absolute.as_uri()


def path_of(source: str) -> Path:
    """The path that a source names, which may be a `file:` URI."""
    if source.startswith(FILE_URI):
        return Path(os.fsdecode(unquote_to_bytes(source.removeprefix(FILE_URI))))
    return Path(os.path.expanduser(source))


def _as_text(name: str) -> str:
    """A file's name, with `-` for every byte that is no UTF-8."""
    return "".join("-" if "\ud800" <= character <= "\udfff" else character for character in name)


def _spooled(name: str, source: str, stream: BinaryIO, encoding: str | None) -> Corpus:
    """A stream can be read once, so it is copied to a temporary file, which is gone with the corpus."""
    file = tempfile.NamedTemporaryFile(prefix="llmlab-")  # noqa: SIM115
    shutil.copyfileobj(stream, file)
    file.flush()
    corpus = _regular(name, source, Path(file.name), shown_source(source), encoding)
    corpus._spool = file
    return corpus


def _regular(name: str, source: str, path: Path, shown: str, encoding: str | None) -> Corpus:
    asked = encoding is not None
    chosen = encoding or detect_encoding(path, shown)
    return Corpus(name, source, chosen, os.path.getsize(path), lambda: decode(path, chosen, shown, asked))
